"""The scheduler and its services under seeded trouble: crashes around every call of the carrier, hasty people.

Real services on a real SQLite file; only the carrier is scripted: a small world of executors that claim, work,
report, die, or are started twice.
"""

import asyncio
import contextlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from api import scheduler as scheduling
from api.domain.entities import Attempt, AttemptState, Run, Step, Workspace
from api.domain.permissions import Principal
from api.scheduler import Scheduler
from api.services import claim_step, create_run, decide_run, record_step_report, workspaces
from api.services.create_run import RunRequest
from api.services.errors import RefusedError
from api.services.ports import Ports
from api.services.workspaces import LockChange
from common import executor_api
from common.executor_api import CancelKind, ClaimRequest
from common.failure_reasons import FailureReason
from common.launcher_port import (
    Carried,
    CarrierObservation,
    CarrierObserver,
    CarrierPhase,
    CarrierUnavailableError,
    LaunchOrder,
    LaunchRejectedError,
)
from common.statuses import APPLY_KINDS, FINAL_RUN_STATUSES, PLAN_KINDS, IllegalTransitionError, StepStatus
from common.step_report import Outcome, StepReport
from tests import databases
from tests.integration.api_in_process import api_in

_GONE = CarrierPhase.ENDED
_NOT_WAITING = {*FINAL_RUN_STATUSES, "pending"}


@dataclass
class Executor:
    """One executor of an attempt; a carrier may have started two of them."""

    order: LaunchOrder
    nonce: str
    token: str = ""
    alive: bool = True
    report: StepReport | None = None


@dataclass
class World:
    """The carrier: what it was asked for, what runs in it, and how much goes wrong."""

    random: random.Random
    trouble: bool = True
    executors: dict[str, list[Executor]] = field(default_factory=dict)
    kind: str = "process"
    observer: CarrierObserver | None = None
    crashed: asyncio.Event = field(default_factory=asyncio.Event)

    def chance(self, probability: float) -> bool:
        """Whether this goes wrong now."""
        return self.trouble and self.random.random() < probability

    async def pause(self) -> None:
        """Some time passes: where a crash of the API may fall."""
        crashed = self.crashed
        if self.chance(0.3):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.random.random() * 0.01):
                    await crashed.wait()
        for _ in range(self.random.randrange(4)):
            await asyncio.sleep(0)
        if crashed.is_set():
            raise asyncio.CancelledError  # whoever asked is no more

    def crash(self) -> None:
        """The API dies: whatever it is asking the carrier right now is never answered."""
        self.crashed.set()
        self.crashed = asyncio.Event()

    async def start(self, observer: CarrierObserver) -> None:
        """Watch."""
        self.observer = observer

    async def close(self) -> None:
        """Stop watching."""
        self.observer = None

    async def launch(self, order: LaunchOrder) -> Carried:
        """Start an executor, or not, or start it and lose the answer."""
        await self.pause()
        if self.chance(0.1):
            raise CarrierUnavailableError("away")
        if self.chance(0.05):
            raise LaunchRejectedError(FailureReason.REJECTED_BY_CLUSTER, "no")
        if order.name not in self.executors:
            twice = 2 if self.chance(0.1) else 1
            self.executors[order.name] = [Executor(order, self.random.randbytes(16).hex()) for _ in range(twice)]
        await self.pause()
        if self.chance(0.1):
            raise CarrierUnavailableError("the answer was lost")
        return Carried(uid=f"uid-{order.name}")

    async def stop(self, name: str, *, force: bool) -> None:
        """End its executors."""
        await self.pause()
        if self.chance(0.2):
            raise CarrierUnavailableError("away")
        for one in self.executors.get(name, ()):
            if force or not one.token or not self.chance(0.5):
                one.alive = False
        await self.tell(name)

    async def look(self, names: Sequence[str]) -> Mapping[str, CarrierObservation]:
        """What is so at this moment, told a little later."""
        seen = {name: self.observation(name) for name in names}
        await self.pause()
        if self.chance(0.1):
            raise CarrierUnavailableError("away")
        return seen

    def observation(self, name: str) -> CarrierObservation:
        """How an attempt stands."""
        started = self.executors.get(name)
        if started is None:
            return CarrierObservation(name=name, phase=CarrierPhase.ABSENT)
        if any(one.alive for one in started):
            return CarrierObservation(name=name, phase=CarrierPhase.RUNNING, uid=f"uid-{name}")
        reason = self.random.choice([None, FailureReason.EVICTED, FailureReason.OUT_OF_MEMORY])
        return CarrierObservation(name=name, phase=_GONE, uid=f"uid-{name}", reason=reason)

    async def tell(self, name: str) -> None:
        """Tell what is seen, unless nobody listens or the news is lost."""
        seen, observer = self.observation(name), self.observer
        if observer is not None and not self.chance(0.3):
            await observer.observed(seen)


class Story:
    """One seeded story on one database."""

    def __init__(self, ports: Ports, world: World, principal: Principal, organization_id: str) -> None:
        self.ports, self.world, self.principal, self.organization_id = ports, world, principal, organization_id
        self.random = world.random
        self.workspace_ids: list[str] = []
        self.directory = Path()
        self.scheduler: Scheduler | None = None

    async def crash_and_start(self) -> None:
        """The API dies wherever it is, and comes back."""
        if self.scheduler is not None:
            self.world.crash()
            await self.scheduler.close()
        self.scheduler = Scheduler(self.ports)
        await self.scheduler.start()

    async def new_run(self) -> None:
        """Somebody asks for a run."""
        template = self.random.choice(["Plan", "Plan and apply", "Destroy", "Terraform-Plan/Apply-Cli"])
        request = RunRequest(
            organization_id=self.organization_id,
            workspace_id=self.random.choice(self.workspace_ids),
            template=template,
        )
        await create_run.create_run(self.ports, self.principal, request)

    async def runs(self) -> list[Run]:
        """All runs."""
        async with self.ports.database.reading() as tx:
            return list(await tx.all(Run))

    async def decision(self) -> None:
        """Two people decide something about the same run at once."""
        unfinished = [run for run in await self.runs() if run.status not in FINAL_RUN_STATUSES]
        if unfinished:
            run = self.random.choice(unfinished)
            await asyncio.gather(self._decide(run), self._decide(run))

    async def _decide(self, run: Run) -> None:
        where = (self.ports, self.principal, self.organization_id, run.id)
        choice = self.random.randrange(5)
        with contextlib.suppress(IllegalTransitionError):
            if choice < 2:
                await decide_run.approve_run(*where)
            elif choice == 2:
                await decide_run.discard_run(*where)
            else:
                kind = CancelKind.GRACEFUL if choice == 3 else CancelKind.FORCE
                await decide_run.cancel_run(*where, kind)

    async def unlock(self) -> None:
        """Somebody goes on after an unknown outcome."""
        workspace_id = self.random.choice(self.workspace_ids)
        async with self.ports.database.reading() as tx:
            workspace = await tx.get(Workspace, workspace_id)
        if workspace is not None and workspace.locked:
            await self._unlock(workspace_id)

    async def _unlock(self, workspace_id: str) -> None:
        change = LockChange(locked=False, force=True)
        await workspaces.change_workspace(self.ports, self.principal, self.organization_id, workspace_id, {}, change)

    async def executor_acts(self) -> None:
        """One executor does its next thing: claim, report, report again, or die."""
        everyone = [one for many in self.world.executors.values() for one in many]
        living = [one for one in everyone if one.alive or self.world.chance(0.1)]  # a lost node's works on
        if not living:
            return
        one = self.random.choice(living)
        if self.world.chance(0.1):
            one.alive = False
            await self.world.tell(one.order.name)
        elif not one.token:
            await self._claim(one)
        else:
            await self._report(one)

    async def _claim(self, one: Executor) -> None:
        job = one.order.job_data
        proof = executor_api.claim_proof(
            self.ports.rules.internal_secret, step_id=job.step_id, attempt=job.attempt, claim=job.claim, nonce=one.nonce
        )
        request = ClaimRequest(attempt=job.attempt, claim=job.claim, nonce=one.nonce)
        try:
            answer = await claim_step.claim_step(self.ports, job.step_id, request, proof)
        except RefusedError:
            one.alive = False
            await self.world.tell(one.order.name)
            return
        if not self.world.chance(0.1):  # else the answer was lost: it claims again
            one.token = answer.token

    async def _report(self, one: Executor) -> None:
        job = one.order.job_data
        async with self.ports.database.reading() as tx:
            attempt = await tx.get(Attempt, one.order.name)
        if one.report is None:
            outcome = self.random.choice([Outcome.FINISHED, Outcome.FINISHED, Outcome.ERRORED, Outcome.CANCELED])
            if outcome is Outcome.CANCELED and (attempt is None or attempt.cancel is None):
                outcome = Outcome.FINISHED
            changes = self.random.random() < 0.8 if job.kind in PLAN_KINDS else None
            reason = FailureReason.TERRAFORM_FAILED if outcome is Outcome.ERRORED else None
            one.report = StepReport(outcome=outcome, has_changes=changes, failure_reason=reason)
        with contextlib.suppress(RefusedError):
            await record_step_report.record_step_report(self.ports, job.step_id, one.token, one.report)
        if not self.world.chance(0.2):  # else the answer was lost: it reports again
            one.alive = False
            await self.world.tell(one.order.name)

    async def check(self) -> None:
        """What must hold at every moment."""
        async with self.ports.database.reading() as tx:
            runs, steps, attempts = await tx.all(Run), await tx.all(Step), await tx.all(Attempt)
            places = {workspace.id: workspace for workspace in await tx.all(Workspace)}
        kinds = {step.id: step.kind for step in steps}
        by_run = {run.id: run for run in runs}
        limit = self.ports.rules.max_concurrent_runs
        under_way = [step.id for step in steps if step.status in {StepStatus.LAUNCHING, StepStatus.RUNNING}]
        assert not limit or len(under_way) <= limit, f"more than {limit} at once: {under_way}"
        for step in steps:
            if step.kind in APPLY_KINDS:
                claimed = [a.name for a in attempts if a.step_id == step.id and a.claimed_at is not None]
                assert len(claimed) <= 1, f"applied twice: {claimed}"
        for workspace in places.values():
            holders = {r.id for r in runs if r.workspace_id == workspace.id and not r.plan_only}
            holders = {run_id for run_id in holders if by_run[run_id].status not in _NOT_WAITING}
            assert len(holders) <= 1, f"two runs at once: {holders}"
            assert workspace.taken_by == next(iter(holders), ""), (workspace.taken_by, holders)
        for attempt in attempts:
            if kinds[attempt.step_id] in APPLY_KINDS and attempt.state in {AttemptState.CLAIMED, AttemptState.LOST}:
                holder = places[attempt.workspace_id].taken_by
                assert holder in {"", attempt.run_id}, f"{attempt.name} may still write beside {holder}"

    def last_events(self) -> dict[str, str]:
        """The newest event of every run about its status."""
        found = databases.rows(self.directory, "SELECT run_id, kind FROM events WHERE step_id = '' ORDER BY id")
        return {run_id: kind for run_id, kind in found if "cancel_requested" not in kind}

    async def to_the_end(self) -> None:
        """No more trouble: every run must come to an end, approvals and locks being seen to."""
        self.world.trouble = False
        await self.crash_and_start()
        for _ in range(1000):
            unfinished = [run for run in await self.runs() if run.status not in FINAL_RUN_STATUSES]
            if not unfinished:
                return
            for workspace_id in self.workspace_ids:
                async with self.ports.database.reading() as tx:
                    workspace = await tx.get(Workspace, workspace_id)
                if workspace is not None and workspace.locked:
                    await self._unlock(workspace_id)
            for run in unfinished:
                if run.status == "planned":
                    with contextlib.suppress(IllegalTransitionError):
                        await decide_run.approve_run(self.ports, self.principal, self.organization_id, run.id)
            await self.executor_acts()
            await asyncio.sleep(0.002)
        raise AssertionError(f"stuck: {[(run.number, run.status, run.cancel) for run in unfinished]}")


async def _story(directory: Path, seed: int) -> None:
    async with api_in(directory, max_concurrent_runs=seed % 2) as api:  # every second story has one slot only
        one = World(random.Random(seed))
        ports = replace(api.ports, launchers={"process": one})
        first = await api.workspace("one")
        base, _, workspace_id = first.partition("/workspace/")
        await api.uploaded(first)
        second = (await api.create(f"{base}/workspace", "workspace", {"name": "two"}))["id"]
        await api.uploaded(f"{base}/workspace/{second}")
        principal = Principal(name="people", admin=True)
        story = Story(ports, one, principal, base.rpartition("/")[2])
        story.directory = directory
        story.workspace_ids = [workspace_id, second]
        await story.crash_and_start()
        actions = [(story.executor_acts, 10), (story.new_run, 2), (story.decision, 2), (story.unlock, 1)]
        everything: list[Any] = [action for action, weight in actions for _ in range(weight)]
        for number in range(150):
            await one.random.choice(everything)()
            await asyncio.sleep(one.random.random() * 0.003)
            if one.random.random() < 0.05:
                await story.crash_and_start()
            if number % 5 == 0:
                await story.check()
        await story.to_the_end()
        assert story.scheduler is not None
        await story.scheduler.close()
        await story.check()
        assert story.last_events() == {run.id: f"run.{run.status}" for run in await story.runs()}


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_applied_twice_and_nothing_is_stuck(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Crashes, lost answers, twin executors, hasty people: one claim per apply, one run per workspace, an end."""
    monkeypatch.setattr(scheduling, "SAFETY_NET_SECONDS", 0.1)
    monkeypatch.setattr(scheduling, "_FIRST_DELAY_SECONDS", 0.01)
    asyncio.run(_story(tmp_path, seed))

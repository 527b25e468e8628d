"""The scheduler's loop: wakes when there is work and lets services decide; it decides nothing itself.

A wake-up says which workspace moved; each is looked at on its own, in turn, and each attempt is launched in its own
task, so that nothing blocked delays anything else. A slow look at everything is the net for wake-ups that were lost.
"""

import asyncio
import contextlib
import math
import random
import time
from collections.abc import AsyncIterator, Coroutine
from datetime import datetime
from typing import Any

import structlog

from api import log_context
from api.domain import ownership
from api.domain.entities import Attempt, AttemptState
from api.domain.launch_mode import PROCESS
from api.domain.ownership import Here
from api.services import expire_approvals, launch_attempt, settle_lost_steps, start_next_step, stop_attempts
from api.services.ports import WORK_TOPIC, Ports, WorkspaceBusyError
from common.launcher_port import CarrierObservation, CarrierPhase, CarrierUnavailableError, LaunchOrder

_log = structlog.get_logger()

SAFETY_NET_SECONDS = 15.0
#: Three missed turns of the safety net, and some.
STUCK_SECONDS = 60.0
_FIRST_DELAY_SECONDS = 0.5
_BUSY_SECONDS = 0.1
_LONGEST_DELAY_SECONDS = 30.0
#: Workspaces looked at side by side: the database has one writer, and what waits here is not in turn any more.
MAX_BEGINNING = 8
#: Orders with a carrier at once: enough to hide its latency.
MAX_LAUNCHING = 32
#: How long what is being done may take to end when the scheduler closes.
_CLOSING_SECONDS = 5.0


class Scheduler:
    """One per process."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._tasks: dict[str, asyncio.Task[None]] = {}
        #: workspaces to look at again: asked for while they were looked at
        self._again: dict[str, tuple[str, str]] = {}
        self._expiry: datetime | None = None  # when the next approval expires, as of the last round
        self._beginning = 0
        self._ordered = 0  # orders that wait for others to be taken by the carrier
        self._launching = asyncio.Semaphore(MAX_LAUNCHING)
        self._loop: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self._started_at = time.monotonic()
        self._adopted: set[str] = set()
        self._watching: set[str] = set()
        self._looked_at = time.monotonic()  # the end of the last round that went well

    async def start(self) -> None:
        """Watch the carriers, take up what an earlier process left, and begin to schedule."""
        await self._watch(await self._ports.nodes.here())
        self._loop = asyncio.create_task(self._run(), name="scheduler")

    async def close(self) -> None:
        """Stop scheduling; whatever is carried goes on.

        What is being done is let to its end: a transaction that is canceled may keep the one connection that writes.
        """
        self._closing.set()
        self._ports.bells.ring(WORK_TOPIC)
        running = [task for task in (self._loop, *self._tasks.values()) if task]
        if running:
            _, late = await asyncio.wait(running, timeout=_CLOSING_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        for launcher in self._ports.launchers.values():
            await launcher.close()

    def overdue_seconds(self) -> float:
        """By how much the next round is late; rounds come at least at every turn of the safety net."""
        return max(0.0, time.monotonic() - self._looked_at - SAFETY_NET_SECONDS)

    async def _watch(self, here: Here) -> None:
        """A local launcher watches its own node; what all nodes share is watched by the leading one."""
        for kind, launcher in self._ports.launchers.items():
            wanted = here.leads or kind == PROCESS
            if wanted and kind not in self._watching:
                await launcher.start(self)
                self._watching.add(kind)
            elif not wanted and kind in self._watching:
                self._watching.discard(kind)
                await launcher.close()

    def problem(self) -> str:
        """What keeps it from scheduling; empty when all is well."""
        if self._loop is None or self._loop.done():
            return "does not run"
        silent = time.monotonic() - self._looked_at
        return f"has finished no round for {silent:.0f} s" if silent > STUCK_SECONDS else ""

    async def observed(self, observation: CarrierObservation) -> None:
        """What a launcher saw; settled again and again until the database takes it: nobody will tell us twice.

        What a closing scheduler could not settle is looked at after the next start.
        """
        delay = _FIRST_DELAY_SECONDS
        while not self._closing.is_set():
            try:
                # a watch that closes cancels its telling: not in the middle of a transaction
                await asyncio.shield(settle_lost_steps.settle(self._ports, observation))
            except Exception:  # noqa: BLE001 - an observation must outlive any trouble of the database
                _log.exception("observation_not_settled", attempt=observation.name)
                await self._pause(delay)
                delay = min(delay * 2, _LONGEST_DELAY_SECONDS)
            else:
                return

    async def _run(self) -> None:
        bell = self._ports.bells.listen(WORK_TOPIC)
        look_at = time.monotonic()
        while not self._closing.is_set():
            # by the clock: on a busy system, where the bell always rings in time, carriers must be looked at too
            due = time.monotonic() >= look_at
            if due:
                look_at = time.monotonic() + SAFETY_NET_SECONDS
            began, outcome = time.monotonic(), "failed"
            try:
                await self._round(look_at_carriers=due)
                self._looked_at, outcome = time.monotonic(), "done"
            except Exception:  # noqa: BLE001 - the loop must outlive any trouble of the database
                _log.exception("scheduler_round_failed")
                await self._pause(1)
            self._ports.figures.time("scheduler_round", time.monotonic() - began, outcome=outcome)
            await bell.wait(max(min(look_at - time.monotonic(), self._until_expiry()), 0))

    def _until_expiry(self) -> float:
        return math.inf if self._expiry is None else (self._expiry - self._ports.clock()).total_seconds()

    async def _round(self, *, look_at_carriers: bool) -> None:
        await self._watch(await self._ports.nodes.here())
        turns = self._ports.turns
        async with self._ports.database.reading() as tx:
            slots = await start_next_step.slots(self._ports, tx)
            for organization_id, workspace_id in await tx.workspaces_with_work() if look_at_carriers else ():
                turns.add(organization_id, workspace_id)
        turns.unpark(slots)
        # who finds no slot keeps his place: the end of a run under way rings the bell
        # and nothing more is begun while orders queue up before the carrier
        room = MAX_BEGINNING - self._beginning if self._ordered < MAX_LAUNCHING else 0
        for organization_id, workspace_id in turns.take(slots, room):
            self._begin(organization_id, workspace_id)
        for attempt, force in await stop_attempts.attempts_to_stop(self._ports):
            self._once(f"stop {attempt.name} {force}", self._stop(attempt, force=force))
        self._expiry = await expire_approvals.expire_approvals(self._ports)
        if look_at_carriers:
            await self._look()

    def _begin(self, organization_id: str, workspace_id: str) -> None:
        name = f"workspace {workspace_id}"
        if name in self._tasks:  # what it reads may be older than this wake-up
            self._again[name] = (organization_id, workspace_id)
            return
        self._beginning += 1
        self._once(name, self._schedule(organization_id, workspace_id))

    async def _schedule(self, organization_id: str, workspace_id: str) -> None:
        log_context.begin(workspace_id=workspace_id)
        try:
            for order in await start_next_step.start_next_step(self._ports, workspace_id):
                self._once(f"launch {order.name}", self._launch(order))
        except WorkspaceBusyError:  # a replica decides, or somebody changes it: what is left shows in a moment
            self._ports.turns.add(organization_id, workspace_id)
            asyncio.get_running_loop().call_later(_BUSY_SECONDS, self._ports.bells.ring_here, WORK_TOPIC)
            return
        except Exception:
            self._ports.turns.add(organization_id, workspace_id)  # nothing was begun: it is looked at again
            raise
        finally:
            self._beginning -= 1
        self._ports.bells.ring_here(WORK_TOPIC)  # the next may have its turn

    async def _launch(self, order: LaunchOrder) -> None:
        log_context.begin(attempt=order.name, run_id=order.job_data.run_id, workspace_id=order.job_data.workspace_id)
        delay = _FIRST_DELAY_SECONDS
        while not self._closing.is_set():
            try:
                async with self._turn_to_launch():
                    await launch_attempt.launch_attempt(self._ports, order)
            except CarrierUnavailableError as error:
                _log.warning("carrier_unavailable", attempt=order.name, message=str(error))
                await launch_attempt.note_unavailable(self._ports, order.name, str(error))
                await self._pause(error.retry_after_seconds or delay * random.uniform(0.5, 1))  # noqa: S311 - jitter
                delay = min(delay * 2, _LONGEST_DELAY_SECONDS)
            else:
                return

    @contextlib.asynccontextmanager
    async def _turn_to_launch(self) -> AsyncIterator[None]:
        self._ordered += 1
        try:
            await self._launching.acquire()
        finally:
            self._ordered -= 1
        try:
            yield
        finally:
            self._launching.release()
            if self._ordered == 0:
                self._ports.bells.ring_here(WORK_TOPIC)  # workspaces may begin again

    async def _stop(self, attempt: Attempt, *, force: bool) -> None:
        log_context.begin(attempt=attempt.name, run_id=attempt.run_id, workspace_id=attempt.workspace_id)
        if not ownership.sees_to(attempt, await self._ports.nodes.here()):
            if force:
                await self._give_up(
                    attempt, f"its node {attempt.node} is away, and nobody can tell whether it still runs"
                )
            return
        if force and attempt.launcher not in self._ports.launchers:
            missing = f"this server has no launcher {attempt.launcher!r} any more and cannot tell whether it still runs"
            await self._give_up(attempt, missing)
        try:
            await stop_attempts.stop_attempt(self._ports, attempt, force=force)
            await self._look_at(attempt.launcher, [attempt.name])  # one that was never launched has no end to observe
        except CarrierUnavailableError as error:
            _log.warning("carrier_unavailable", attempt=attempt.name, message=str(error))
        # it stays on the list until its end was seen: do not ask again at every wake-up
        await self._pause(_FIRST_DELAY_SECONDS)

    async def _pause(self, seconds: float) -> None:
        """Sleep, but no longer than until the scheduler closes."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()

    async def _give_up(self, attempt: Attempt, message: str) -> None:
        """By force a person may end what no server can reach."""
        gone = CarrierObservation(name=attempt.name, phase=CarrierPhase.ENDED, message=message)
        await settle_lost_steps.settle(self._ports, gone)

    async def _look(self) -> None:
        """What became of the attempts under way: after a start, and whenever wake-ups were lost."""
        here = await self._ports.nodes.here()
        async with self._ports.database.reading() as tx:
            under_way = await tx.attempts_under_way()
        for attempt in under_way:
            if attempt.state is AttemptState.LAUNCHING and ownership.launches(attempt, here):
                await self._relaunch(attempt)
        for kind in self._ports.launchers:
            names = [
                attempt.name for attempt in under_way if attempt.launcher == kind and ownership.sees_to(attempt, here)
            ]
            try:
                await self._look_at(kind, names)
            except CarrierUnavailableError as error:
                _log.warning("carrier_unavailable", launcher=kind, message=str(error))
            else:
                self._note_adopted(kind, len(names))

    def _note_adopted(self, kind: str, attempts: int) -> None:
        """Say once what an earlier process left under way and was found again."""
        if kind not in self._adopted:
            self._adopted.add(kind)
            seconds = round(time.monotonic() - self._started_at, 3)
            _log.info("carriers_adopted", launcher=kind, attempts=attempts, seconds=seconds)

    async def _look_at(self, kind: str, names: list[str]) -> None:
        launcher = self._ports.launchers.get(kind)
        if launcher is None or not names:
            return
        for observation in (await launcher.look(names)).values():
            await settle_lost_steps.settle(self._ports, observation)

    async def _relaunch(self, attempt: Attempt) -> None:
        async with self._ports.database.reading() as tx:
            record = await tx.record(attempt.run_id)
            if record is None:
                return
            order = await start_next_step.order_for(self._ports, tx, record, attempt)
        self._once(f"launch {order.name}", self._launch(order))

    def _once(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Do it in a task of its own unless the same is being done."""
        if self._closing.is_set():
            work.close()
            return
        if name in self._tasks:
            work.close()
            return
        task = asyncio.create_task(work, name=name)
        self._tasks[name] = task
        task.add_done_callback(lambda done: self._done(name, done))

    def _done(self, name: str, task: asyncio.Task[None]) -> None:
        self._tasks.pop(name, None)
        if task.cancelled():
            return
        if error := task.exception():
            _log.error("scheduling_failed", what=name, exc_info=error)
            asyncio.get_running_loop().call_later(1, self._ports.bells.ring, WORK_TOPIC)
        if again := self._again.pop(name, None):
            self._ports.turns.add(*again)
            self._ports.bells.ring(WORK_TOPIC)

"""What every launcher must do, told through its port alone: real executors, real terraform, a stand-in API.

Run by test_launchers.py once per launcher. A case knows how to make a launcher over one and the same carrier,
so that a second one made from it stands for the API after a restart.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Protocol

from common.executor_api import Refusal
from common.ids import attempt_name, new_id
from common.launcher_port import CarrierObservation, CarrierPhase, Launcher, LaunchOrder
from common.statuses import StepKind
from common.step_report import Outcome
from tests.fakes.executor_api import FakeStep
from tests.fakes.executor_process import Bench

SAFETY_SECONDS = 60.0

QUICK = {"main.tf": 'resource "terraform_data" "x" {\n  input = 1\n}\n'}


def ledger(path: Path, seconds: int) -> dict[str, str]:
    """A configuration whose apply writes a line to a file ten times a second."""
    loop = f"for i in $(seq {seconds * 10}); do echo line >> {path}; sleep 0.1; done"
    provisioner = f'provisioner "local-exec" {{\n    command = "{loop}"\n  }}'
    return {"main.tf": f'resource "terraform_data" "x" {{\n  {provisioner}\n}}\n'}


def length(path: Path) -> int:
    """Bytes in a file."""
    return path.stat().st_size


class LauncherCase(Protocol):
    """One carrier under test."""

    bench: Bench

    def launcher(self) -> Launcher:
        """A new launcher over the case's carrier."""
        ...


class Observer:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[CarrierObservation] = []

    async def observed(self, observation: CarrierObservation) -> None:
        """Note it."""
        self.told.append(observation)

    async def ended(self, name: str) -> CarrierObservation:
        """The observation of an attempt's end, waited for."""
        await until(lambda: any(seen.phase is CarrierPhase.ENDED for seen in self.told if seen.name == name))
        return next(seen for seen in self.told if seen.name == name and seen.phase is CarrierPhase.ENDED)


async def until(condition: Callable[[], object]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(SAFETY_SECONDS):
        while not condition():  # noqa: ASYNC110 - the other side is a process: it sets no event
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def started(case: LauncherCase) -> AsyncIterator[tuple[Launcher, Observer]]:
    """A launcher that watches."""
    launcher, observer = case.launcher(), Observer()
    await launcher.start(observer)
    try:
        yield launcher, observer
    finally:
        await launcher.close()


def order(step: FakeStep) -> LaunchOrder:
    """The order for a step."""
    return LaunchOrder(name=attempt_name(step.job.step_id, step.job.attempt), job_data=step.job)


async def look(launcher: Launcher, name: str) -> CarrierPhase:
    """The phase of one attempt."""
    return (await launcher.look([name]))[name].phase


async def planned_and_applying(case: LauncherCase, launcher: Launcher, observer: Observer, path: Path) -> LaunchOrder:
    """An apply that has begun to write its ledger; its order."""
    planned = case.bench.step(StepKind.PLAN, ledger(path, seconds=60))
    await launcher.launch(order(planned))
    await observer.ended(order(planned).name)
    applying = order(case.bench.apply_of(planned))
    await launcher.launch(applying)
    await until(path.exists)
    return applying


def step_of(case: LauncherCase, of: LaunchOrder) -> FakeStep:
    """The step of an order as the API keeps it."""
    return case.bench.api.steps[of.job_data.step_id]


async def a_step_runs_its_course(case: LauncherCase) -> None:
    """An order becomes one executor that claims, works and reports; its running and its end are told in order."""
    async with started(case) as (launcher, observer):
        step = case.bench.step(StepKind.PLAN, QUICK)
        carried = await launcher.launch(order(step))
        ended = await observer.ended(order(step).name)
        assert step.report.outcome is Outcome.FINISHED
        assert (ended.uid, ended.exit_code, ended.reason) == (carried.uid, 0, None)
        phases = [seen.phase for seen in observer.told if seen.name == order(step).name]
        assert phases == sorted(phases, key=list(CarrierPhase).index)
        assert CarrierPhase.RUNNING in phases


async def launching_twice_starts_once(case: LauncherCase) -> None:
    """The same name launched again, also at the same time and after its end, is the same carrier."""
    async with started(case) as (launcher, observer):
        step = case.bench.step(StepKind.PLAN, QUICK)
        first, second = await asyncio.gather(launcher.launch(order(step)), launcher.launch(order(step)))
        assert first.uid == second.uid
        await observer.ended(order(step).name)
        assert (await launcher.launch(order(step))).uid == first.uid
        await asyncio.sleep(0.3)
        assert await look(launcher, order(step).name) is CarrierPhase.ENDED
        assert step.claims == 1
        assert len(step.reports) == 1


async def a_stop_is_a_graceful_cancel(case: LauncherCase, path: Path) -> None:
    """Stopped without force, the executor interrupts terraform, ships the state and reports the cancel."""
    async with started(case) as (launcher, observer):
        applying = await planned_and_applying(case, launcher, observer, path)
        await launcher.stop(applying.name, force=False)
        await observer.ended(applying.name)
        step = step_of(case, applying)
        assert step.report.outcome is Outcome.CANCELED
        assert step.states[-1][2]


async def force_leaves_nothing_alive(case: LauncherCase, path: Path) -> None:
    """Stopped by force, the executor, terraform and what it started are gone when the end is told."""
    async with started(case) as (launcher, observer):
        applying = await planned_and_applying(case, launcher, observer, path)
        await launcher.stop(applying.name, force=True)
        await observer.ended(applying.name)
        size = length(path)
        await asyncio.sleep(0.5)
        assert length(path) == size


async def looking_tells_what_is_so(case: LauncherCase, path: Path) -> None:
    """Unknown names are absent, working ones running, finished ones ended; stopping an unknown one is fine."""
    async with started(case) as (launcher, observer):
        unknown = attempt_name(new_id("step"), 1)
        assert await look(launcher, unknown) is CarrierPhase.ABSENT
        await launcher.stop(unknown, force=False)
        await launcher.stop(unknown, force=True)
        applying = await planned_and_applying(case, launcher, observer, path)
        assert await look(launcher, applying.name) is CarrierPhase.RUNNING
        await launcher.stop(applying.name, force=True)
        await observer.ended(applying.name)
        # gone without a trace is said of a Job that was deleted; nothing runs in either case
        assert await look(launcher, applying.name) in {CarrierPhase.ENDED, CarrierPhase.ABSENT}


async def a_restarted_api_adopts(case: LauncherCase, path: Path) -> None:
    """What runs goes on without a launcher, and a new one watches, stops and tells of it."""
    async with started(case) as (launcher, observer):
        applying = await planned_and_applying(case, launcher, observer, path)
    size = length(path)
    await until(lambda: length(path) > size)
    async with started(case) as (launcher, observer):
        assert await look(launcher, applying.name) is CarrierPhase.RUNNING
        await launcher.stop(applying.name, force=False)
        await observer.ended(applying.name)
        assert step_of(case, applying).report.outcome is Outcome.CANCELED


async def an_end_while_nobody_watched_is_told(case: LauncherCase) -> None:
    """An executor that ended while no launcher was there is told as ended by the next one."""
    async with started(case) as (launcher, _):
        step = case.bench.step(StepKind.PLAN, QUICK)
        await launcher.launch(order(step))
    await until(lambda: step.reports)
    async with started(case) as (launcher, observer):
        await observer.ended(order(step).name)


async def an_executor_that_is_refused_ends(case: LauncherCase) -> None:
    """An executor whose claim is refused ends with its own exit code, and its words are in the end's log tail."""
    async with started(case) as (launcher, observer):
        step = case.bench.step(StepKind.PLAN, QUICK)
        step.refusal = Refusal.SUPERSEDED
        await launcher.launch(order(step))
        ended = await observer.ended(order(step).name)
        assert ended.exit_code == 20
        assert "refused" in ended.log_tail

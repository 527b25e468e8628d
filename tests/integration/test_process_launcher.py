"""What only the process launcher must do: identify processes beyond doubt, keep its lock, blank environments."""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.launchers import processes
from api.launchers.attempt_files import AttemptFiles
from api.launchers.local_process import LocalProcessLauncher
from api.launchers.processes import ProcessId
from common.executor_api import CancelKind
from common.failure_reasons import FailureReason
from common.ids import attempt_name, new_id
from common.launcher_port import CarrierPhase, CarrierUnavailableError, LaunchOrder, LaunchRejectedError
from common.statuses import StepKind
from tests.contract import launcher_suite as suite
from tests.fakes.executor_api import SECRET, FakeStep
from tests.fakes.executor_process import Bench, bench


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Bench]:
    """A bench."""
    with bench(tmp_path) as one:
        yield one


def launcher(made: Bench, **more: str) -> LocalProcessLauncher:
    """A launcher over the bench's directory."""
    return LocalProcessLauncher(work_root=made.directory / "launcher", internal_secret=SECRET, **more)  # type: ignore[arg-type] # the caller names text arguments


def stranger() -> subprocess.Popen[bytes]:
    """A process that is none of ours."""
    return subprocess.Popen(["sleep", "60"], start_new_session=True)


def claim_to_be(files: AttemptFiles, process: ProcessId) -> int:
    """Leave the files of an attempt that looks alive and names this process; the descriptor that holds its lock."""
    lock = files.take_lock()
    assert lock is not None
    files.remember_process(process)
    return lock


def test_a_recycled_pid_is_never_signalled(made: Bench) -> None:
    """A living process that has an attempt's pid but started at another time is left alone, forced or not."""

    async def scenario(process: subprocess.Popen[bytes]) -> None:
        found = processes.identify(process.pid)
        assert found is not None
        one, name = launcher(made), attempt_name(new_id("step"), 1)
        lock = claim_to_be(AttemptFiles(made.directory / "launcher", name), ProcessId(found.pid, found.start_time - 1))
        observer = suite.Observer()
        await one.start(observer)
        await one.stop(name, force=False)
        await one.stop(name, force=True)
        await observer.ended(name)
        await one.close()
        os.close(lock)
        assert process.poll() is None

    with stranger() as process:
        asyncio.run(scenario(process))
        process.kill()


def test_processes_of_an_earlier_boot_have_ended(made: Bench) -> None:
    """Pid and start time from before a restart of the machine stand for nothing that lives now."""
    with stranger() as process:
        found = processes.identify(process.pid)
        assert found is not None
        name = attempt_name(new_id("step"), 1)
        files = AttemptFiles(made.directory / "launcher", name)
        os.close(claim_to_be(files, found))
        record = json.loads((files.directory / "process.json").read_text())
        (files.directory / "process.json").write_text(json.dumps({**record, "boot": "another"}))

        async def scenario() -> None:
            observer, one = suite.Observer(), launcher(made)
            await one.start(observer)
            await observer.ended(name)
            assert (await one.look([name]))[name].phase is CarrierPhase.ENDED
            await one.close()

        asyncio.run(scenario())
        assert process.poll() is None
        process.kill()


def test_terraform_does_not_hold_the_lock(made: Bench, tmp_path: Path) -> None:
    """When the executor alone is killed, its attempt is seen as ended at once and what it left is killed."""

    async def scenario() -> None:
        one, observer = launcher(made), suite.Observer()
        await one.start(observer)
        ledger = tmp_path / "ledger"
        planned = made.step(StepKind.PLAN, suite.ledger(ledger, seconds=60))
        await one.launch(suite.order(planned))
        await observer.ended(suite.order(planned).name)
        applying = made.apply_of(planned)
        carried = await one.launch(suite.order(applying))
        await suite.until(ledger.exists)
        os.kill(int(carried.uid.partition(":")[0]), signal.SIGKILL)
        ended = await observer.ended(suite.order(applying).name)
        assert ended.exit_code == -signal.SIGKILL
        assert "signal 9" in ended.message
        size = suite.length(ledger)
        await asyncio.sleep(0.3)
        assert suite.length(ledger) == size
        await one.close()

    asyncio.run(scenario())


def test_found_again_without_its_record(made: Bench, tmp_path: Path) -> None:
    """An executor whose pid the API could not write down before it died is found by its lock and its name."""

    async def scenario() -> None:
        one, observer = launcher(made), suite.Observer()
        await one.start(observer)
        ledger = tmp_path / "ledger"
        planned = made.step(StepKind.PLAN, suite.ledger(ledger, seconds=60))
        await one.launch(suite.order(planned))
        await observer.ended(suite.order(planned).name)
        applying = suite.order(made.apply_of(planned))
        carried = await one.launch(applying)
        await suite.until(ledger.exists)
        await one.close()
        record = made.directory / "launcher" / "attempts" / applying.name / "process.json"
        record.unlink()
        again, seen = launcher(made), suite.Observer()
        await again.start(seen)
        assert record.exists()  # else nobody could end its session once it has died
        assert (await again.launch(applying)).uid == carried.uid
        await again.stop(applying.name, force=True)
        await seen.ended(applying.name)
        await again.close()

    asyncio.run(scenario())


def environment_of(made: Bench, step: FakeStep, **inherited: str) -> dict[str, str]:
    """The environment that an executor of this step is started with."""
    found: dict[str, str] = {}

    async def scenario() -> None:
        script = made.directory / "python"
        script.write_text(f"#!/bin/sh\nenv > {made.directory}/environment\n")
        script.chmod(0o755)
        one = LocalProcessLauncher(
            work_root=made.directory / "launcher", internal_secret=SECRET, python=str(script), inherited=inherited
        )
        observer = suite.Observer()
        await one.start(observer)
        await one.launch(suite.order(step))
        await observer.ended(suite.order(step).name)
        await one.close()

    asyncio.run(scenario())
    for line in (made.directory / "environment").read_text().splitlines():
        name, _, value = line.partition("=")
        found[name] = value
    return found


def test_environment_by_rule(made: Bench) -> None:
    """An executor gets what is set for it and the few names it may take over, nothing else of the API's."""
    step = made.step(StepKind.PLAN, suite.QUICK)
    found = environment_of(
        made, step, PATH="/bin:/usr/bin", PODFORM_MASTER_KEY="k", AWS_SECRET_ACCESS_KEY="s", HOME="/x"
    )
    expected = {
        "PATH": "/bin:/usr/bin",
        "EphemeralFlagBatch": "true",
        "EphemeralJobData": step.job.encoded(),
        "InternalSecret": SECRET,
        "PODFORM_WORK_DIR": str(made.directory / "launcher" / "runs" / step.job.run_id),
        "PODFORM_ENGINE_CACHE": str(made.directory / "launcher" / "engines"),
    }
    assert {name: found[name] for name in expected} == expected
    assert set(found) - set(expected) <= {"PWD", "SHLVL", "_", "OLDPWD"}  # the shell's own


@pytest.mark.parametrize("name", ["../../etc", "step-1", "", "büro/../x"])
def test_only_names_of_attempts(made: Bench, name: str) -> None:
    """A name that is not an attempt's is refused, absent, and never becomes a path."""

    async def scenario() -> None:
        one = launcher(made)
        step = made.step(StepKind.PLAN, suite.QUICK)
        with pytest.raises(LaunchRejectedError) as caught:
            await one.launch(LaunchOrder(name=name, job_data=step.job))
        assert caught.value.reason is FailureReason.START_FAILED
        await one.stop(name, force=True)
        assert (await one.look([name]))[name].phase is CarrierPhase.ABSENT

    asyncio.run(scenario())


def test_missing_interpreter_is_rejected(made: Bench) -> None:
    """An executor that can never start is rejected with the system's words."""

    async def scenario() -> None:
        one = launcher(made, python="/nonexistent/python")
        with pytest.raises(LaunchRejectedError, match="cannot be started"):
            await one.launch(suite.order(made.step(StepKind.PLAN, suite.QUICK)))

    asyncio.run(scenario())


def test_full_disk_is_unavailable(made: Bench) -> None:
    """Where the launcher cannot write now, it says so as something that may pass."""
    (made.directory / "launcher").write_text("a file in the way")

    async def scenario() -> None:
        with pytest.raises(CarrierUnavailableError):
            await launcher(made).launch(suite.order(made.step(StepKind.PLAN, suite.QUICK)))

    asyncio.run(scenario())


def test_cancel_reaches_a_step_by_its_heartbeat(made: Bench, tmp_path: Path) -> None:
    """A cancel told by the API ends a process-mode step within moments, without any signal of the launcher."""

    async def scenario() -> None:
        one, observer = launcher(made), suite.Observer()
        await one.start(observer)
        planned = made.step(StepKind.PLAN, suite.ledger(tmp_path / "ledger", seconds=60))
        await one.launch(suite.order(planned))
        await observer.ended(suite.order(planned).name)
        applying = made.apply_of(planned)
        await one.launch(suite.order(applying))
        await suite.until((tmp_path / "ledger").exists)
        applying.cancel = CancelKind.GRACEFUL
        made.api.notify()
        ended = await observer.ended(suite.order(applying).name)
        assert ended.exit_code == 3
        await one.close()

    asyncio.run(scenario())


DAEMON = """
resource "terraform_data" "daemon" {{
  provisioner "local-exec" {{
    command = "setsid sh -c 'while true; do echo tick >> {ledger}; sleep 0.05; done' >/dev/null 2>&1 & sleep 60"
  }}
}}
"""


def test_force_reaches_what_left_the_session(made: Bench, tmp_path: Path) -> None:
    """A process that code in a configuration put into a session of its own does not outlive a forced stop."""

    async def scenario() -> None:
        one, observer = launcher(made), suite.Observer()
        await one.start(observer)
        ledger = tmp_path / "ledger"
        planned = made.step(StepKind.PLAN, {"main.tf": DAEMON.format(ledger=ledger)})
        await one.launch(suite.order(planned))
        await observer.ended(suite.order(planned).name)
        applying = suite.order(made.apply_of(planned))
        await one.launch(applying)
        await suite.until(ledger.exists)
        await one.stop(applying.name, force=True)
        await observer.ended(applying.name)
        size = suite.length(ledger)
        await asyncio.sleep(0.3)
        assert suite.length(ledger) == size
        await one.close()

    asyncio.run(scenario())

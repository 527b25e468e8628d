"""Cancels, signals and timeouts in every phase of a step: one SIGINT, the state saved, the truth reported."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from common.executor_api import CancelKind, Refusal
from common.failure_reasons import FailureReason
from common.statuses import StepKind
from common.step_report import Outcome
from executor.exit_codes import ExitCode
from tests.fakes.executor_api import FakeStep
from tests.fakes.executor_process import Bench, wait_until

#: Many short resources and one long one.
LONG = {
    "main.tf": 'resource "terraform_data" "short" {\n  count = 5\n  input = count.index\n}\n'
    'resource "terraform_data" "long" {\n  provisioner "local-exec" {\n    command = "echo begun; sleep 30"\n  }\n}\n'
}


def long_apply(bench: Bench, **answer: Any) -> FakeStep:
    """An apply step that works until it is stopped."""
    planned = bench.step(StepKind.PLAN, LONG)
    bench.run(planned)
    return bench.apply_of(planned, **answer)


def shipped(step: FakeStep) -> set[str]:
    """The addresses in the last state that was shipped."""
    if not step.states:
        return set()
    resources = json.loads(step.states[-1][1])["resources"]
    return {
        f"{resource['name']}{instance.get('index_key', '')}"
        for resource in resources
        for instance in resource["instances"]
    }


SHORT = {f"short{number}" for number in range(5)}


def test_cancel_in_an_apply(executor_bench: Bench) -> None:
    """A cancel stops terraform by one interrupt; every finished resource is in the final state."""
    step = long_apply(executor_bench)
    process = executor_bench.start(step)
    wait_until(lambda: b"(local-exec): begun" in step.log and shipped(step) >= SHORT, "the apply works")
    step.cancel = CancelKind.GRACEFUL
    executor_bench.api.notify()
    executor_bench.end(process)
    assert process.returncode == ExitCode.CANCELED
    assert step.report.outcome is Outcome.CANCELED
    assert step.states[-1][2]
    assert shipped(step) >= SHORT
    log = bytes(step.log)
    assert log.count(b"Interrupt received") == 1
    assert b"Two interrupts" not in log
    assert step.report.log_bytes == len(log)


def test_sigterm_in_an_apply(executor_bench: Bench) -> None:
    """SIGTERM, however often, is a graceful cancel with one interrupt."""
    step = long_apply(executor_bench)
    process = executor_bench.start(step)
    made = b"Creation complete"
    wait_until(lambda: b"(local-exec): begun" in step.log and step.log.count(made) >= len(SHORT), "the apply works")
    for _ in range(3):
        process.send_signal(signal.SIGTERM)
    executor_bench.end(process)
    assert step.report.outcome is Outcome.CANCELED
    assert shipped(step) >= SHORT
    assert bytes(step.log).count(b"Interrupt received") == 1


def test_force_in_an_apply(executor_bench: Bench) -> None:
    """A forced cancel kills terraform at once; what it had written is still shipped."""
    step = long_apply(executor_bench)
    process = executor_bench.start(step)
    wait_until(lambda: b"(local-exec): begun" in step.log and shipped(step) >= SHORT, "the apply works")
    step.cancel = CancelKind.FORCE
    executor_bench.api.notify()
    executor_bench.end(process)
    assert step.report.outcome is Outcome.CANCELED
    assert step.report.exit_code == -signal.SIGKILL
    assert shipped(step) >= SHORT


def test_timeout(executor_bench: Bench) -> None:
    """A step that takes too long is stopped like a cancel and reported as timed out."""
    step = long_apply(executor_bench, timeout_seconds=2)
    executor_bench.run(step)
    assert step.report.outcome is Outcome.ERRORED
    assert step.report.failure_reason is FailureReason.TIMED_OUT
    assert shipped(step) >= SHORT


def test_idle_timeout(executor_bench: Bench) -> None:
    """A step that prints nothing and changes no state for too long is stopped like a cancel, and says so."""
    step = long_apply(executor_bench, idle_timeout_seconds=3)
    executor_bench.run(step)
    assert step.report.outcome is Outcome.ERRORED
    assert step.report.failure_reason is FailureReason.TIMED_OUT
    assert step.report.message == "nothing was printed and the state did not change for 3 s: the step was stopped"
    assert shipped(step) >= SHORT


def test_grace_ends_in_a_kill(executor_bench: Bench, tmp_path: Path) -> None:
    """A terraform that ignores its interrupt is killed when its grace is over."""
    engine = tmp_path / "engines" / "terraform" / "1.9.9" / "terraform"
    engine.parent.mkdir(parents=True)
    engine.write_text("#!/bin/sh\ntrap '' INT\necho deaf\nwhile :; do sleep 0.05; done\n")
    engine.chmod(0o755)
    step = executor_bench.step(StepKind.PLAN, LONG, job={"engine_version": "1.9.9"})
    process = executor_bench.start(step, PODFORM_INTERRUPT_GRACE_SECONDS="0.3")
    wait_until(lambda: b"deaf" in step.log, "the engine works")
    step.cancel = CancelKind.GRACEFUL
    executor_bench.api.notify()
    executor_bench.end(process)
    assert step.report.outcome is Outcome.CANCELED
    assert step.report.exit_code == -signal.SIGKILL


def test_cancel_before_terraform(executor_bench: Bench) -> None:
    """A cancel that is there when the step is claimed ends it before anything is planned."""
    step = executor_bench.step(StepKind.PLAN, LONG)
    step.cancel = CancelKind.GRACEFUL
    executor_bench.api.fault("configuration", "503", times=3)
    executor_bench.run(step)
    assert step.report.outcome is Outcome.CANCELED
    assert b"Initializing" not in step.log


def test_cancel_after_the_end_reports_what_happened(executor_bench: Bench) -> None:
    """A cancel that comes when terraform has finished its apply does not make it a canceled one."""
    planned = executor_bench.step(StepKind.PLAN, {"main.tf": 'resource "terraform_data" "x" {}'})
    executor_bench.run(planned)
    step = executor_bench.apply_of(planned)
    executor_bench.api.fault("finish", "503", times=3)
    process = executor_bench.start(step)
    wait_until(lambda: step.states and step.states[-1][2], "the final state is there")
    step.cancel = CancelKind.GRACEFUL
    executor_bench.api.notify()
    executor_bench.end(process)
    assert step.report.outcome is Outcome.FINISHED


def test_sigterm_while_python_starts(executor_bench: Bench) -> None:
    """A SIGTERM at any moment of the start is not lost: the executor ends canceled or reports a cancel."""
    for moment in range(8):
        step = long_apply(executor_bench)
        process = executor_bench.start(step)
        time.sleep(moment * 0.012)
        process.send_signal(signal.SIGTERM)
        executor_bench.end(process)
        # before env has blocked the signal nothing of ours runs yet, and it ends by the signal itself
        assert process.returncode in {ExitCode.CANCELED, -signal.SIGTERM}
        assert not step.reports or step.report.outcome is Outcome.CANCELED


@pytest.mark.parametrize("code", [Refusal.SUPERSEDED, Refusal.SETTLED])
def test_step_taken_away(executor_bench: Bench, code: Refusal) -> None:
    """When the API takes the step away, terraform is interrupted and nothing more is reported."""
    step = long_apply(executor_bench)
    process = executor_bench.start(step)
    wait_until(lambda: b"(local-exec): begun" in step.log, "the apply works")
    step.refusal = code
    executor_bench.api.notify()
    executor_bench.end(process)
    assert process.returncode == ExitCode.SUPERSEDED
    assert step.reports == []


def test_sigkill_leaves_every_finished_resource_at_the_api(executor_bench: Bench) -> None:
    """SIGKILL of the executor in an apply of short and long resources: each finished one had been shipped."""
    step = long_apply(executor_bench)
    process = executor_bench.start(step)
    wait_until(lambda: shipped(step) >= SHORT, "the short resources are at the API")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert shipped(step) >= SHORT
    assert step.reports == []


def test_nothing_of_the_step_survives_it(executor_bench: Bench, tmp_path: Path) -> None:
    """Processes that a configuration leaves behind are gone when the step has ended, in sessions of their own too."""
    marker = tmp_path / "alive"
    forever = f"while :; do echo x >> {marker}; sleep 0.05; done"
    script = tmp_path / "forever.sh"
    script.write_text(forever)
    command = f"setsid sh {script} >/dev/null 2>&1 & sleep 0.5"
    files = {
        "main.tf": 'resource "terraform_data" "x" {\n  provisioner "local-exec" {\n'
        f"    command = {json.dumps(command)}\n  }}\n}}\n"
    }
    planned = executor_bench.step(StepKind.PLAN, files)
    executor_bench.run(planned)
    step = executor_bench.apply_of(planned)
    assert executor_bench.run(step).outcome is Outcome.FINISHED
    size = marker.stat().st_size
    time.sleep(0.3)
    assert marker.stat().st_size == size


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a PID namespace here")
def test_as_first_process_of_a_container(executor_bench: Bench, tmp_path: Path) -> None:
    """As PID 1 the executor takes SIGTERM, ends what terraform left behind, and reports as everywhere."""
    step = long_apply(executor_bench)
    process = executor_bench.start(step, "unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
    wait_until(lambda: b"(local-exec): begun" in step.log, "the apply works")
    children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True).stdout
    os.kill(int(children), signal.SIGTERM)
    executor_bench.end(process)
    assert process.returncode == ExitCode.CANCELED
    assert step.report.outcome is Outcome.CANCELED
    assert shipped(step) >= SHORT

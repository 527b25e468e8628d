"""An engine that the machine lacks, fetched by real executors: broken transfers, kills, many at once, bad archives."""

import os
import signal
import zipfile
from pathlib import Path

import pytest

from common.failure_reasons import FailureReason
from common.statuses import StepKind
from common.step_report import Outcome
from tests.fakes.executor_api import FakeStep
from tests.fakes.executor_process import Bench, bench, wait_until

FILES = {"main.tf": 'output "o" {\n  value = "done"\n}\n'}
VERSION = "1.9.8"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A release whose program calls the real terraform, with a good deal of ballast."""
    path = tmp_path_factory.mktemp("release") / "a.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("LICENSE.txt", os.urandom(3 << 20))
        packed.writestr("terraform", '#!/bin/sh\nexec terraform "$@"\n')
    return path.read_bytes()


def step_without_engine(made: Bench, archive: bytes) -> FakeStep:
    """A plan that wants a version which is not on this machine."""
    step = made.step(StepKind.PLAN, FILES, job={"engine_version": VERSION})
    step.engine = (VERSION, archive)
    return step


def left(made: Bench) -> list[str]:
    """What lies in the engine cache."""
    return sorted(path.name for path in (made.directory / "engines/terraform").iterdir() if path.name != ".lock")


def test_broken_transfer(executor_bench: Bench, archive: bytes) -> None:
    """A transfer that breaks off goes on where it ended, and the next step asks for nothing."""
    executor_bench.api.fault("engine/archive", "cut", times=2)
    step = step_without_engine(executor_bench, archive)
    report = executor_bench.run(step)
    assert report.outcome is Outcome.FINISHED, bytes(step.log)
    assert report.engine_version == VERSION
    third = len(archive) // 3
    assert executor_bench.api.ranges == [f"bytes={n * third}-" for n in range(3)]
    assert left(executor_bench) == [VERSION]
    assert executor_bench.run(step_without_engine(executor_bench, archive)).outcome is Outcome.FINISHED
    assert len(executor_bench.api.ranges) == 3


def test_killed_in_a_transfer(executor_bench: Bench, archive: bytes) -> None:
    """kill -9 in the middle leaves no program; the next executor goes on with the part."""
    executor_bench.api.stalled = True
    process = executor_bench.start(step_without_engine(executor_bench, archive))
    parts = executor_bench.directory / "engines/terraform"
    wait_until(lambda: [path for path in parts.glob(".part-*") if path.stat().st_size >= len(archive) // 3], "a part")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (parts / VERSION).exists()
    executor_bench.api.stalled = False
    step = step_without_engine(executor_bench, archive)
    assert executor_bench.run(step).outcome is Outcome.FINISHED, bytes(step.log)
    assert executor_bench.api.ranges[-1] != "bytes=0-"
    assert left(executor_bench) == [VERSION]


def test_many_at_once(executor_bench: Bench, archive: bytes, tmp_path: Path) -> None:
    """Eight executors that start on an empty cache fetch one archive."""
    cache = str(executor_bench.directory / "engines")
    steps = []
    for number in range(8):
        step = step_without_engine(executor_bench, archive)
        work = str(tmp_path / f"work-{number}")
        steps.append((step, executor_bench.start(step, PODFORM_WORK_DIR=work, PODFORM_ENGINE_CACHE=cache)))
    for step, process in steps:
        output = executor_bench.end(process)
        assert step.reports, output
        assert step.report.outcome is Outcome.FINISHED, bytes(step.log)
    assert executor_bench.api.ranges == ["bytes=0-"]
    assert left(executor_bench) == [VERSION]


def test_canceled_while_fetching(executor_bench: Bench, archive: bytes) -> None:
    """A step that waits for another one's fetch can be canceled."""
    executor_bench.api.stalled = True
    executor_bench.start(step_without_engine(executor_bench, archive))
    wait_until(lambda: executor_bench.api.ranges, "the first one fetches")
    waiting = step_without_engine(executor_bench, archive)
    process = executor_bench.start(waiting, PODFORM_WORK_DIR=str(executor_bench.directory / "other"))
    wait_until(lambda: waiting.claims, "the second one is claimed")
    process.send_signal(signal.SIGTERM)
    executor_bench.end(process)
    assert waiting.report.outcome is Outcome.CANCELED


@pytest.mark.parametrize(
    ("archive_of", "said"),
    [(b"no archive", "cannot be read"), (None, "found on PATH and in the engine cache")],
)
def test_nothing_usable(executor_bench: Bench, archive_of: bytes | None, said: str) -> None:
    """An archive that is none, or none at all, ends the step with a sentence and leaves no program."""
    step = executor_bench.step(StepKind.PLAN, FILES, job={"engine_version": VERSION})
    step.engine = (VERSION, archive_of) if archive_of else None
    report = executor_bench.run(step)
    assert report.failure_reason is FailureReason.ENGINE_UNAVAILABLE
    assert said in report.message
    assert VERSION not in left(executor_bench)


def test_unwritable_cache(tmp_path: Path, archive: bytes) -> None:
    """A cache that cannot be written ends the step with the system's words."""
    (tmp_path / "file").write_text("")
    with bench(tmp_path) as made:
        step = step_without_engine(made, archive)
        report = made.run(step, PODFORM_ENGINE_CACHE=str(tmp_path / "file/engines"))
    assert report.failure_reason is FailureReason.ENGINE_UNAVAILABLE
    assert "cannot be kept" in report.message

"""Starting the real executor as a process against the stand-in API, for tests."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common import archive, ids
from common.executor_api import ClaimAnswer
from common.job_data import JobData
from common.statuses import StepKind
from common.step_report import StepReport
from tests.fakes.executor_api import FakeExecutorApi, FakeStep

WAIT_SECONDS = 60.0  # a safety net; nothing here takes long


def packed(files: dict[str, str], directory: Path) -> bytes:
    """A configuration of these files, as tar.gz."""
    root = directory / "packing"
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    data = archive.pack(root, files)
    for name in files:
        (root / name).unlink()
    return data


@dataclass
class Bench:
    """One run's work directory and the API that its executors speak to."""

    api: FakeExecutorApi
    directory: Path
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)
    program: tuple[str, ...] = (sys.executable, "-I", "-m", "executor")
    run_id: str = field(default_factory=lambda: ids.new_id("run"))

    @property
    def work(self) -> Path:
        """PODFORM_WORK_DIR of the run."""
        return self.directory / "work"

    def step(
        self, kind: StepKind, files: dict[str, str] | bytes, *, job: dict[str, Any] | None = None, **answer: Any
    ) -> FakeStep:
        """A step that can be claimed; `job` and the rest are fields of its job data and of the claim's answer."""
        configuration = files if isinstance(files, bytes) else packed(files, self.directory)
        data = JobData(
            kind=kind,
            organization_id=ids.new_id("organization"),
            workspace_id=ids.new_id("workspace"),
            run_id=self.run_id,
            run_number=1,
            step_id=ids.new_id("step"),
            attempt=1,
            claim="claim-" + os.urandom(8).hex(),
            api_url=self.api.url,
            **(job or {}),
        )
        answer.setdefault("configuration_sha256", hashlib.sha256(configuration).hexdigest())
        granted = ClaimAnswer(token="token-" + os.urandom(16).hex(), **answer)
        return self.api.add(FakeStep(job=data, answer=granted, configuration=configuration))

    def apply_of(self, planned: FakeStep, **changes: Any) -> FakeStep:
        """The step that applies what a finished plan step planned."""
        facts = changes.pop("plan", planned.report.plan)
        step = self.step(StepKind.APPLY, planned.configuration, plan=facts, **changes)
        step.artifacts.update(planned.artifacts)
        step.state = planned.state
        return step

    def environment(self, step: FakeStep, **more: str) -> dict[str, str]:
        """The executor's environment for a step."""
        return {
            "EphemeralFlagBatch": "true",
            "EphemeralJobData": step.job.encoded(),
            "InternalSecret": self.api.secret,
            "PODFORM_WORK_DIR": str(self.work),
            "PODFORM_ENGINE_CACHE": str(self.directory / "engines"),
            "PATH": os.environ["PATH"],
            **more,
        }

    def start(self, step: FakeStep, *prefix: str, **more: str) -> subprocess.Popen[bytes]:
        """Start the executor of a step."""
        command = [*prefix, "env", "--block-signal=TERM", *self.program]
        process = subprocess.Popen(
            command,
            env=self.environment(step, **more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def run(self, step: FakeStep, *prefix: str, **more: str) -> StepReport:
        """Carry a step out to its end; its report."""
        output = self.end(self.start(step, *prefix, **more))
        assert step.reports, f"no report; executor said {output!r}, log {bytes(step.log)!r}"
        return step.report

    def end(self, process: subprocess.Popen[bytes]) -> str:
        """Wait for an executor's end; what it printed."""
        output, _ = process.communicate(timeout=WAIT_SECONDS)
        return output.decode("utf-8", "replace")

    def close(self) -> None:
        """End what still runs."""
        for process in self.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            if process.stdout is not None:
                process.stdout.close()


@contextmanager
def bench(directory: Path) -> Iterator[Bench]:
    """A bench that cleans up."""
    api = FakeExecutorApi()
    made = Bench(api, directory)
    try:
        yield made
    finally:
        made.close()
        api.close()


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Wait until something is so; the test fails when it does not become so."""
    end = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < end, f"never came true: {what}"
        time.sleep(0.02)

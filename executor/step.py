"""What the actions of one step share: its orders, its directories, its ways to the API, and what was found.

Made by the entry point after the claim, handed to every action. It acts only through the methods here.
"""

import errno
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from common.executor_api import ClaimAnswer, Refusal
from common.failure_reasons import FailureReason
from common.job_data import JobData
from common.step_report import PlanFacts, ResourceCounts
from executor import process
from executor.api_client import ApiClient
from executor.cancellation import Cancellation, Stop
from executor.delivery import Delivery
from executor.engines import Engine
from executor.errors import STEP_TAKEN, RefusedError, StepFailedError, StepStoppedError, UndeliveredError
from executor.log_stream import LogStream
from executor.settings import Settings
from executor.terraform import OutputFacts
from executor.workdir import WorkDirectory

T = TypeVar("T")


@dataclass(slots=True)
class Findings:
    """What the report will tell, filled in by the actions."""

    has_changes: bool | None = None
    counts: ResourceCounts | None = None
    plan: PlanFacts | None = None
    state_serial: int | None = None
    timings: dict[str, float] = field(default_factory=dict)
    exit_code: int | None = None  # of the last terraform command


@dataclass(slots=True, kw_only=True)
class Step:
    """One step in progress."""

    job: JobData
    claim: ClaimAnswer
    settings: Settings
    work: WorkDirectory
    api: ApiClient
    delivery: Delivery
    log: LogStream
    cancellation: Cancellation
    deadline: float | None  # monotonic; None = no timeout
    findings: Findings = field(default_factory=Findings)
    configuration_sha256: str = ""
    directory: Path = Path("/nonexistent")  # where terraform runs; set by fetch_configuration
    environment: dict[str, str] = field(default_factory=dict)  # terraform's whole environment; set by write_variables
    variable_files: list[Path] = field(default_factory=list)
    engine: Engine | None = None  # set by resolve_engine

    def terraform(self, arguments: Sequence[str]) -> tuple[int, OutputFacts]:
        """Run the engine with these arguments to its end, its output going to the log; exit code and output's facts.

        Raises StepStoppedError when it was interrupted and therefore failed, StepFailedError when it cannot start.
        """
        facts = OutputFacts()
        command = process.Command([str(self._engine().path), *arguments], self.directory, self.environment)
        limits = process.Limits(
            self.deadline,
            self.settings.interrupt_grace_seconds,
            idle_seconds=self.claim.idle_timeout_seconds,
            progress=self.work.state_file,
        )
        self.findings.timings.setdefault("start", since_process_start())
        try:
            ended = process.run(command, lambda data: facts.feed(self.log.write(data)), self.cancellation, limits)
        except OSError as error:
            raise _cannot_start(error, command.arguments[0]) from error
        facts.feed(self.log.flush())
        self.findings.exit_code = ended.exit_code
        if ended.signaled and ended.exit_code != 0:
            raise StepStoppedError(f"{arguments[0]} was interrupted")
        return ended.exit_code, facts

    def terraform_succeeds(self, arguments: Sequence[str], allowed: Sequence[int] = (0,)) -> tuple[int, OutputFacts]:
        """As `terraform`, with StepFailedError for an exit code that is not allowed."""
        code, facts = self.terraform(arguments)
        if code not in allowed:
            command = f"{self._engine().name} {arguments[0]}"
            message = facts.error or f"{command} ended with exit code {code}"
            raise StepFailedError(FailureReason.TERRAFORM_FAILED, f"{command}: {message}"[:1000], code)
        return code, facts

    def ask(self, call: Callable[[], T]) -> T:
        """Repeat a call to the API until it is answered or the step is to stop.

        Raises StepStoppedError, UndeliveredError, or RefusedError for a refusal that leaves the step ours.
        """
        try:
            return self.delivery.until_answered(call, give_up=lambda: self.cancellation.stop is not Stop.NONE)
        except UndeliveredError as error:
            if self.cancellation.stop is not Stop.NONE:
                raise StepStoppedError("stopped while the API was asked") from error
            raise
        except RefusedError as error:
            # unknown may also mean that there is no such artifact; a token that is none is told to the heartbeat
            if error.code in STEP_TAKEN and error.code is not Refusal.UNKNOWN:
                self.cancellation.request(Stop.TAKEN)
                raise StepStoppedError(str(error)) from error
            raise

    def _engine(self) -> Engine:
        if self.engine is None:
            raise AssertionError("resolve_engine comes before the first terraform command")
        return self.engine


def _cannot_start(error: OSError, program: str) -> StepFailedError:
    if error.errno == errno.E2BIG:
        return StepFailedError(
            FailureReason.BAD_CONFIGURATION,
            "the ENV variables are larger together than Linux lets a program start with",
        )
    return StepFailedError(FailureReason.ENGINE_UNAVAILABLE, f"{program} cannot be started: {error.strerror}")


def since_process_start() -> float:
    """Seconds since this process was started by the kernel (to 10 ms)."""
    fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
    ticks_per_second = 100  # USER_HZ: the unit of this file on every Linux
    return round(time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / ticks_per_second, 3)

"""The port between the API, which decides, and whatever carries an executor: a local process, a Job.

Services call a Launcher; launchers (api/launchers, k8s/launcher.py) implement it and tell a
CarrierObserver what they see. A launcher never decides what a step becomes; it only says what is so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, runtime_checkable

from common.errors import PodformError
from common.failure_reasons import FailureReason
from common.job_data import JobData


class LaunchRejectedError(PodformError):
    """The carrier will never take this order as it is; `reason` and the text say why."""

    def __init__(self, reason: FailureReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class CarrierUnavailableError(PodformError):
    """The carrier cannot be reached or is over its limits: try again later (after `retry_after_seconds`, if set)."""

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class CarrierPhase(StrEnum):
    """How the carrier of an attempt stands."""

    PENDING = "pending"  # accepted, its process does not run yet; `message` may say what it waits for
    RUNNING = "running"
    ENDED = "ended"  # nothing of it runs any more, and nothing will
    ABSENT = "absent"  # the carrier knows nothing of it: never arrived, or gone without a trace


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchOrder:
    """One attempt of one step, to be carried."""

    name: str  # ids.attempt_name(step_id, attempt): launching the same name twice is harmless
    job_data: JobData
    organization_name: str = ""
    workspace_name: str = ""
    timeout_seconds: int = 0  # of the step; 0 = none
    plan_run_id: str = ""  # the run whose plan is applied, if another one: plans hold absolute paths
    #: the workspace's ENV variables that shape the carrier (EPHEMERAL_*, the toggle, …), inherited ones merged
    shape: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """What a launcher gives back for an accepted order."""

    uid: str  # the Job's uid, or pid:start_time: tells this carrier from any other of the same name
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CarrierObservation:
    """What a launcher saw of one attempt. Observations may repeat and may come late."""

    name: str
    phase: CarrierPhase
    uid: str = ""
    reason: FailureReason | None = None  # set when the carrier itself failed
    message: str = ""  # for people; what the cluster or the system said
    exit_code: int | None = None
    log_tail: str = ""  # what the executor itself printed last, for an attempt that could not report


class CarrierObserver(Protocol):
    """Told by launchers what they see; implemented by a service."""

    async def observed(self, observation: CarrierObservation) -> None:
        """Take note of an observation; must not raise."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """Something that a launcher does, and whether its carrier's owner allows it."""

    what: str
    allowed: bool
    needed: bool  # nothing works without it; else only diagnosis suffers
    reason: str = ""


class Launcher(Protocol):
    """Carries attempts. All methods are safe to repeat."""

    @property
    def kind(self) -> str:
        """`process`, `kubernetes` or `online`; stored with the attempt."""
        ...

    async def start(self, observer: CarrierObserver) -> None:
        """Begin watching; from now on every change of every carrier of ours is told to the observer."""
        ...

    async def launch(self, order: LaunchOrder) -> Carried:
        """Start the attempt, or find that it is started already (same name, ours).

        Raises LaunchRejectedError or CarrierUnavailableError; after the latter it is unknown whether it started.
        """
        ...

    async def stop(self, name: str, *, force: bool) -> None:
        """End the attempt's carrier; its end is observed later. Unknown or ended names are fine.

        Not forced: the executor gets its SIGTERM and its whole grace. Raises CarrierUnavailableError.
        """
        ...

    async def look(self, names: Sequence[str]) -> Mapping[str, CarrierObservation]:
        """How these attempts stand right now, one observation per name. Raises CarrierUnavailableError."""
        ...

    async def close(self) -> None:
        """Stop watching; whatever is carried goes on."""
        ...


@runtime_checkable
class Watching(Protocol):
    """A launcher that learns by a watch what becomes of its attempts."""

    def watch_ages(self) -> Mapping[str, float]:
        """Resource -> seconds since its watch was last known to be good."""
        ...


@runtime_checkable
class AsksRights(Protocol):
    """A launcher whose carrier may forbid things."""

    async def rights(self) -> Sequence[Right]:
        """What it may do, asked now. Raises CarrierUnavailableError."""
        ...

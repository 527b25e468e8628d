"""The executor's errors: what an action raises to end the step, and what a call to the API can meet."""

from common.errors import PodformError
from common.executor_api import Refusal
from common.failure_reasons import FailureReason


class SettingsError(PodformError):
    """A setting is missing or malformed; the text names it and what is allowed."""


class StepFailedError(PodformError):
    """The step ends errored for this reason; the text is its sentence for people."""

    def __init__(self, reason: FailureReason, message: str, exit_code: int | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.exit_code = exit_code  # of terraform, where it ran


class StepStoppedError(PodformError):
    """The step was asked to stop while an action ran; why is told by the Cancellation."""


class UnavailableError(PodformError):
    """The API gave no usable answer (connection, 5xx, 429): repeat the call later."""

    def __init__(self, message: str, retry_after_seconds: float = 0.0, status: int = 0) -> None:
        super().__init__(message)
        self.status = status  # of the answer, where there was one
        self.retry_after_seconds = retry_after_seconds


class RefusedError(PodformError):
    """The API answered and said no; `code` says what to make of it, `expected` is set for a gap."""

    def __init__(self, code: Refusal, message: str, expected: int | None = None) -> None:
        super().__init__(f"{code}: {message}" if message else str(code))
        self.code = code
        self.expected = expected


class UndeliveredError(PodformError):
    """Something could not be delivered within the time that the settings allow, or was given up on purpose."""


#: Refusals that take the whole step away from this executor.
STEP_TAKEN = frozenset({Refusal.SUPERSEDED, Refusal.CLAIMED, Refusal.CANCELED, Refusal.SETTLED, Refusal.UNKNOWN})

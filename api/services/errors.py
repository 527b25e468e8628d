"""The errors of use cases; routes translate each class into one HTTP status.

BadInputError (common/errors.py) and IllegalTransitionError (common/statuses.py) belong to this family too.
"""

from common.errors import PodformError
from common.executor_api import Refusal


class NotFoundError(PodformError):
    """It does not exist, or the caller may not see it: the same to him."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} was not found")


class ConflictError(PodformError):
    """It exists but does not allow this now."""


class RefusedError(PodformError):
    """An executor's request is refused; `refusal` tells it what to make of it."""

    def __init__(self, refusal: Refusal, message: str, expected: int | None = None) -> None:
        super().__init__(message)
        self.refusal = refusal
        self.expected = expected

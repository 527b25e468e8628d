"""What the cluster can answer instead of yes, as our own errors; one table from HTTP status to class.

Raised by client.py alone; launcher and watcher decide by class, never by text or number. Pure.
"""

import json

from common.errors import PodformError


class ClusterError(PodformError):
    """The cluster did not do what was asked; str(error) is the cluster's own sentence."""

    def __init__(self, message: str, *, status: int = 0, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.status = status  # HTTP; 0 = there was no answer
        self.retry_after_seconds = retry_after_seconds


class RejectedError(ClusterError):
    """The object itself is not acceptable; sending it again changes nothing."""


class ForbiddenError(ClusterError):
    """The Role does not allow this, or an admission rule refuses it."""


class QuotaExceededError(ClusterError):
    """A quota of the namespace is used up for now."""


class UnauthorizedError(ClusterError):
    """The credentials are not accepted (an expired token is renewed by the next request)."""


class NotFoundError(ClusterError):
    """There is no such object or namespace."""


class AlreadyExistsError(ClusterError):
    """The name is taken, possibly by an object that is being deleted."""


class ConflictError(ClusterError):
    """A precondition does not hold: the object is another one by now."""


class ExpiredError(ClusterError):
    """The resourceVersion is too old to watch from: list again."""


class UnavailableError(ClusterError):
    """No answer, too many requests, or a failure of the server's own: try again later."""


class ConfigurationError(ClusterError):
    """The cluster cannot even be addressed: no kubeconfig, no such context, not in a cluster."""


#: HTTP status -> error. Whatever is not here is RejectedError below 500 and UnavailableError from there on.
BY_STATUS: dict[int, type[ClusterError]] = {
    400: RejectedError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    408: UnavailableError,
    409: ConflictError,
    410: ExpiredError,
    413: RejectedError,
    422: RejectedError,
    429: UnavailableError,
}


def from_answer(status: int, body: str, retry_after: str | None = None) -> ClusterError:
    """The error for an answer that is not 2xx: by status, then by the `reason` of its Status body."""
    document = _status_document(body)
    message = str(document.get("message") or "").strip() or f"the cluster answered HTTP {status}"
    kind = BY_STATUS.get(status, UnavailableError if status >= 500 else RejectedError)
    if kind is ConflictError and document.get("reason") == "AlreadyExists":
        kind = AlreadyExistsError
    if kind is ForbiddenError and "exceeded quota" in message:
        kind = QuotaExceededError
    return kind(message, status=status, retry_after_seconds=_seconds(retry_after, document))


def _status_document(body: str) -> dict[str, object]:
    try:
        document = json.loads(body)
    except ValueError:
        return {}  # a proxy's page: its words help nobody
    return document if isinstance(document, dict) else {}


def _seconds(header: str | None, document: dict[str, object]) -> float | None:
    """Retry-After as seconds: the header, else what the Status says in details.retryAfterSeconds."""
    details = document.get("details")
    value = header or (details.get("retryAfterSeconds") if isinstance(details, dict) else None)
    try:
        return max(0.0, float(str(value))) if value else None
    except ValueError:
        return None  # the form with a date: no API server sends it

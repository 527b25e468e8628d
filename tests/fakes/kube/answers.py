"""`Status` bodies of a Kubernetes API server, word for word as a real one sends them."""

from typing import Any

Json = dict[str, Any]


class Refused(Exception):  # noqa: N818 - it is an answer, not an error of the stand-in
    """A request that is answered with a Status instead of what was asked for."""

    def __init__(
        self, code: int, reason: str, message: str, details: Json | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.details = details
        self.headers = headers or {}

    def body(self) -> Json:
        """The Status document."""
        return status(self.code, self.reason, str(self), self.details)


def status(code: int, reason: str, message: str, details: Json | None = None) -> Json:
    """A failure as a Status document."""
    document = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "details": details,
        "code": code,
    }
    return {name: value for name, value in document.items() if value is not None}


def _details(resource: str, name: str) -> Json:
    group = "batch" if resource == "jobs" else ""
    return {"name": name, **({"group": group} if group else {}), "kind": resource}


def qualified(resource: str) -> str:
    """`jobs.batch`, `pods`."""
    return "jobs.batch" if resource == "jobs" else resource


def already_exists(resource: str, name: str, *, deleting: bool) -> Refused:
    """409 for a name that is taken."""
    text = f'{qualified(resource)} "{name}"'
    message = f"object is being deleted: {text} already exists" if deleting else f"{text} already exists"
    return Refused(409, "AlreadyExists", message, _details(resource, name))


def not_found(resource: str, name: str) -> Refused:
    """404 for an object."""
    return Refused(404, "NotFound", f'{qualified(resource)} "{name}" not found', _details(resource, name))


def uid_conflict(resource: str, name: str, wanted: str, found: str) -> Refused:
    """409 for a uid precondition that does not hold."""
    message = (
        f'Operation cannot be fulfilled on {qualified(resource)} "{name}": the UID in the precondition ({wanted}) '
        f"does not match the UID in record ({found}). The object might have been deleted and then recreated"
    )
    return Refused(409, "Conflict", message, _details(resource, name))


def forbidden(user: str, verb: str, resource: str, namespace: str, name: str = "") -> Refused:
    """403 by RBAC."""
    main, _, sub = resource.partition("/")
    subject = qualified(main) + (f' "{name}"' if name else "")
    group = "batch" if main == "jobs" else ""
    message = (
        f'{subject} is forbidden: User "{user}" cannot {verb} resource "{main}{"/" + sub if sub else ""}" '
        f'in API group "{group}" in the namespace "{namespace}"'
    )
    return Refused(403, "Forbidden", message, {"kind": main, **({"group": group} if group else {})})


def quota_exceeded(name: str, used: int, limit: int) -> Refused:
    """403 by a ResourceQuota on Jobs."""
    message = (
        f'jobs.batch "{name}" is forbidden: exceeded quota: jobs, requested: count/jobs.batch=1, '
        f"used: count/jobs.batch={used}, limited: count/jobs.batch={limit}"
    )
    return Refused(403, "Forbidden", message, _details("jobs", name))


def unauthorized() -> Refused:
    """401 for a bad token."""
    return Refused(401, "Unauthorized", "Unauthorized")


def bad_request(message: str) -> Refused:
    """400."""
    return Refused(400, "BadRequest", message)


def too_large(limit: int) -> Refused:
    """413."""
    return Refused(413, "RequestEntityTooLarge", f"Request entity too large: limit is {limit}")


def invalid(name: str, causes: list[tuple[str, str, str]]) -> Refused:
    """422: causes are (field, reason, message)."""
    texts = [f"{field}: {message}" for field, _, message in causes]
    listed = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
    details = _details("jobs", name) | {
        "kind": "Job",
        "causes": [{"reason": reason, "message": message, "field": field} for field, reason, message in causes],
    }
    return Refused(422, "Invalid", f'Job.batch "{name}" is invalid: {listed}', details)


def expired(wanted: int, oldest: int) -> Json:
    """The object of the ERROR event of a watch that begins too early."""
    return status(410, "Expired", f"too old resource version: {wanted} ({oldest})")

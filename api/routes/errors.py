"""Every error of the public faces as JSON:API error objects: the one translation from exceptions to statuses.

Called by operations.py for what a request caused, and by api/app.py (`exception_handlers`) for what has no
operation: unknown paths, wrong methods, our own faults. Never shows a traceback or a value that was sent.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import orjson
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from api import log_context
from api.services.errors import ConflictError, NotFoundError
from api.services.ports import AlreadyExistsError, DatabaseAwayError, StorageAwayError, StorageFullError
from common.errors import BadInputError, PodformError
from common.statuses import IllegalTransitionError

MEDIA_TYPE = "application/vnd.api+json"
#: A document with hundreds of wrong fields is told of the first ones.
MAX_ERRORS = 20
_MAX_POINTER_CHARACTERS = 300

_TITLES = {422: "Unprocessable", 413: "Too large", 507: "Storage full"}
_CODES = {
    400: "malformed",
    401: "unauthorized",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    413: "too_large",
    415: "unsupported_media_type",
    422: "bad_input",
    503: "storage_away",
    507: "storage_full",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One error object without its status; `source` is JSON:API's (`pointer`, `parameter` or `header`)."""

    detail: str
    source: Mapping[str, str] = field(default_factory=dict)


class RequestError(Exception):
    """The request itself is wrong, before any service was asked."""

    def __init__(self, status: int, problems: Sequence[Problem], headers: Mapping[str, str] | None = None) -> None:
        super().__init__("; ".join(problem.detail for problem in problems))
        self.status = status
        self.problems = problems
        self.headers = headers


def refused(status: int, detail: str, headers: Mapping[str, str] | None = None, **source: str) -> RequestError:
    """A RequestError with one problem; `source` is pointer, parameter or header."""
    return RequestError(status, [Problem(detail, source)], headers)


def error_response(status: int, problems: Sequence[Problem], headers: Mapping[str, str] | None = None) -> Response:
    """The error document."""
    title = _TITLES.get(status) or HTTPStatus(status).phrase
    code = _CODES.get(status, "internal" if status >= 500 else "refused")
    errors: list[dict[str, Any]] = []
    for problem in problems[:MAX_ERRORS]:
        item: dict[str, Any] = {"status": str(status), "code": code, "title": title, "detail": problem.detail}
        errors.append(item | ({"source": dict(problem.source)} if problem.source else {}))
    body = orjson.dumps({"errors": errors})
    return Response(body, status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


#: Class of an error -> status; the first that fits counts.
_STATUSES: tuple[tuple[type[Exception], int], ...] = (
    (NotFoundError, 404),
    (ConflictError, 409),
    (IllegalTransitionError, 409),
    (BadInputError, 422),
    (PodformError, 409),
)


def response_to(error: Exception, body: type[BaseModel] | None) -> Response | None:
    """The answer to what a service or decoder raised; None for an error that is nobody's but ours.

    `body` is the model of the request's document: it says where a field stands.
    """
    if isinstance(error, RequestError):
        return error_response(error.status, error.problems, error.headers)
    if isinstance(error, AlreadyExistsError):  # two requests at once with the same id or name
        return error_response(409, [Problem("it exists already")])
    if isinstance(error, StorageFullError | StorageAwayError):
        return _not_stored(error)
    if isinstance(error, BadInputError):
        return error_response(422, [Problem(str(error), _source(error.field, body))])
    for kind, status in _STATUSES:
        if isinstance(error, kind):
            return error_response(status, [Problem(str(error))])
    return None


def _not_stored(error: StorageFullError | StorageAwayError) -> Response:
    if isinstance(error, StorageFullError):
        return error_response(507, [Problem("no room is left to keep this; nothing was changed")])
    return error_response(503, [Problem(f"{error}; nothing was changed, try again")], {"Retry-After": "1"})


def document_problems(error: ValidationError) -> list[Problem]:
    """What pydantic found wrong in a document, without the values."""
    return [Problem(_detail(found), {"pointer": _pointer(found["loc"])}) for found in _found(error)]


def query_problems(error: ValidationError) -> list[Problem]:
    """What pydantic found wrong in a query string, without the values."""
    return [Problem(_detail(found), {"parameter": str(found["loc"][0])}) for found in _found(error) if found["loc"]]


def exception_handlers() -> Mapping[Any, Callable[[Request, Exception], Awaitable[Response]]]:
    """For Starlette: what is raised outside of any operation."""
    return {HTTPException: _http_exception, DatabaseAwayError: _database_away, Exception: _our_fault}


async def _http_exception(request: Request, error: Exception) -> Response:
    status, headers = 500, None
    if isinstance(error, HTTPException):
        status, headers = error.status_code, error.headers
    details = {404: "there is nothing at this path", 405: f"{request.method} is not possible here"}
    return error_response(status, [Problem(details.get(status, HTTPStatus(status).phrase))], headers)


async def _database_away(_request: Request, _error: Exception) -> Response:
    return error_response(503, [Problem("the database is away; try again")], {"Retry-After": "1"})


async def _our_fault(_request: Request, _error: Exception) -> Response:
    # outside of the middleware that adds it to every other answer: with it, the line in the log is found
    request_id = log_context.current().get("request_id", "")
    return error_response(500, [Problem("Podform failed; its log says why")], {"X-Request-Id": request_id})


def _found(error: ValidationError) -> list[Any]:
    return list(error.errors(include_url=False, include_context=False, include_input=False))


def _detail(found: Mapping[str, Any]) -> str:
    name = next((part for part in reversed(found["loc"]) if isinstance(part, str)), "document")
    message = str(found["msg"]).removeprefix("Value error, ")
    if found["type"] == "extra_forbidden":
        message = "is not a field that can be written here"
    elif found["type"] == "missing":
        message = "is missing"
    else:
        message = message[:1].lower() + message[1:]
    return f"{name[:100]}: {message}"


def _pointer(loc: Sequence[int | str]) -> str:
    """A JSON pointer (RFC 6901)."""
    parts = (str(part).replace("~", "~0").replace("/", "~1") for part in loc)
    return "".join(f"/{part}" for part in parts)[:_MAX_POINTER_CHARACTERS]


def _source(field_name: str, body: type[BaseModel] | None) -> dict[str, str]:
    """Where a field that a service complained of (`name`, `targetAddrs[0]`) stands in the request's document."""
    if body is None:
        return {}
    base = "/data/attributes/" if "data" in body.model_fields else "/"
    return {"pointer": base + re.sub(r"\[(\d+)\]", r"/\1", field_name)}

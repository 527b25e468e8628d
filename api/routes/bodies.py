"""Reading request bodies under a limit, as they arrive. Called by every route that takes one.

A body that announces too much is refused before a byte of it is read; one that announces nothing, as soon as
it is too much. At no time is more than the limit in memory.
"""

from collections.abc import Callable
from typing import Any

import orjson
from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from api.routes.errors import MEDIA_TYPE, RequestError, document_problems, refused

JSON_TYPES = frozenset({MEDIA_TYPE, "application/json"})


def _too_large(limit: int) -> Exception:
    return refused(413, f"the body is larger than the {limit} bytes that are allowed here")


async def read_body(request: Request, limit: int, too_large: Callable[[int], Exception] = _too_large) -> bytes:
    """The whole body of at most `limit` bytes; for a larger one `too_large` is raised."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:20]) > limit:
        raise too_large(limit)
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise too_large(limit)
        parts.append(part)
    return b"".join(parts)


async def read_document(request: Request, limit: int) -> Any:
    """The JSON of the body. RequestError: 415 for another type, 413, 400 when it is no JSON."""
    _check_type(request)
    body = await read_body(request, limit)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        where = f" (line {error.lineno}, column {error.colno})" if body else ""
        problem = error.msg.split(":")[0] if body else "it is empty"
        raise refused(400, f"the body is no JSON: {problem}{where}") from None


def decoded(document: Any, model: type[BaseModel]) -> BaseModel:
    """The document as its model. RequestError: 400 when it is no such document at all, 422 for its fields."""
    if not isinstance(document, dict):
        raise refused(400, "the body must be a JSON object", pointer="")
    if "data" in model.model_fields and not isinstance(document.get("data"), dict):
        raise refused(400, "the body must be a JSON:API document: an object with the object `data`", pointer="/data")
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise RequestError(422, document_problems(error)) from None


def _check_type(request: Request) -> None:
    kind = request.headers.get("content-type", MEDIA_TYPE).split(";")[0].strip().lower()
    if kind not in JSON_TYPES:
        raise refused(415, f"Content-Type must be {MEDIA_TYPE} or application/json", header="Content-Type")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise refused(415, "Content-Encoding: send the body as it is", header="Content-Encoding")

"""The executor face: `/executor/v1`, as common/executor_api.py describes it. Decode, one service, encode.

A refusal is a 4xx with a `code` (Refusal) that tells the executor what to make of it; trouble of ours is a
5xx, which the executor repeats.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Route

from api.routes.bodies import read_body
from api.services import (
    attempt_access,
    claim_step,
    engines,
    receive_checkout,
    receive_state,
    record_step_report,
    step_deliveries,
)
from api.services.errors import NotFoundError, RefusedError
from api.services.ports import Ports, StorageAwayError, StorageFullError
from api.services.receive_state import ShippedState
from common import executor_api, step_report
from common.errors import BadInputError, PodformError
from common.executor_api import Refusal
from common.git_source import commit_from_json

_STATUS = {
    Refusal.UNKNOWN: 404,
    Refusal.SUPERSEDED: 409,
    Refusal.CLAIMED: 409,
    Refusal.CANCELED: 409,
    Refusal.SETTLED: 409,
    Refusal.GAP: 409,
    Refusal.STATE_CONFLICT: 409,
    Refusal.ENGINE_UNAVAILABLE: 409,
    Refusal.BAD_REQUEST: 422,
}
#: A claim, a report: small documents. The message of a report is cut at 4,000 characters by its writer.
_MAX_DOCUMENT_BYTES = 256 * 1024
_MAX_PLAN_BYTES = 1024**3


class _TooLargeError(BadInputError):
    """A body is larger than its endpoint takes."""

    def __init__(self, most: int) -> None:
        super().__init__("body", f"has more than the {most} bytes that are allowed here")


Endpoint = Callable[[Ports, str, Request], Awaitable[Response]]


def routes(ports: Ports) -> list[BaseRoute]:
    """All routes of the executor face."""
    table: list[tuple[str, str, Endpoint]] = [
        ("POST", executor_api.CLAIM, _claim),
        ("GET", executor_api.CONFIGURATION, _configuration),
        ("PUT", executor_api.CONFIGURATION, _put_configuration),
        ("PUT", executor_api.COMMIT, _put_commit),
        ("GET", executor_api.STATE, _get_state),
        ("PUT", executor_api.STATE, _put_state),
        ("POST", executor_api.LOG, _log),
        ("GET", executor_api.HEARTBEAT, _heartbeat),
        ("GET", f"{executor_api.ARTIFACTS}/{{name}}", _get_artifact),
        ("PUT", f"{executor_api.ARTIFACTS}/{{name}}", _put_artifact),
        ("GET", executor_api.ENGINE, _engine),
        ("GET", executor_api.ENGINE_ARCHIVE, _engine_archive),
        ("POST", executor_api.FINISH, _finish),
    ]
    return [
        Route(f"{executor_api.PREFIX}/{{step_id}}/{path}", _guarded(ports, endpoint), methods=[method])
        for method, path, endpoint in table
    ]


def _guarded(ports: Ports, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint with every error translated."""

    async def guarded(request: Request) -> Response:
        try:
            return await endpoint(ports, request.path_params["step_id"], request)
        except PodformError as error:
            if (refused := _refused(error)) is None:
                raise
            return refused
        except StorageFullError as error:
            return _json({"code": "storage_full", "message": str(error)}, 507)
        except StorageAwayError as error:
            return _json({"code": "storage_away", "message": str(error)}, 503)
        except ClientDisconnect:
            return Response(status_code=499)

    return guarded


async def _claim(ports: Ports, step_id: str, request: Request) -> Response:
    body = executor_api.claim_request_from_json(await _document(request))
    proof = request.headers.get(executor_api.PROOF_HEADER, "")
    answer = await claim_step.claim_step(ports, step_id, body, proof)
    return _json(answer.to_json())


async def _configuration(ports: Ports, step_id: str, request: Request) -> Response:
    content = await step_deliveries.configuration_for_step(ports, step_id, _token(request))
    return Response(content, media_type="application/gzip")


async def _put_configuration(ports: Ports, step_id: str, request: Request) -> Response:
    await attempt_access.admit(ports, step_id, _token(request))
    content = await read_body(request, ports.rules.max_configuration_bytes, _TooLargeError)
    sha256 = request.headers.get(executor_api.SHA256_HEADER, "")
    await receive_checkout.receive_checkout(ports, step_id, _token(request), content, sha256)
    return _json({"sha256": sha256})


async def _put_commit(ports: Ports, step_id: str, request: Request) -> Response:
    commit = commit_from_json(await _document(request))
    await receive_checkout.receive_commit(ports, step_id, _token(request), commit)
    return _json({"commitId": commit.id})


async def _get_state(ports: Ports, step_id: str, request: Request) -> Response:
    found = await receive_state.state_for_step(ports, step_id, _token(request))
    if found is None:
        return Response(status_code=204)
    version, content = found
    headers = {
        executor_api.SERIAL_HEADER: str(version.serial),
        executor_api.LINEAGE_HEADER: version.lineage,
        executor_api.MD5_HEADER: version.md5,
    }
    return Response(content, media_type="application/octet-stream", headers=headers)


async def _put_state(ports: Ports, step_id: str, request: Request) -> Response:
    headers = request.headers
    serial = headers.get(executor_api.SERIAL_HEADER, "")
    if not serial.isascii() or not serial.isdecimal() or len(serial) > 18:
        raise BadInputError(executor_api.SERIAL_HEADER, "must be a whole number")
    await attempt_access.admit(ports, step_id, _token(request))
    shipped = ShippedState(
        content=await read_body(request, ports.rules.max_state_bytes, _TooLargeError),
        serial=int(serial),
        lineage=headers.get(executor_api.LINEAGE_HEADER, ""),
        md5=headers.get(executor_api.MD5_HEADER, ""),
        final=headers.get(executor_api.FINAL_HEADER, "") == "true",
    )
    version = await receive_state.receive_state(ports, step_id, _token(request), shipped)
    return _json({"stateVersionId": version.id, "serial": version.serial})


async def _log(ports: Ports, step_id: str, request: Request) -> Response:
    offset = _query_number(request, "offset", 0, 2**53)
    content = await read_body(request, executor_api.MAX_LOG_CHUNK_BYTES, _TooLargeError)
    length = await step_deliveries.append_log(ports, step_id, _token(request), offset, content)
    return _json({"next": length})


async def _heartbeat(ports: Ports, step_id: str, request: Request) -> Response:
    beat = executor_api.heartbeat_request_from_query(request.query_params)
    answer = await step_deliveries.heartbeat(ports, step_id, _token(request), beat)
    return _json(answer.to_json())


async def _get_artifact(ports: Ports, step_id: str, request: Request) -> Response:
    content = await step_deliveries.get_artifact(ports, step_id, _token(request), request.path_params["name"])
    return Response(content, media_type="application/octet-stream")


async def _put_artifact(ports: Ports, step_id: str, request: Request) -> Response:
    await attempt_access.admit(ports, step_id, _token(request))
    content = await read_body(request, _MAX_PLAN_BYTES, _TooLargeError)
    sha256 = request.headers.get(executor_api.SHA256_HEADER, "")
    name = request.path_params["name"]
    await step_deliveries.put_artifact(ports, step_id, _token(request), name, content, sha256)
    return _json({"name": name})


async def _engine(ports: Ports, step_id: str, request: Request) -> Response:
    platform = request.query_params.get("platform", "")
    found = await engines.engine_for_step(ports, step_id, _token(request), platform)
    if found is None:
        return _json({}, 202)
    return _json({"version": found.version, "sha256": found.sha256, "size": found.size})


async def _engine_archive(ports: Ports, step_id: str, request: Request) -> Response:
    version, platform = request.query_params.get("version", ""), request.query_params.get("platform", "")
    found = await engines.archive_for_step(ports, step_id, _token(request), version, platform)
    return FileResponse(found.path, media_type="application/zip", headers={executor_api.SHA256_HEADER: found.sha256})


async def _finish(ports: Ports, step_id: str, request: Request) -> Response:
    report = step_report.from_json(await _document(request))
    await record_step_report.record_step_report(ports, step_id, _token(request), report)
    return _json({"recorded": True})


def _token(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise RefusedError(Refusal.UNKNOWN, "no such step, or the token does not fit")
    return token


def _query_number(request: Request, name: str, default: int, most: int) -> int:
    text = request.query_params.get(name, str(default))
    if not text.isascii() or not text.isdecimal() or len(text) > 18 or int(text) > most:
        raise BadInputError(name, f"must be a whole number from 0 to {most}")
    return int(text)


async def _document(request: Request) -> dict[str, Any]:
    try:
        document = orjson.loads(await read_body(request, _MAX_DOCUMENT_BYTES, _TooLargeError))
    except orjson.JSONDecodeError as error:
        raise BadInputError("body", "is not JSON") from error
    if not isinstance(document, dict):
        raise BadInputError("body", "must be a JSON object")
    return document


def _refused(error: PodformError) -> Response | None:
    """The refusal that an error stands for; None for trouble of ours."""
    if isinstance(error, RefusedError):
        expected = {} if error.expected is None else {"expected": error.expected}
        return _json({"code": error.refusal, "message": str(error), **expected}, _STATUS[error.refusal])
    if isinstance(error, BadInputError):
        status = 413 if isinstance(error, _TooLargeError) else _STATUS[Refusal.BAD_REQUEST]
        return _json({"code": Refusal.BAD_REQUEST, "message": str(error)}, status)
    if isinstance(error, NotFoundError):
        return _json({"code": Refusal.UNKNOWN, "message": str(error)}, _STATUS[Refusal.UNKNOWN])
    return None


def _json(body: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(body), status, media_type="application/json")

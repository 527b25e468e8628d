"""Logs of steps at `/tfoutput/v1`: raw bytes by offset, and as server-sent events. Calls services/read_runs."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from pydantic import Field
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.responses import Response, StreamingResponse

from api.routes.errors import refused
from api.routes.operations import Answer, Call, Operation
from api.routes.queries import MAX_OFFSET, Query
from api.routes.terrakube.log_events import EventCutter
from api.services import read_runs
from api.services.errors import NotFoundError
from api.services.read_runs import LogPart, LogPlace

PATH = "/tfoutput/v1/organization/{organization_id}/job/{job}/step/{step_id}"
STREAM = f"{PATH}/stream"

NEXT_HEADER = "X-Podform-Log-Next"
END_HEADER = "X-Podform-Log-End"

#: A log goes out in pieces of this size, however long it is.
PIECE_BYTES = 256 * 1024
#: An event is small enough to be drawn at once.
EVENT_BYTES = 32 * 1024
MAX_WAIT_SECONDS = 30


class OffsetQuery(Query):
    """Where to start."""

    offset: int = Field(0, ge=0, le=MAX_OFFSET, description="first byte")


class LogQuery(OffsetQuery):
    """Which part of the log."""

    limit: int | None = Field(None, ge=1, le=MAX_OFFSET, description="at most so many bytes; all there are if missing")
    wait: float = Field(0, ge=0, le=MAX_WAIT_SECONDS, description="hold the answer for so many seconds")


async def _log(call: Call) -> Response:
    query = call.query(LogQuery)
    limit = query.limit or MAX_OFFSET
    place = LogPlace(call.organization, call.path("job"), call.path("step_id"), query.offset)
    first = await read_runs.read_log(
        call.ports, call.principal, place, limit=min(limit, PIECE_BYTES), wait_seconds=query.wait
    )
    until = max(min(query.offset + limit, first.size), first.next_offset)
    headers = {
        NEXT_HEADER: str(until),
        END_HEADER: "true" if first.final and until >= first.size else "false",
        "Cache-Control": "no-store",
        "Content-Length": str(until - query.offset),
        # what a run printed is never a page of ours
        "Content-Type": "text/plain; charset=utf-8",
        "X-Content-Type-Options": "nosniff",
    }
    return StreamingResponse(_pieces(call, place, first, until), headers=headers)


async def _pieces(call: Call, place: LogPlace, part: LogPart, until: int) -> AsyncGenerator[bytes, None]:
    yield part.content
    while part.next_offset < until:
        place = replace(place, offset=part.next_offset)
        limit = min(until - part.next_offset, PIECE_BYTES)
        part = await read_runs.read_log(call.ports, call.principal, place, limit=limit)
        if not part.content:
            return  # the log went away with its workspace: the answer ends short, which the client notices
        yield part.content


async def _stream(call: Call) -> Response:
    place = LogPlace(call.organization, call.path("job"), call.path("step_id"), _start(call))
    first = await read_runs.read_log(call.ports, call.principal, place, limit=EVENT_BYTES)
    # the line end is one byte: with it, a text that is split at its line feeds comes back byte for byte
    return EventSourceResponse(_events(call, place, first), sep="\n", headers={"X-Content-Type-Options": "nosniff"})


def _start(call: Call) -> int:
    """The offset that the reader was at: its Last-Event-ID, else the parameter."""
    last = call.request.headers.get("last-event-id", "").strip()
    if not last:
        return call.query(OffsetQuery).offset
    if not (last.isascii() and last.isdecimal() and len(last) <= 16 and int(last) <= MAX_OFFSET):
        raise refused(422, "Last-Event-ID: must be the id of an event of this stream", header="Last-Event-ID")
    return int(last)


async def _events(call: Call, place: LogPlace, first: LogPart) -> AsyncGenerator[ServerSentEvent, None]:
    cutter = EventCutter(place.offset)
    async with aclosing(_parts(call, place, first)) as parts:
        async for part in parts:
            more = part.next_offset < part.size
            if event := cutter.cut(part.content, more=more, ended=part.ended):
                yield ServerSentEvent(event.text, id=str(event.offset), sep="\n")
            if part.ended:
                yield ServerSentEvent(str(part.next_offset), event="end", id=str(part.next_offset), sep="\n")


async def _parts(call: Call, place: LogPlace, first: LogPart) -> AsyncGenerator[LogPart, None]:
    yield first
    if first.ended:
        return
    place = replace(place, offset=first.next_offset)
    try:
        async with aclosing(read_runs.follow_log(call.ports, call.principal, place, limit=EVENT_BYTES)) as following:
            async for part in following:
                yield part
    except NotFoundError:
        return  # deleted meanwhile: the stream just stops, and who comes back is told so


_HEADERS = f"`{NEXT_HEADER}` is the offset to go on at, `{END_HEADER}` is `true` when nothing will follow"

OPERATIONS = (
    Operation(
        method="GET",
        path=PATH,
        act=_log,
        summary="Read a step's log as raw bytes",
        query=LogQuery,
        answer=Answer(media_type="text/plain", description=f"The bytes. {_HEADERS}"),
    ),
    Operation(
        method="GET",
        path=STREAM,
        act=_stream,
        summary="Follow a step's log as server-sent events",
        query=OffsetQuery,
        headers={"Last-Event-ID": "resume behind this event"},
        answer=Answer(
            media_type="text/event-stream",
            description="Events whose id is the byte offset behind them; the event `end` comes last",
        ),
    ),
)

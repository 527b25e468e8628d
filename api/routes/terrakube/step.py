"""Steps of a job at `…/step`, for reading. Calls services/read_runs, encodes; job.py includes steps by it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import Field
from starlette.responses import Response

from api.domain.entities import Run, RunRecord, Step
from api.routes import jsonapi
from api.routes.jsonapi import Read
from api.routes.operations import Answer, Call, Operation
from api.routes.queries import PageQuery
from api.services import read_runs
from common.statuses import STEP_WORDS, StepKind

KIND = "step"
PATH = "/api/v1/organization/{organization_id}/job/{job}/step"
ONE = f"{PATH}/{{step_id}}"


class StepRead(Read):
    """What is answered; `output` is the URL of the log, empty for a step that has none."""

    number: int = Field(serialization_alias="stepNumber")
    name: str
    kind: str = Field(serialization_alias="type")
    status: str
    output: str
    attempt: int
    taken_over_from: str
    failure_reason: str | None
    message: str
    exit_code: int | None
    log_bytes: int | None
    expires_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    timings: Mapping[str, float]


def encoded(call: Call, run: Run, step: Step) -> dict[str, Any]:
    """The resource object."""
    place = f"organization/{run.organization_id}/job/{run.number}/step/{step.id}"
    report = step.report
    read = StepRead(
        number=step.number,
        name=step.name,
        kind=step.kind.value,
        status=STEP_WORDS[step.status].value,
        output="" if step.kind is StepKind.APPROVAL else call.url(f"/tfoutput/v1/{place}"),
        attempt=step.attempt,
        taken_over_from=step.taken_over_from.rpartition("-")[0],
        failure_reason=step.failure_reason.value if step.failure_reason else None,
        message=step.message,
        exit_code=report.exit_code if report else None,
        log_bytes=report.log_bytes if report else None,
        expires_at=step.expires_at,
        started_at=step.started_at,
        finished_at=step.finished_at,
        timings=report.timings if report else {},
    )
    return jsonapi.resource(KIND, step.id, read, {"job": jsonapi.related("job", str(run.number))}, f"/api/v1/{place}")


async def _record(call: Call) -> RunRecord:
    record, _ = await read_runs.get_run(call.ports, call.principal, call.organization, call.path("job"))
    return record


async def _list(call: Call) -> Response:
    page = call.query(PageQuery).page
    record = await _record(call)
    part = record.steps[(page.number - 1) * page.size : page.number * page.size]
    return jsonapi.many([encoded(call, record.run, step) for step in part], len(record.steps), page)


async def _get(call: Call) -> Response:
    record, step = await read_runs.get_step(
        call.ports, call.principal, call.organization, call.path("job"), call.path("step_id")
    )
    return jsonapi.one(encoded(call, record.run, step))


OPERATIONS = (
    Operation(
        method="GET",
        path=PATH,
        act=_list,
        summary="List the job's steps in order",
        query=PageQuery,
        answer=Answer(kind=KIND, attributes=StepRead, many=True, description="A page of steps"),
    ),
    Operation(
        method="GET",
        path=ONE,
        act=_get,
        summary="Read a step",
        answer=Answer(kind=KIND, attributes=StepRead, description="The step"),
    ),
)

"""The plan of a job at `…/job/{job}/plan`, plain JSON. Calls services/read_plan, encodes."""

from typing import Any

import orjson
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.routes.operations import Answer, Call, Operation
from api.routes.queries import Query
from api.routes.terrakube import job
from api.services import read_plan

PATH = f"{job.ONE}/plan"


class PlanQuery(Query):
    """The parameters of a plan."""

    raw: bool = Field(default=False, description="the file as terraform wrote it, sensitive values too: admins only")


class PlanRead(BaseModel):
    """What is answered: the fields of terraform's plan JSON that say what changes."""

    format_version: str
    terraform_version: str
    errored: bool
    resource_changes: list[dict[str, Any]]
    resource_drift: list[dict[str, Any]]
    output_changes: dict[str, dict[str, Any]]


async def _get(call: Call) -> Response:
    where = (call.ports, call.principal, call.organization, call.path("job"))
    if call.query(PlanQuery).raw:
        body = await read_plan.read_raw_plan(*where)
    else:
        body = orjson.dumps(await read_plan.read_plan(*where))
    return Response(body, media_type="application/json", headers={"Cache-Control": "no-store"})


OPERATIONS = (
    Operation(
        method="GET",
        path=PATH,
        act=_get,
        summary="Read what the job's plan changes",
        query=PlanQuery,
        answer=Answer(attributes=PlanRead, media_type="application/json", description="The changes"),
    ),
)

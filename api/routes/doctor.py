"""The doctor's report at `/doctor/v1`, plain JSON. Calls services/doctor, encodes."""

from importlib.metadata import version
from typing import Any

import orjson
from pydantic import BaseModel
from starlette.responses import Response

from api.routes.operations import Answer, Call, Operation
from api.services import doctor

PATH = "/doctor/v1"


class DoctorRead(BaseModel):
    """What is answered; each finding has `name`, `status` (ok, warning, failed), `message` and `advice`."""

    version: str
    findings: list[dict[str, Any]]


async def _get(call: Call) -> Response:
    found = await doctor.examine(call.ports, call.principal)
    findings = [
        {"name": each.name, "status": each.status, "message": each.message, "advice": each.advice} for each in found
    ]
    body = orjson.dumps({"version": version("podform"), "findings": findings})
    return Response(body, media_type="application/json", headers={"Cache-Control": "no-store"})


OPERATIONS = (
    Operation(
        method="GET",
        path=PATH,
        act=_get,
        summary="Ask every part whether it works",
        answer=Answer(attributes=DoctorRead, media_type="application/json", description="What was found"),
    ),
)

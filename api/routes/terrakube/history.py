"""State versions of a workspace: listed at `…/history`, their contents at `/tfstate/v1`.

Calls services/read_runs and services/roll_back_state.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field
from starlette.responses import Response

from api.domain.entities import StateVersion
from api.routes import jsonapi
from api.routes.jsonapi import Document, Read, Written
from api.routes.operations import Answer, Call, Operation
from api.routes.queries import PageQuery
from api.routes.terrakube import workspace
from api.services import read_runs, roll_back_state

KIND = "history"
PATH = f"{workspace.ONE}/history"
ONE = f"{PATH}/{{state_version_id}}"
STATE = "/tfstate/v1/organization/{organization_id}/workspace/{workspace_id}/state"
CURRENT_STATE = f"{STATE}/terraform.tfstate"
ONE_STATE = f"{STATE}/{{state_version_id}}.json"


class RollbackAttributes(Written):
    """The one way by which a caller of this face makes a state version."""

    rollback_to: Annotated[str, jsonapi.id_of("state_version")] = Field(
        description="id of the version whose content is to be the newest again"
    )


class NewHistory(Written):
    """The resource of a POST."""

    type: Literal["history"]
    attributes: RollbackAttributes


class HistoryRead(Read):
    """What is answered; `jobReference` is the run's id, `output` the URL of the state."""

    serial: int
    lineage: str
    md5: str
    size: int
    run_id: str = Field(serialization_alias="jobReference")
    final: bool
    created_at: datetime = Field(serialization_alias="createdDate")
    output: str = ""


def encoded(call: Call, version: StateVersion) -> dict[str, Any]:
    """The resource object."""
    read = HistoryRead.model_validate(version)
    place = f"organization/{call.organization}/workspace/{version.workspace_id}"
    read.output = call.url(f"/tfstate/v1/{place}/state/{version.id}.json")
    relationships = {"workspace": jsonapi.related("workspace", version.workspace_id)}
    return jsonapi.resource(KIND, version.id, read, relationships, f"/api/v1/{place}/history/{version.id}")


async def _list(call: Call) -> Response:
    page = call.query(PageQuery).page
    found = await read_runs.list_state_versions(call.ports, call.principal, call.organization, call.workspace, page)
    return jsonapi.many([encoded(call, item) for item in found.items], found.total, page)


async def _get(call: Call) -> Response:
    version = await read_runs.get_state_version(
        call.ports, call.principal, call.organization, call.workspace, call.path("state_version_id")
    )
    return jsonapi.one(encoded(call, version))


async def _roll_back(call: Call) -> Response:
    wanted = call.body(Document[NewHistory]).data.attributes.rollback_to
    version = await roll_back_state.roll_back_state(
        call.ports, call.principal, call.organization, call.workspace, wanted
    )
    return jsonapi.one(encoded(call, version), 201)


async def _state(call: Call) -> Response:
    """The newest state, or the one whose id is in the path."""
    wanted = call.request.path_params.get("state_version_id", "")
    _, content = await read_runs.get_state(call.ports, call.principal, call.organization, call.workspace, wanted)
    return Response(content, media_type="application/json", headers={"Cache-Control": "no-store"})


_CONTENT = Answer(media_type="application/json", description="The state as terraform wrote it")

OPERATIONS = (
    Operation(
        method="GET",
        path=PATH,
        act=_list,
        summary="List the workspace's state versions, newest first",
        query=PageQuery,
        answer=Answer(kind=KIND, attributes=HistoryRead, many=True, description="A page of state versions"),
    ),
    Operation(
        method="POST",
        path=PATH,
        act=_roll_back,
        summary="Make an earlier state the newest again, as a new version",
        body=Document[NewHistory],
        answer=Answer(status=201, kind=KIND, attributes=HistoryRead, description="The newest state version"),
    ),
    Operation(
        method="GET",
        path=ONE,
        act=_get,
        summary="Read what is known of a state version",
        answer=Answer(kind=KIND, attributes=HistoryRead, description="The state version"),
    ),
    Operation(
        method="GET",
        path=CURRENT_STATE,
        act=_state,
        summary="Download the workspace's current state",
        answer=_CONTENT,
    ),
    Operation(method="GET", path=ONE_STATE, act=_state, summary="Download a state version", answer=_CONTENT),
)

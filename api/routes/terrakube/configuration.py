"""Configuration versions at `…/configuration`: announced, then uploaded. Calls services/configurations."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field
from starlette.responses import Response

from api.domain.entities import ConfigurationVersion
from api.routes import jsonapi
from api.routes.bodies import read_body
from api.routes.jsonapi import Document, Read, Written
from api.routes.operations import Answer, Call, Operation
from api.routes.queries import PageQuery
from api.routes.terrakube import workspace
from api.services import configurations

KIND = "configuration"
PATH = f"{workspace.ONE}/configuration"
ONE = f"{PATH}/{{configuration_id}}"
CONTENT = f"{ONE}/content"


class ConfigurationAttributes(Written):
    """Nothing can be written: the content says it all."""


class NewConfiguration(Written):
    """The resource of a POST."""

    type: Literal["configuration"]
    id: Annotated[str, jsonapi.id_of("configuration_version")] | None = None
    attributes: ConfigurationAttributes = ConfigurationAttributes()


class ConfigurationRead(Read):
    """What is answered."""

    status: str
    sha256: str
    size: int
    created_at: datetime = Field(serialization_alias="createdDate")


def encoded(call: Call, configuration: ConfigurationVersion) -> dict[str, Any]:
    """The resource object."""
    base = f"/api/v1/organization/{call.organization}/workspace/{configuration.workspace_id}/configuration"
    relationships = {"workspace": jsonapi.related("workspace", configuration.workspace_id)}
    read = ConfigurationRead.model_validate(configuration)
    return jsonapi.resource(KIND, configuration.id, read, relationships, f"{base}/{configuration.id}")


async def _list(call: Call) -> Response:
    page = call.query(PageQuery).page
    found = await configurations.list_configurations(
        call.ports, call.principal, call.organization, call.workspace, page
    )
    return jsonapi.many([encoded(call, item) for item in found.items], found.total, page)


async def _create(call: Call) -> Response:
    data = call.body(Document[NewConfiguration]).data
    created = await configurations.create_configuration(
        call.ports, call.principal, call.organization, call.workspace, data.id or ""
    )
    return jsonapi.one(encoded(call, created), 201)


async def _get(call: Call) -> Response:
    found = await configurations.get_configuration(
        call.ports, call.principal, call.organization, call.workspace, call.path("configuration_id")
    )
    return jsonapi.one(encoded(call, found))


async def _upload(call: Call) -> Response:
    content = await read_body(call.request, call.ports.rules.max_configuration_bytes)
    uploaded = await configurations.upload_configuration(
        call.ports, call.principal, call.organization, call.workspace, call.path("configuration_id"), content
    )
    return jsonapi.one(encoded(call, uploaded))


_ANSWER = Answer(kind=KIND, attributes=ConfigurationRead, description="The configuration version")

OPERATIONS = (
    Operation(
        method="GET",
        path=PATH,
        act=_list,
        summary="List the workspace's configuration versions, newest first",
        query=PageQuery,
        answer=Answer(kind=KIND, attributes=ConfigurationRead, many=True, description="A page of configurations"),
    ),
    Operation(
        method="POST",
        path=PATH,
        act=_create,
        summary="Announce a configuration version",
        body=Document[NewConfiguration],
        answer=Answer(status=201, kind=KIND, attributes=ConfigurationRead, description="The configuration version"),
    ),
    Operation(method="GET", path=ONE, act=_get, summary="Read a configuration version", answer=_ANSWER),
    Operation(
        method="PUT",
        path=CONTENT,
        act=_upload,
        summary="Upload the content of a configuration version",
        raw_body="application/gzip",
        answer=_ANSWER,
    ),
)

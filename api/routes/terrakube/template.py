"""Templates of an organization at `…/template`, for reading. Calls services/organizations, encodes."""

import base64
from datetime import datetime
from typing import Any

from pydantic import Field
from starlette.responses import Response

from api.domain.entities import Template
from api.routes import jsonapi
from api.routes.jsonapi import Read
from api.routes.operations import Answer, Call, Operation
from api.routes.queries import NameFilter, PageQuery
from api.routes.terrakube import organization
from api.services import organizations

KIND = "template"
PATH = f"{organization.ONE}/template"
ONE = f"{PATH}/{{template_id}}"


class TemplateRead(Read):
    """What is answered; `tcl` is the flow as YAML in base64."""

    name: str
    description: str
    version: str
    tcl: str
    created_at: datetime = Field(serialization_alias="createdDate")


class TemplateQuery(PageQuery):
    """The parameters of the list."""

    name: NameFilter | None = Field(None, alias="filter[template]", description="name==VALUE")


def encoded(template: Template) -> dict[str, Any]:
    """The resource object."""
    read = TemplateRead.model_validate(template)
    read.tcl = base64.b64encode(template.tcl.encode()).decode()
    relationships = {"organization": jsonapi.related(organization.KIND, template.organization_id)}
    path = f"{organization.PATH}/{template.organization_id}/template/{template.id}"
    return jsonapi.resource(KIND, template.id, read, relationships, path)


async def _list(call: Call) -> Response:
    query = call.query(TemplateQuery)
    found = await organizations.list_templates(call.ports, call.principal, call.organization, query.page, query.name)
    return jsonapi.many([encoded(item) for item in found.items], found.total, query.page)


async def _get(call: Call) -> Response:
    template_id = call.path("template_id")
    return jsonapi.one(
        encoded(await organizations.get_template(call.ports, call.principal, call.organization, template_id))
    )


OPERATIONS = (
    Operation(
        method="GET",
        path=PATH,
        act=_list,
        summary="List the organization's templates",
        query=TemplateQuery,
        answer=Answer(kind=KIND, attributes=TemplateRead, many=True, description="A page of templates"),
    ),
    Operation(
        method="GET",
        path=ONE,
        act=_get,
        summary="Read a template",
        answer=Answer(kind=KIND, attributes=TemplateRead, description="The template"),
    ),
)

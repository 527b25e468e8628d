"""Organizations at `/api/v1/organization`. Decodes, calls services/organizations, encodes."""

from typing import Annotated, Any, Literal

from pydantic import Field
from starlette.responses import Response

from api.domain.entities import Organization
from api.routes import jsonapi
from api.routes.jsonapi import Document, NullableText, Read, Text, Written
from api.routes.operations import Answer, Call, Operation
from api.routes.queries import NameFilter, PageQuery
from api.services import organizations

KIND = "organization"
PATH = "/api/v1/organization"
ONE = f"{PATH}/{{organization_id}}"


class OrganizationAttributes(Written):
    """What can be written. An organization has no switches of its own yet: only their one value is taken."""

    name: Text = ""
    description: NullableText = ""
    execution_mode: Literal["remote"] = "remote"
    disabled: Literal[False] = False


class NewOrganizationAttributes(OrganizationAttributes):
    """What creation needs."""

    name: Text


class NewOrganization(Written):
    """The resource of a POST."""

    type: Literal["organization"]
    id: Annotated[str, jsonapi.id_of("organization")] | None = None
    attributes: NewOrganizationAttributes


class ChangedOrganization(Written):
    """The resource of a PATCH."""

    type: Literal["organization"]
    id: str | None = None
    attributes: OrganizationAttributes


class OrganizationRead(Read):
    """What is answered."""

    name: str
    description: str
    execution_mode: str
    disabled: bool


class OrganizationQuery(PageQuery):
    """The parameters of the list."""

    name: NameFilter | None = Field(None, alias="filter[organization]", description="name==VALUE")


def encoded(organization: Organization) -> dict[str, Any]:
    """The resource object."""
    read = OrganizationRead(
        name=organization.name, description=organization.description, execution_mode="remote", disabled=False
    )
    return jsonapi.resource(KIND, organization.id, read, {}, f"{PATH}/{organization.id}")


async def _list(call: Call) -> Response:
    query = call.query(OrganizationQuery)
    found = await organizations.list_organizations(call.ports, call.principal, query.page, query.name)
    return jsonapi.many([encoded(item) for item in found.items], found.total, query.page)


async def _create(call: Call) -> Response:
    data = call.body(Document[NewOrganization]).data
    created = await organizations.create_organization(
        call.ports,
        call.principal,
        name=data.attributes.name,
        description=data.attributes.description,
        wanted_id=data.id or "",
    )
    return jsonapi.one(encoded(created), 201)


async def _get(call: Call) -> Response:
    return jsonapi.one(encoded(await organizations.get_organization(call.ports, call.principal, call.organization)))


async def _change(call: Call) -> Response:
    data = call.body(Document[ChangedOrganization]).data
    jsonapi.check_same_id(data.id, call.organization)
    fields = data.attributes.fields()
    changed = await organizations.change_organization(
        call.ports,
        call.principal,
        call.organization,
        name=fields.get("name"),
        description=fields.get("description"),
    )
    return jsonapi.one(encoded(changed))


async def _delete(call: Call) -> Response:
    await organizations.delete_organization(call.ports, call.principal, call.organization)
    return jsonapi.nothing()


_ANSWER = Answer(kind=KIND, attributes=OrganizationRead, description="The organization")

OPERATIONS = (
    Operation(
        method="GET",
        path=PATH,
        act=_list,
        summary="List the organizations that the token may see",
        query=OrganizationQuery,
        answer=Answer(kind=KIND, attributes=OrganizationRead, many=True, description="A page of organizations"),
    ),
    Operation(
        method="POST",
        path=PATH,
        act=_create,
        summary="Create an organization with the default templates",
        body=Document[NewOrganization],
        answer=Answer(status=201, kind=KIND, attributes=OrganizationRead, description="The organization"),
    ),
    Operation(method="GET", path=ONE, act=_get, summary="Read an organization", answer=_ANSWER),
    Operation(
        method="PATCH",
        path=ONE,
        act=_change,
        summary="Change an organization",
        body=Document[ChangedOrganization],
        answer=_ANSWER,
    ),
    Operation(
        method="DELETE",
        path=ONE,
        act=_delete,
        summary="Delete an organization that has no workspaces",
        answer=Answer(status=204, description="It is gone"),
    ),
)

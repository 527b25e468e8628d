"""Variables of a workspace at `…/variable`. Decodes, calls services/variables, encodes.

A sensitive value is never answered and never part of an error.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field
from starlette.responses import Response

from api.domain.entities import Variable, VariableCategory
from api.routes import jsonapi
from api.routes.jsonapi import Document, NullableText, Read, Text, Written
from api.routes.operations import Answer, Call, Operation
from api.routes.queries import PageQuery
from api.routes.terrakube import workspace
from api.services import variables

KIND = "variable"
PATH = f"{workspace.ONE}/variable"
ONE = f"{PATH}/{{variable_id}}"


class VariableAttributes(Written):
    """What can be written: the JSON names are the entity's."""

    key: Text = ""
    value: str = ""
    category: Literal["TERRAFORM", "ENV"] = "TERRAFORM"
    sensitive: bool = False
    hcl: bool = False
    description: NullableText = ""

    def fields(self) -> dict[str, Any]:
        """The entity's fields."""
        given = super().fields()
        return given | ({"category": VariableCategory(self.category)} if "category" in given else {})


class NewVariableAttributes(VariableAttributes):
    """What creation needs."""

    key: Text


class NewVariable(Written):
    """The resource of a POST."""

    type: Literal["variable"]
    id: Annotated[str, jsonapi.id_of("variable")] | None = None
    attributes: NewVariableAttributes


class ChangedVariable(Written):
    """The resource of a PATCH."""

    type: Literal["variable"]
    id: str | None = None
    attributes: VariableAttributes


class VariableRead(Read):
    """What is answered; `value` is null for a sensitive variable."""

    key: str
    value: str | None
    category: str
    sensitive: bool
    hcl: bool
    description: str
    created_at: datetime = Field(serialization_alias="createdDate")


def encoded(call: Call, variable: Variable) -> dict[str, Any]:
    """The resource object."""
    read = VariableRead.model_validate(variable)
    if variable.sensitive:
        read.value = None
    path = f"/api/v1/organization/{call.organization}/workspace/{variable.workspace_id}/variable/{variable.id}"
    return jsonapi.resource(
        KIND, variable.id, read, {"workspace": jsonapi.related("workspace", variable.workspace_id)}, path
    )


async def _list(call: Call) -> Response:
    page = call.query(PageQuery).page
    found = await variables.list_variables(call.ports, call.principal, call.organization, call.workspace, page)
    return jsonapi.many([encoded(call, item) for item in found.items], found.total, page)


async def _create(call: Call) -> Response:
    data = call.body(Document[NewVariable]).data
    created = await variables.create_variable(
        call.ports, call.principal, call.organization, call.workspace, data.attributes.fields(), data.id or ""
    )
    return jsonapi.one(encoded(call, created), 201)


async def _get(call: Call) -> Response:
    found = await variables.get_variable(
        call.ports, call.principal, call.organization, call.workspace, call.path("variable_id")
    )
    return jsonapi.one(encoded(call, found))


async def _change(call: Call) -> Response:
    data = call.body(Document[ChangedVariable]).data
    jsonapi.check_same_id(data.id, call.path("variable_id"))
    changed = await variables.change_variable(
        call.ports,
        call.principal,
        call.organization,
        call.workspace,
        call.path("variable_id"),
        data.attributes.fields(),
    )
    return jsonapi.one(encoded(call, changed))


async def _delete(call: Call) -> Response:
    await variables.delete_variable(
        call.ports, call.principal, call.organization, call.workspace, call.path("variable_id")
    )
    return jsonapi.nothing()


_ANSWER = Answer(kind=KIND, attributes=VariableRead, description="The variable")

OPERATIONS = (
    Operation(
        method="GET",
        path=PATH,
        act=_list,
        summary="List the workspace's variables",
        query=PageQuery,
        answer=Answer(kind=KIND, attributes=VariableRead, many=True, description="A page of variables"),
    ),
    Operation(
        method="POST",
        path=PATH,
        act=_create,
        summary="Create a variable",
        body=Document[NewVariable],
        answer=Answer(status=201, kind=KIND, attributes=VariableRead, description="The variable"),
    ),
    Operation(method="GET", path=ONE, act=_get, summary="Read a variable", answer=_ANSWER),
    Operation(
        method="PATCH",
        path=ONE,
        act=_change,
        summary="Change a variable",
        body=Document[ChangedVariable],
        answer=_ANSWER,
    ),
    Operation(
        method="DELETE",
        path=ONE,
        act=_delete,
        summary="Delete a variable",
        answer=Answer(status=204, description="It is gone"),
    ),
)

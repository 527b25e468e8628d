"""Directories of an organization at `…/directory`. Decodes, calls services/directories, encodes."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field
from starlette.responses import Response

from api.domain.directories import Directory
from api.routes import jsonapi
from api.routes.jsonapi import Document, NullableText, Read, Text, Written
from api.routes.operations import Answer, Call, Operation
from api.routes.queries import NameFilter, PageQuery, Query
from api.routes.terrakube import organization
from api.services import directories

KIND = "directory"
PATH = f"{organization.ONE}/directory"
ONE = f"{PATH}/{{directory_id}}"


class DirectoryIdentifier(Written):
    """A reference to a directory."""

    type: Literal["directory"]
    id: Annotated[str, jsonapi.id_of("directory")]


class ToDirectory(Written):
    """A relationship to a directory, or to none: the top of the organization."""

    data: DirectoryIdentifier | None


class DirectoryAttributes(Written):
    """What can be written."""

    name: Text = ""
    description: NullableText = ""


class DirectoryRelationships(Written):
    """Where a directory stands."""

    parent: ToDirectory | None = None


class _Resource(Written):
    type: Literal["directory"]
    id: Annotated[str, jsonapi.id_of("directory")] | None = None
    relationships: DirectoryRelationships = Field(default_factory=lambda: DirectoryRelationships.model_validate({}))

    def place(self) -> dict[str, Any]:
        """The entity's field for the relationship, if it was given."""
        parent = self.relationships.parent
        return {} if parent is None else {"parent_id": parent.data.id if parent.data else None}


class NewDirectoryAttributes(DirectoryAttributes):
    """What creation needs."""

    name: Text


class NewDirectory(_Resource):
    """The resource of a POST."""

    attributes: NewDirectoryAttributes


class ChangedDirectory(_Resource):
    """The resource of a PATCH."""

    attributes: DirectoryAttributes = Field(default_factory=lambda: DirectoryAttributes.model_validate({}))


class DirectoryRead(Read):
    """What is answered; `path` holds the names from the top down."""

    name: str
    description: str
    path: str = ""
    created_at: datetime = Field(serialization_alias="createdDate")
    updated_at: datetime = Field(serialization_alias="updatedDate")


class DirectoryQuery(PageQuery):
    """The parameters of the list."""

    name: NameFilter | None = Field(None, alias="filter[directory]", description="name==VALUE")


class DeletionQuery(Query):
    """The parameters of a deletion."""

    move_up: bool = Field(default=False, alias="moveUp", description="what is in it moves to its parent first")


def related(directory_id: str | None) -> dict[str, Any]:
    """The relationship to a directory or to none."""
    return jsonapi.related(KIND, directory_id) if directory_id else {"data": None}


def encoded(directory: Directory, path: str) -> dict[str, Any]:
    """The resource object."""
    read = DirectoryRead.model_validate(directory)
    read.path = path
    relationships = {
        "organization": jsonapi.related(organization.KIND, directory.organization_id),
        "parent": related(directory.parent_id),
    }
    own = f"{organization.PATH}/{directory.organization_id}/directory/{directory.id}"
    return jsonapi.resource(KIND, directory.id, read, relationships, own)


async def _list(call: Call) -> Response:
    query = call.query(DirectoryQuery)
    found, total = await directories.list_directories(
        call.ports, call.principal, call.organization, query.page, query.name
    )
    return jsonapi.many([encoded(*each) for each in found], total, query.page)


async def _create(call: Call) -> Response:
    data = call.body(Document[NewDirectory]).data
    made = await directories.create_directory(
        call.ports, call.principal, call.organization, data.attributes.fields() | data.place(), data.id or ""
    )
    return jsonapi.one(encoded(*made), 201)


async def _get(call: Call) -> Response:
    return jsonapi.one(
        encoded(*await directories.get_directory(call.ports, call.principal, call.organization, _id(call)))
    )


async def _change(call: Call) -> Response:
    data = call.body(Document[ChangedDirectory]).data
    jsonapi.check_same_id(data.id, _id(call))
    fields = data.attributes.fields() | data.place()
    changed = await directories.change_directory(call.ports, call.principal, call.organization, _id(call), fields)
    return jsonapi.one(encoded(*changed))


async def _delete(call: Call) -> Response:
    move_up = call.query(DeletionQuery).move_up
    await directories.delete_directory(call.ports, call.principal, call.organization, _id(call), move_up=move_up)
    return jsonapi.nothing()


def _id(call: Call) -> str:
    return call.path("directory_id")


_ANSWER = Answer(kind=KIND, attributes=DirectoryRead, description="The directory")

OPERATIONS = (
    Operation(
        method="GET",
        path=PATH,
        act=_list,
        summary="List the organization's directories by path",
        query=DirectoryQuery,
        answer=Answer(kind=KIND, attributes=DirectoryRead, many=True, description="A page of directories"),
    ),
    Operation(
        method="POST",
        path=PATH,
        act=_create,
        summary="Create a directory",
        body=Document[NewDirectory],
        answer=Answer(status=201, kind=KIND, attributes=DirectoryRead, description="The directory"),
    ),
    Operation(method="GET", path=ONE, act=_get, summary="Read a directory", answer=_ANSWER),
    Operation(
        method="PATCH",
        path=ONE,
        act=_change,
        summary="Rename, describe or move a directory",
        body=Document[ChangedDirectory],
        answer=_ANSWER,
    ),
    Operation(
        method="DELETE",
        path=ONE,
        act=_delete,
        summary="Delete an empty directory",
        query=DeletionQuery,
        answer=Answer(status=204, description="It is gone"),
    ),
)

"""Workspaces and their locks at `…/workspace`. Decodes, calls services/workspaces, encodes."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field
from starlette.responses import Response

from api.domain.entities import Run, Workspace
from api.routes import jsonapi
from api.routes.jsonapi import Document, NullableText, Read, Text, Written
from api.routes.operations import Answer, Call, Operation
from api.routes.queries import NameFilter, PageQuery, Query
from api.routes.terrakube import directory as directories
from api.routes.terrakube import organization
from api.services import deletions, workspaces
from api.services.workspaces import LockChange
from common.errors import BadInputError
from common.statuses import WORDS

KIND = "workspace"
PATH = f"{organization.ONE}/workspace"
ONE = f"{PATH}/{{workspace_id}}"


#: At most a year; null = as the setting says, 0 = none.
Seconds = Annotated[int, Field(ge=0, le=31_536_000)] | None


class WorkspaceAttributes(Written):
    """What can be written: JSON names beside the entity's."""

    name: Text = ""
    description: NullableText = ""
    engine: Text = Field("", alias="iacType")
    engine_version: NullableText = Field("", alias="terraformVersion")
    folder: NullableText = ""
    source: NullableText = ""
    branch: NullableText = ""
    execution_mode: Text = ""
    default_template: NullableText = ""
    auto_apply: bool | None = None
    pool: NullableText = ""
    step_timeout_seconds: Seconds = None
    idle_timeout_seconds: Seconds = None
    approval_expiry_seconds: Seconds = None


class NewWorkspaceAttributes(WorkspaceAttributes):
    """What creation needs."""

    name: Text


class ChangedWorkspaceAttributes(WorkspaceAttributes):
    """A change may also lock or unlock."""

    locked: bool | None = Field(None, description="true locks, false unlocks")
    lock_description: NullableText = Field("", description="why; only beside locked: true")
    force: bool = Field(default=False, description="break the lock of somebody else or of a lost run")

    def lock_change(self) -> LockChange | None:
        """The change of the lock that is asked for, if one is."""
        if self.locked is None:
            for name in ("lock_description", "force"):
                if name in self.model_fields_set:
                    field = "lockDescription" if name == "lock_description" else name
                    raise BadInputError(field, "counts only together with locked")
            return None
        return LockChange(self.locked, self.lock_description, self.force)

    def fields(self) -> dict[str, Any]:
        """The entity's fields besides the lock."""
        return self.model_dump(exclude_unset=True, exclude={"locked", "lock_description", "force"})


class VcsIdentifier(Written):
    """A reference to a token for git."""

    type: Literal["vcs"]
    id: Annotated[str, jsonapi.id_of("vcs")]


class SshIdentifier(Written):
    """A reference to a key for git."""

    type: Literal["ssh"]
    id: Annotated[str, jsonapi.id_of("ssh")]


class ToVcs(Written):
    """A relationship to a token; null takes it away."""

    data: VcsIdentifier | None


class ToSsh(Written):
    """A relationship to a key; null takes it away."""

    data: SshIdentifier | None


class WorkspaceRelationships(Written):
    """What the source is read with, and where the workspace stands."""

    directory: directories.ToDirectory | None = None
    vcs: ToVcs | None = None
    ssh: ToSsh | None = None

    def fields(self) -> dict[str, Any]:
        """The entity's fields."""
        given = {"vcs_id": self.vcs, "ssh_id": self.ssh}
        fields: dict[str, Any] = {name: to.data.id if to.data else "" for name, to in given.items() if to is not None}
        if self.directory is not None:
            fields["directory_id"] = self.directory.data.id if self.directory.data else None
        return fields


class NewWorkspace(Written):
    """The resource of a POST."""

    type: Literal["workspace"]
    id: Annotated[str, jsonapi.id_of("workspace")] | None = None
    attributes: NewWorkspaceAttributes
    relationships: WorkspaceRelationships = WorkspaceRelationships()


class ChangedWorkspace(Written):
    """The resource of a PATCH."""

    type: Literal["workspace"]
    id: str | None = None
    attributes: ChangedWorkspaceAttributes = Field(
        default_factory=lambda: ChangedWorkspaceAttributes.model_validate({})
    )
    relationships: WorkspaceRelationships = WorkspaceRelationships()


class WorkspaceRead(Read):
    """What is answered; the last job's fields only where one workspace is read."""

    name: str
    description: str
    engine: str = Field(serialization_alias="iacType")
    engine_version: str = Field(serialization_alias="terraformVersion")
    folder: str
    source: str
    branch: str
    execution_mode: str
    default_template: str
    auto_apply: bool | None
    pool: str
    step_timeout_seconds: int | None
    idle_timeout_seconds: int | None
    approval_expiry_seconds: int | None
    locked: bool
    lock_reason: str = Field(serialization_alias="lockDescription")
    locked_by: str
    deleted: bool = False
    created_at: datetime = Field(serialization_alias="createdDate")
    updated_at: datetime = Field(serialization_alias="updatedDate")
    last_job_status: str | None = None
    last_job_date: datetime | None = None


class WorkspaceQuery(PageQuery):
    """The parameters of the list."""

    name: NameFilter | None = Field(None, alias="filter[workspace]", description="name==VALUE")


class DeleteQuery(Query):
    """The parameters of a deletion."""

    force: Literal["true", "false"] = Field("false", description="although its state names resources")


def path_of(workspace: Workspace) -> str:
    """The workspace's own path."""
    return f"{organization.PATH}/{workspace.organization_id}/workspace/{workspace.id}"


def encoded(workspace: Workspace, *newest: Run | None) -> dict[str, Any]:
    """The resource object; with the newest run (or None for none) where it is known."""
    read = WorkspaceRead.model_validate(workspace)
    read.deleted = False  # a deleted one is not answered at all
    for run in newest:
        read.last_job_status = WORDS[run.status][2].value if run else None
        read.last_job_date = run.created_at if run else None
    relationships = {
        "organization": jsonapi.related(organization.KIND, workspace.organization_id),
        "directory": directories.related(workspace.directory_id),
    }
    for word, credential_id in (("vcs", workspace.vcs_id), ("ssh", workspace.ssh_id)):
        relationships[word] = jsonapi.related(word, credential_id) if credential_id else {"data": None}
    return jsonapi.resource(KIND, workspace.id, read, relationships, path_of(workspace))


async def _list(call: Call) -> Response:
    query = call.query(WorkspaceQuery)
    found = await workspaces.list_workspaces(call.ports, call.principal, call.organization, query.page, query.name)
    return jsonapi.many([encoded(item) for item in found.items], found.total, query.page)


async def _create(call: Call) -> Response:
    data = call.body(Document[NewWorkspace]).data
    created = await workspaces.create_workspace(
        call.ports,
        call.principal,
        call.organization,
        data.attributes.fields() | data.relationships.fields(),
        data.id or "",
    )
    return jsonapi.one(encoded(created), 201)


async def _get(call: Call) -> Response:
    found, newest = await workspaces.get_workspace(call.ports, call.principal, call.organization, call.workspace)
    return jsonapi.one(encoded(found, newest))


async def _change(call: Call) -> Response:
    data = call.body(Document[ChangedWorkspace]).data
    jsonapi.check_same_id(data.id, call.workspace)
    changed = await workspaces.change_workspace(
        call.ports,
        call.principal,
        call.organization,
        call.workspace,
        data.attributes.fields() | data.relationships.fields(),
        data.attributes.lock_change(),
    )
    return jsonapi.one(encoded(changed))


async def _delete(call: Call) -> Response:
    force = call.query(DeleteQuery).force == "true"
    await deletions.delete_workspace(call.ports, call.principal, call.organization, call.workspace, force=force)
    return jsonapi.nothing()


_ANSWER = Answer(kind=KIND, attributes=WorkspaceRead, description="The workspace")

OPERATIONS = (
    Operation(
        method="GET",
        path=PATH,
        act=_list,
        summary="List the organization's workspaces",
        query=WorkspaceQuery,
        answer=Answer(kind=KIND, attributes=WorkspaceRead, many=True, description="A page of workspaces"),
    ),
    Operation(
        method="POST",
        path=PATH,
        act=_create,
        summary="Create a workspace",
        body=Document[NewWorkspace],
        answer=Answer(status=201, kind=KIND, attributes=WorkspaceRead, description="The workspace"),
    ),
    Operation(method="GET", path=ONE, act=_get, summary="Read a workspace", answer=_ANSWER),
    Operation(
        method="PATCH",
        path=ONE,
        act=_change,
        summary="Change, lock or unlock a workspace",
        body=Document[ChangedWorkspace],
        answer=_ANSWER,
    ),
    Operation(
        method="DELETE",
        path=ONE,
        act=_delete,
        summary="Delete a workspace without unfinished runs, whose state is empty unless forced",
        query=DeleteQuery,
        answer=Answer(status=204, description="It is gone"),
    ),
)

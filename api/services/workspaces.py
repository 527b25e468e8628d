"""Workspaces and their locks. Called by the public routes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from api.domain.entities import Run, Workspace
from api.domain.permissions import Principal
from api.domain.slots import is_pool_name
from api.services import directories
from api.services.access import visible_organization, visible_workspace
from api.services.errors import ConflictError
from api.services.git_credentials import check_source
from api.services.names import check_description, check_folder, check_length, check_name
from api.services.ports import WORK_TOPIC, AlreadyExistsError, Listing, Page, Ports, Writing, workspace_topic
from common import ids, versions
from common.errors import BadInputError

ENGINES = ("terraform", "tofu")
EXECUTION_MODES = ("remote", "local")
MAX_SOURCE_CHARACTERS = 2000
MAX_BRANCH_CHARACTERS = 255  # git's own bound for a ref's part on most file systems
MAX_CONSTRAINT_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class LockChange:
    """A request to lock or unlock; `force` breaks a lock that somebody else or a lost run holds."""

    locked: bool
    reason: str = ""
    force: bool = False


async def create_workspace(
    ports: Ports, principal: Principal, organization_id: str, fields: Mapping[str, Any], wanted_id: str = ""
) -> Workspace:
    """A workspace with these entity fields (`name` at least). The same id again answers with what is there."""
    now = ports.clock()
    async with ports.database.writing() as tx:
        organization = await visible_organization(tx, principal, organization_id)
        if wanted_id and (known := await tx.get(Workspace, wanted_id)):
            if known.organization_id != organization.id:
                raise ConflictError(f"id {wanted_id} is taken")
            return known
        if "name" not in fields:
            raise BadInputError("name", "is missing")
        bare = Workspace(
            id=wanted_id or ids.new_id("workspace"),
            organization_id=organization.id,
            name="",
            created_at=now,
            updated_at=now,
        )
        workspace = await _with_fields(ports, tx, bare, fields)
        try:
            await tx.add(workspace)
        except AlreadyExistsError as error:
            raise ConflictError(f"name: workspace {workspace.name!r} exists already in this organization") from error
    return workspace


async def change_workspace(
    ports: Ports,
    principal: Principal,
    organization_id: str,
    workspace_id: str,
    fields: Mapping[str, Any],
    lock: LockChange | None = None,
) -> Workspace:
    """Change the given entity fields, and the lock if asked. Raises NotFoundError, BadInputError, ConflictError."""
    async with ports.database.writing() as tx:
        workspace = await visible_workspace(tx, principal, organization_id, workspace_id)
        changed = await _with_fields(ports, tx, workspace, fields)
        if lock is not None:
            changed = locked(changed, lock, principal.name)
        try:
            await tx.save(replace(changed, updated_at=ports.clock()))
        except AlreadyExistsError as error:
            raise ConflictError(f"name: workspace {changed.name!r} exists already in this organization") from error
    ports.bells.ring(workspace_topic(workspace_id))
    ports.turns.add(organization_id, workspace_id)
    ports.bells.ring(WORK_TOPIC)
    return changed


def locked(workspace: Workspace, change: LockChange, by: str) -> Workspace:
    """The workspace locked or unlocked by somebody; ConflictError when that is not his to do.

    A lock taken by a lost run or by another person is broken by force only.
    """
    if change.locked:
        if workspace.locked and workspace.locked_by != by and not change.force:
            raise ConflictError(f"locked: {workspace.name} is locked by {workspace.locked_by}: {workspace.lock_reason}")
        return replace(workspace, locked=True, locked_by=by, lock_reason=check_description(change.reason))
    if workspace.locked and workspace.locked_by != by and not change.force:
        raise ConflictError(
            f"locked: {workspace.name} is locked by {workspace.locked_by}: {workspace.lock_reason}. "
            "Only force breaks the lock of somebody else"
        )
    return replace(workspace, locked=False, locked_by="", lock_reason="")


async def list_workspaces(
    ports: Ports, principal: Principal, organization_id: str, page: Page, name: str | None
) -> Listing[Workspace]:
    """The organization's workspaces."""
    equal = {} if name is None else {"name": name}
    async with ports.database.reading() as tx:
        await visible_organization(tx, principal, organization_id)
        return await tx.listing(Workspace, page, {"organization_id": organization_id, **equal})


async def get_workspace(
    ports: Ports, principal: Principal, organization_id: str, workspace_id: str
) -> tuple[Workspace, Run | None]:
    """The workspace and its newest run, or NotFoundError."""
    async with ports.database.reading() as tx:
        workspace = await visible_workspace(tx, principal, organization_id, workspace_id)
        newest = await tx.listing(Run, Page(1, 1), {"workspace_id": workspace.id}, newest_first=True)
    return workspace, next(iter(newest.items), None)


async def _with_fields(ports: Ports, tx: Writing, workspace: Workspace, fields: Mapping[str, Any]) -> Workspace:
    changed = replace(workspace, **fields)
    if "directory_id" in fields:
        await directories.check_directory(tx, workspace.organization_id, changed.directory_id)
    if "name" in fields:
        changed = replace(changed, name=check_name(changed.name))
    if "default_template" in fields and changed.default_template:
        template = await tx.template_named(workspace.organization_id, changed.default_template)
        if template is None:
            raise BadInputError("defaultTemplate", f"{changed.default_template!r} is no template of this organization")
    _one_of("iacType", changed.engine, ENGINES)
    _one_of("executionMode", changed.execution_mode, EXECUTION_MODES)
    if changed.pool and not is_pool_name(changed.pool):
        raise BadInputError("pool", "must be 1 to 63 letters, digits, dots, underscores or dashes")
    check_description(changed.description)
    check_length(changed.source, "source", MAX_SOURCE_CHARACTERS)
    check_length(changed.branch, "branch", MAX_BRANCH_CHARACTERS)
    if {"source", "branch", "vcs_id", "ssh_id"} & set(fields):
        await check_source(ports, tx, changed)
    check_length(changed.engine_version, "terraformVersion", MAX_CONSTRAINT_CHARACTERS)
    versions.check_constraint(changed.engine, changed.engine_version)
    return replace(changed, folder=check_folder(changed.folder))


def _one_of(field: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise BadInputError(field, f"is {value!r}; allowed: {', '.join(allowed)}")

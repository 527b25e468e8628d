"""Directories of an organization. Called by the public routes.

A change reads the organization first: on a database with several writers changes of one tree then wait for each other.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from api.domain.directories import MAX_DIRECTORIES, Directory, check_place, path_of
from api.domain.entities import Workspace
from api.domain.permissions import Principal
from api.services.access import visible_organization
from api.services.errors import ConflictError, NotFoundError
from api.services.names import check_description, check_name
from api.services.ports import AlreadyExistsError, Page, Ports, Reading, Writing
from common import ids
from common.errors import BadInputError


async def list_directories(
    ports: Ports, principal: Principal, organization_id: str, page: Page, name: str | None
) -> tuple[list[tuple[Directory, str]], int]:
    """A page of the organization's directories by their paths, each with its path; and how many there are."""
    async with ports.database.reading() as tx:
        known = await _known(tx, principal, organization_id)
    found = [(each, path_of(known, each.id)) for each in known.values() if name is None or each.name == name]
    found.sort(key=lambda pair: pair[1])
    return found[(page.number - 1) * page.size : page.number * page.size], len(found)


async def get_directory(
    ports: Ports, principal: Principal, organization_id: str, directory_id: str
) -> tuple[Directory, str]:
    """A directory and its path, or NotFoundError."""
    async with ports.database.reading() as tx:
        known = await _known(tx, principal, organization_id)
    return _one(known, directory_id), path_of(known, directory_id)


async def create_directory(
    ports: Ports, principal: Principal, organization_id: str, fields: Mapping[str, Any], wanted_id: str = ""
) -> tuple[Directory, str]:
    """A directory with these fields and its path. The same id again answers with what is there."""
    now = ports.clock()
    async with ports.database.writing() as tx:
        known = await _known(tx, principal, organization_id)
        if wanted_id in known:
            return known[wanted_id], path_of(known, wanted_id)
        if len(known) >= MAX_DIRECTORIES:
            raise ConflictError(f"the organization has {MAX_DIRECTORIES} directories, which is the limit")
        bare = Directory(
            id=wanted_id or ids.new_id("directory"),
            organization_id=organization_id,
            name="",
            created_at=now,
            updated_at=now,
        )
        directory = _with_fields(known, bare, fields)
        await _stored(tx.add, directory)
    return directory, path_of({**known, directory.id: directory}, directory.id)


async def change_directory(
    ports: Ports, principal: Principal, organization_id: str, directory_id: str, fields: Mapping[str, Any]
) -> tuple[Directory, str]:
    """Change the given fields; another `parent_id` moves it with all that is below it."""
    async with ports.database.writing() as tx:
        known = await _known(tx, principal, organization_id)
        directory = _with_fields(known, _one(known, directory_id), fields)
        await _stored(tx.save, replace(directory, updated_at=ports.clock()))
    return directory, path_of({**known, directory.id: directory}, directory.id)


async def delete_directory(
    ports: Ports, principal: Principal, organization_id: str, directory_id: str, *, move_up: bool
) -> None:
    """Delete an empty directory; with `move_up` what is in it moves to its parent first."""
    async with ports.database.writing() as tx:
        known = await _known(tx, principal, organization_id)
        directory = _one(known, directory_id)
        below = [each for each in known.values() if each.parent_id == directory.id]
        workspaces = await tx.all(Workspace, organization_id=organization_id, directory_id=directory.id)
        if (below or workspaces) and not move_up:
            raise ConflictError(
                f"directory {directory.name} holds {len(below)} directories and {len(workspaces)} workspaces"
            )
        for each in below:
            await _stored(tx.save, replace(each, parent_id=directory.parent_id, updated_at=ports.clock()))
        for workspace in workspaces:
            await tx.save(replace(workspace, directory_id=directory.parent_id))
        try:
            await tx.remove(directory)
        except AlreadyExistsError as error:
            raise ConflictError(f"directory {directory.name} has got a workspace meanwhile") from error


async def check_directory(tx: Reading, organization_id: str, directory_id: str | None) -> None:
    """Raise BadInputError unless a workspace of the organization may stand in that directory."""
    directory = await tx.get(Directory, directory_id) if directory_id else None
    if directory_id and (directory is None or directory.organization_id != organization_id):
        raise BadInputError("directory", f"{directory_id!r} is no directory of this organization")


async def _known(tx: Reading | Writing, principal: Principal, organization_id: str) -> dict[str, Directory]:
    organization = await visible_organization(tx, principal, organization_id)
    return {each.id: each for each in await tx.all(Directory, organization_id=organization.id)}


def _one(known: Mapping[str, Directory], directory_id: str) -> Directory:
    if directory_id not in known:
        raise NotFoundError(f"directory {directory_id}")
    return known[directory_id]


def _with_fields(known: Mapping[str, Directory], directory: Directory, fields: Mapping[str, Any]) -> Directory:
    changed = replace(directory, **fields)
    check_description(changed.description)
    check_place(known, changed.id, changed.parent_id)
    return replace(changed, name=check_name(changed.name))


async def _stored(store: Any, directory: Directory) -> None:
    try:
        await store(directory)
    except AlreadyExistsError as error:
        raise ConflictError(f"name: there is a directory {directory.name!r} already at that place") from error

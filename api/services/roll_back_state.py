"""A workspace's state goes back to an earlier version: its content becomes the newest version, under a higher serial.

Called by the public routes. Nothing is removed. Refused while a run has the workspace, for that run would write on
from a state that is no longer the newest.
"""

import asyncio
import hashlib

from api.domain.entities import StateVersion, Workspace
from api.domain.permissions import Principal
from api.domain.state_serial import with_serial
from api.services.access import visible_workspace
from api.services.errors import ConflictError, NotFoundError
from api.services.ports import WORK_TOPIC, Ports, Reading
from api.services.receive_state import read_state, state_key
from common import ids
from common.errors import BadInputError


async def roll_back_state(
    ports: Ports, principal: Principal, organization_id: str, workspace_id: str, wanted_id: str
) -> StateVersion:
    """The new version. When the newest has that content already, it is answered and nothing is changed.

    Raises NotFoundError, BadInputError (the version is not this workspace's), ConflictError.
    """
    async with ports.database.reading() as tx:
        workspace, current, wanted = await _versions(tx, principal, organization_id, workspace_id, wanted_id)
        _refuse_taken(workspace, principal)
    old = await ports.artifacts.get(state_key(workspace_id, wanted.id))
    if old is None:
        raise NotFoundError(f"the content of state version {wanted.id}")
    if current.id == wanted.id or await asyncio.to_thread(_is_same, old, current):
        return current
    version, content = await asyncio.to_thread(_copy, ports, current, wanted, old)
    await ports.artifacts.put(state_key(workspace_id, version.id), content)
    async with ports.database.writing() as tx:
        workspace, newest, _ = await _versions(tx, principal, organization_id, workspace_id, wanted_id)
        _refuse_taken(workspace, principal)
        if newest.id != current.id:
            raise ConflictError("the workspace has got a newer state meanwhile; look at it and try again")
        await tx.add(version)
    ports.bells.ring(WORK_TOPIC)
    return version


async def _versions(
    tx: Reading, principal: Principal, organization_id: str, workspace_id: str, wanted_id: str
) -> tuple[Workspace, StateVersion, StateVersion]:
    """The workspace, its newest state version, and the one wanted."""
    workspace = await visible_workspace(tx, principal, organization_id, workspace_id)
    wanted = await tx.get(StateVersion, wanted_id)
    current = await tx.current_state(workspace.id)
    if wanted is None or wanted.workspace_id != workspace.id or current is None:
        raise BadInputError("rollbackTo", f"{wanted_id!r} is no state version of this workspace")
    return workspace, current, wanted


def _refuse_taken(workspace: Workspace, principal: Principal) -> None:
    if workspace.taken_by:
        raise ConflictError(f"workspace {workspace.name} has a run under way ({workspace.taken_by}); end or discard it")
    if workspace.locked and workspace.locked_by != principal.name:
        raise ConflictError(f"workspace {workspace.name} is locked by {workspace.locked_by}: {workspace.lock_reason}")


def _copy(ports: Ports, current: StateVersion, wanted: StateVersion, old: bytes) -> tuple[StateVersion, bytes]:
    if wanted.lineage != current.lineage:
        raise ConflictError(f"the lineage of {wanted.id} is not that of the newest state: it is another state's")
    content = _renumbered(old, current.serial + 1)
    version = StateVersion(
        id=ids.new_id("state_version"),
        workspace_id=current.workspace_id,
        serial=current.serial + 1,
        lineage=current.lineage,
        md5=hashlib.md5(content, usedforsecurity=False).hexdigest(),
        size=len(content),
        final=True,
        created_at=ports.clock(),
    )
    return version, content


def _is_same(old: bytes, current: StateVersion) -> bool:
    return hashlib.md5(_renumbered(old, current.serial), usedforsecurity=False).hexdigest() == current.md5


def _renumbered(content: bytes, serial: int) -> bytes:
    renumbered = with_serial(content, serial)
    if renumbered is None or read_state(renumbered)[0] != serial:
        raise ConflictError("the content of that version is no state whose serial can be raised")
    return renumbered

"""Writing on PostgreSQL, where several transactions write at once: what is read in order to be changed is locked first.

Used by postgres.py alone. The first thing a transaction reads of a workspace locks that workspace's row (of an
organization: its row; of tokens: a lock of their own): no service can forget it. Order: organization, workspace.
"""

import zlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Select, func, select

from api.domain import entities
from api.domain.entities import ConfigurationVersion, Run, RunRecord, StateVersion, Template
from api.persistence import tables
from api.persistence.queries import TABLES, WriteQueries, key_of, where_equal
from api.services.ports import Listing, Page, WorkspaceBusyError

Entity = TypeVar("Entity")

_SLOTS_LOCK = 0x736C6F7473


class PostgresWriteQueries(WriteQueries):
    """The same queries, each after the lock of what it is about; a transaction takes the lock of one workspace."""

    _held: frozenset[str] = frozenset()
    _workspace_held = False

    async def get(self, kind: type[Entity], key: str) -> Entity | None:
        await self._hold(kind, {key_of(TABLES[kind]).name: key})
        return await super().get(kind, key)

    async def find(self, kind: type[Entity], **equal: Any) -> Entity | None:
        await self._hold(kind, equal)
        return await super().find(kind, **equal)

    async def listing(
        self, kind: type[Entity], page: Page, where: Mapping[str, Any], *, newest_first: bool = False
    ) -> Listing[Entity]:
        await self._hold(kind, where)
        return await super().listing(kind, page, where, newest_first=newest_first)

    async def all(self, kind: type[Entity], **equal: Any) -> tuple[Entity, ...]:
        await self._hold(kind, equal)
        return await super().all(kind, **equal)

    async def record(self, run_id: str) -> RunRecord | None:
        await self._hold(Run, {"id": run_id})
        return await super().record(run_id)

    async def unfinished_runs(self, workspace_id: str) -> tuple[Run, ...]:
        await self._hold_workspaces(workspace_id)
        return await super().unfinished_runs(workspace_id)

    async def startable_runs(self, workspace_id: str, at_most: int) -> tuple[Run, ...]:
        await self._hold_workspaces(workspace_id)
        return await super().startable_runs(workspace_id, at_most)

    async def newest_configuration(self, workspace_id: str) -> ConfigurationVersion | None:
        await self._hold_workspaces(workspace_id)
        return await super().newest_configuration(workspace_id)

    async def current_state(self, workspace_id: str) -> StateVersion | None:
        await self._hold_workspaces(workspace_id)
        return await super().current_state(workspace_id)

    async def template_named(self, organization_id: str, reference: str) -> Template | None:
        await self._hold_organizations(organization_id)
        return await super().template_named(organization_id, reference)

    async def add(self, entity: Any) -> None:
        if workspace_id := getattr(entity, "workspace_id", ""):
            await self._hold_workspaces(workspace_id)
        await super().add(entity)

    async def claim_workspace(self, workspace_id: str) -> entities.Workspace | None:
        table = tables.workspaces
        row = select(table.c.id).where(table.c.id == workspace_id)
        free = row.with_for_update(key_share=True, skip_locked=True)
        self._workspace_held = await self._connection.scalar(free) is not None
        if not self._workspace_held and await self._connection.scalar(row) is not None:
            raise WorkspaceBusyError(workspace_id)
        return await super().get(entities.Workspace, workspace_id)

    async def runs_under_way(self) -> Mapping[tuple[str, str], int]:
        # counted in order to begin more: of two that begin at once the second must see the first
        await self._connection.execute(select(func.pg_advisory_xact_lock(_SLOTS_LOCK)))
        return await super().runs_under_way()

    async def next_run_number(self) -> int:
        # a sequence: runs of different workspaces need not wait for each other's commit
        return int(await self._connection.scalar(select(tables.run_numbers.next_value())) or 0)

    async def touch_heartbeat(self, attempt_name: str, now: datetime) -> None:
        """One row, without the workspace's lock: a heartbeat waits for nobody's decision."""
        await super().touch_heartbeat(attempt_name, now)

    async def _hold(self, kind: type, equal: Mapping[str, Any]) -> None:
        """Lock what rows of a kind belong to; never behind a workspace's lock: one order, no ring of waiting."""
        if self._workspace_held:
            return
        columns = TABLES[kind].c
        if kind is entities.Organization:
            await self._hold_organizations(where_equal(kind, equal).with_only_columns(columns.id) if equal else None)
        elif kind is entities.Workspace or "workspace_id" in columns or "run_id" in columns:
            await self._hold_workspaces(_workspaces_of(kind, equal))
        elif kind is entities.Token or "organization_id" not in columns:
            await self._hold_kind(TABLES[kind].name)
        else:
            await self._hold_organizations(where_equal(kind, equal).with_only_columns(columns.organization_id))

    async def _hold_kind(self, name: str) -> None:
        """For what belongs to nobody: one transaction at a time writes it."""
        if name not in self._held:
            self._held |= {name}
            await self._connection.execute(select(func.pg_advisory_xact_lock(zlib.crc32(name.encode()))))

    async def _hold_organizations(self, which: str | Select[Any] | None) -> None:
        if self._workspace_held or which is None or (isinstance(which, str) and which in self._held):
            return
        table = tables.organizations
        chosen = table.c.id == which if isinstance(which, str) else table.c.id.in_(which)
        locked = select(table.c.id).where(chosen).order_by(table.c.id).with_for_update(key_share=True)
        self._held |= set((await self._connection.scalars(locked)).all())

    async def _hold_workspaces(self, which: str | Select[Any]) -> None:
        if self._workspace_held:
            return
        table = tables.workspaces
        chosen = table.c.id == which if isinstance(which, str) else table.c.id.in_(which)
        locked = select(table.c.id).where(chosen).order_by(table.c.id).with_for_update(key_share=True)
        # nothing found, nothing held: what is asked for next may be there
        self._workspace_held = bool((await self._connection.scalars(locked)).all())


def _workspaces_of(kind: type, equal: Mapping[str, Any]) -> str | Select[Any]:
    """The workspaces that rows of a kind with these values belong to."""
    if kind is entities.Workspace:
        return where_equal(kind, equal).with_only_columns(tables.workspaces.c.id)
    table = TABLES[kind]
    rows = where_equal(kind, equal)
    if "workspace_id" in table.c:
        return rows.with_only_columns(table.c.workspace_id)
    runs = rows.with_only_columns(table.c.run_id)
    return select(tables.runs.c.workspace_id).where(tables.runs.c.id.in_(runs))

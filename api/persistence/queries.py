"""The queries behind the services' Reading and Writing ports, in SQLAlchemy Core.

Entities and rows have the same names, so most of it is generic; what is special has its own method.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Select, Table, and_, delete, func, insert, or_, select, text, union_all, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from api.domain import entities
from api.domain.directories import Directory
from api.domain.engine_archive import EngineArchive
from api.domain.entities import Attempt, AttemptState, ConfigurationVersion, Event, Run, RunRecord, Step, Template
from api.domain.git_credentials import SshKey, Vcs
from api.persistence import directory_tables, git_tables, run_totals, tables
from api.persistence.engine_tables import engine_archives
from api.services.ports import AlreadyExistsError, Listing, Page
from common.statuses import RunStatus

Entity = TypeVar("Entity")

TABLES: Mapping[type, Table] = {
    entities.Organization: tables.organizations,
    entities.Workspace: tables.workspaces,
    Directory: directory_tables.directories,
    entities.Variable: tables.variables,
    entities.ConfigurationVersion: tables.configuration_versions,
    entities.Template: tables.templates,
    entities.Run: tables.runs,
    entities.Step: tables.steps,
    entities.Attempt: tables.attempts,
    entities.StateVersion: tables.state_versions,
    entities.Token: tables.tokens,
    entities.Event: tables.events,
    EngineArchive: engine_archives,
    Vcs: git_tables.vcs,
    SshKey: git_tables.ssh_keys,
}


class ReadQueries:
    """Reading, on one connection with a transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def get(self, kind: type[Entity], key: str) -> Entity | None:
        table = TABLES[kind]
        return await self._first(kind, select(table).where(key_of(table) == key))

    async def find(self, kind: type[Entity], **equal: Any) -> Entity | None:
        return await self._first(kind, where_equal(kind, equal).limit(1))

    async def listing(
        self, kind: type[Entity], page: Page, where: Mapping[str, Any], *, newest_first: bool = False
    ) -> Listing[Entity]:
        table = TABLES[kind]
        matching = where_equal(kind, where)
        counted = run_totals.total(kind, where)
        if counted is None:
            counted = matching.with_only_columns(func.count(), maintain_column_froms=True)
        total = await self._connection.scalar(counted)
        order = key_of(table).desc() if newest_first else key_of(table)
        rows = matching.order_by(order).offset((page.number - 1) * page.size).limit(page.size)
        return Listing(await self._all(kind, rows), int(total or 0))

    async def all(self, kind: type[Entity], **equal: Any) -> tuple[Entity, ...]:
        return await self._all(kind, where_equal(kind, equal).order_by(key_of(TABLES[kind])))

    async def record(self, run_id: str) -> RunRecord | None:
        run = await self.get(Run, run_id)
        if run is None:
            return None
        rows = select(tables.steps).where(tables.steps.c.run_id == run_id).order_by(tables.steps.c.number)
        return RunRecord(run=run, steps=await self._all(Step, rows))

    async def unfinished_runs(self, workspace_id: str) -> tuple[Run, ...]:
        rows = select(tables.runs).where(tables.runs.c.workspace_id == workspace_id, _unfinished())
        return await self._all(Run, rows.order_by(tables.runs.c.number))

    async def workspaces_with_work(self) -> tuple[tuple[str, str], ...]:
        queued = select(tables.steps.c.run_id).where(text("steps.status = 'queued'"))
        free = select(tables.workspaces.c.id).where(
            tables.workspaces.c.locked.is_(False), tables.workspaces.c.taken_by == ""
        )
        # a run that must wait is no work: it would cost a transaction for nothing at every wake-up
        may_begin = or_(tables.runs.c.plan_only, tables.runs.c.workspace_id.in_(free))
        begins = and_(tables.runs.c.status == RunStatus.PENDING, may_begin)
        runs = tables.runs
        rows = select(runs.c.organization_id, runs.c.workspace_id).where(
            _unfinished(), or_(begins, runs.c.id.in_(queued))
        )
        first_asked = rows.group_by(runs.c.organization_id, runs.c.workspace_id).order_by(func.min(runs.c.number))
        return tuple((owner, workspace) for owner, workspace in (await self._connection.execute(first_asked)).all())

    async def runs_under_way(self) -> Mapping[tuple[str, str], int]:
        runs, places = tables.runs, tables.workspaces
        under_way = select(tables.steps.c.run_id).where(text("steps.status IN ('launching', 'running')"))
        rows = select(runs.c.organization_id, places.c.pool, func.count()).join(
            places, places.c.id == runs.c.workspace_id
        )
        grouped = rows.where(runs.c.id.in_(under_way)).group_by(runs.c.organization_id, places.c.pool)
        return {(owner, pool): number for owner, pool, number in (await self._connection.execute(grouped)).all()}

    async def startable_runs(self, workspace_id: str, at_most: int) -> tuple[Run, ...]:
        runs, steps = tables.runs, tables.steps
        queued = (
            select(steps.c.run_id)
            .join(runs, runs.c.id == steps.c.run_id)
            .where(text("steps.status = 'queued'"), runs.c.workspace_id == workspace_id)
        )
        plans = _waiting(runs.c.id, workspace_id, plan_only=True).limit(at_most).subquery()
        first = _waiting(runs.c.id, workspace_id, plan_only=False).limit(1).subquery()
        chosen = union_all(queued, select(plans.c.id), select(first.c.id))
        return await self._all(Run, select(runs).where(runs.c.id.in_(chosen), _unfinished()).order_by(runs.c.number))

    async def first_waiting(self, workspace_id: str) -> Run | None:
        return await self._first(Run, _waiting(tables.runs, workspace_id, plan_only=False).limit(1))

    async def count_waiting_before(self, workspace_id: str, number: int) -> int:
        before = _waiting(tables.runs.c.id, workspace_id, plan_only=False).where(tables.runs.c.number < number)
        return await self._connection.scalar(select(func.count()).select_from(before.order_by(None).subquery())) or 0

    async def next_expiry(self) -> tuple[str, datetime] | None:
        steps = tables.steps
        waiting = select(steps.c.run_id, steps.c.expires_at).where(text("status = 'waiting_approval'"))
        next_one = waiting.where(steps.c.expires_at.is_not(None)).order_by(steps.c.expires_at).limit(1)
        row = (await self._connection.execute(next_one)).first()
        return None if row is None else (row[0], row[1])

    async def attempts_of_canceled_runs(self) -> tuple[Attempt, ...]:
        canceled = select(tables.runs.c.id).where(text(tables.CANCELED))
        return await self._all(Attempt, _of_steps_under_way().where(tables.steps.c.run_id.in_(canceled)))

    async def attempts_under_way(self) -> tuple[Attempt, ...]:
        return await self._all(Attempt, _of_steps_under_way())

    async def newest_configuration(self, workspace_id: str) -> ConfigurationVersion | None:
        table = tables.configuration_versions
        rows = select(table).where(
            table.c.workspace_id == workspace_id, table.c.status == "uploaded", table.c.run_id == ""
        )
        return await self._first(ConfigurationVersion, rows.order_by(table.c.id.desc()).limit(1))

    async def current_state(self, workspace_id: str) -> entities.StateVersion | None:
        table = tables.state_versions
        rows = select(table).where(table.c.workspace_id == workspace_id).order_by(table.c.serial.desc()).limit(1)
        return await self._first(entities.StateVersion, rows)

    async def template_named(self, organization_id: str, reference: str) -> Template | None:
        table = tables.templates
        named = or_(table.c.id == reference, table.c.name == reference)
        return await self._first(Template, select(table).where(table.c.organization_id == organization_id, named))

    async def counts(self) -> Mapping[str, int]:
        rows = select(tables.runs.c.status, func.count()).group_by(tables.runs.c.status)
        return {status.value: number for status, number in (await self._connection.execute(rows)).all()}

    async def _first(self, kind: type[Entity], rows: Select[Any]) -> Entity | None:
        row = (await self._connection.execute(rows)).first()
        return None if row is None else kind(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it

    async def _all(self, kind: type[Entity], rows: Select[Any]) -> tuple[Entity, ...]:
        result = await self._connection.execute(rows)
        return tuple(kind(**row) for row in result.mappings())


class WriteQueries(ReadQueries):
    """Writing, on one connection with a transaction that the caller's block commits."""

    async def add(self, entity: Any) -> None:
        try:
            await self._connection.execute(insert(TABLES[type(entity)]), _row(entity))
        except IntegrityError as error:
            raise AlreadyExistsError(str(error.orig)) from error
        if isinstance(entity, Run):
            await run_totals.count(self._connection, entity, 1)

    async def save(self, entity: Any) -> None:
        table = TABLES[type(entity)]
        row = _row(entity)
        key = key_of(table)
        changed = update(table).where(key == row.pop(key.name)).values(row)
        try:
            await self._connection.execute(changed)
        except IntegrityError as error:
            raise AlreadyExistsError(str(error.orig)) from error

    async def remove(self, entity: Any) -> None:
        table = TABLES[type(entity)]
        key = key_of(table)
        try:
            gone = await self._connection.execute(delete(table).where(key == getattr(entity, key.name)))
        except IntegrityError as error:  # something refers to it still
            raise AlreadyExistsError(str(error.orig)) from error
        if isinstance(entity, Run):
            await run_totals.count(self._connection, entity, -gone.rowcount)

    async def save_record(self, old: RunRecord | None, new: RunRecord, events: Sequence[Event]) -> None:
        if old is None:
            await self.add(new.run)
            await self._connection.execute(insert(tables.steps), [_row(step) for step in new.steps])
        else:
            if old.run != new.run:
                await self.save(new.run)
            before = {step.id: step for step in old.steps}
            for step in new.steps:
                if before.get(step.id) != step:
                    await self.save(step)
        if events:
            await self._connection.execute(insert(tables.events), [_row(event) for event in events])

    async def claim_workspace(self, workspace_id: str) -> entities.Workspace | None:
        return await self.get(entities.Workspace, workspace_id)

    async def next_run_number(self) -> int:
        counters = tables.counters
        raised = update(counters).where(counters.c.name == "run").values(value=counters.c.value + 1)
        number = await self._connection.scalar(raised.returning(counters.c.value))
        if number is None:
            await self._connection.execute(insert(counters), {"name": "run", "value": 1})
            return 1
        return int(number)

    async def touch_heartbeat(self, attempt_name: str, now: datetime) -> None:
        table = tables.attempts
        await self._connection.execute(update(table).where(table.c.name == attempt_name).values(heartbeat_at=now))


def key_of(table: Table) -> Any:
    """The column by which a table's rows are known."""
    return next(iter(table.primary_key.columns))


def where_equal(kind: type, equal: Mapping[str, Any]) -> Select[Any]:
    """The rows of a kind with these values."""
    table = TABLES[kind]
    return select(table).where(*(table.c[name] == value for name, value in equal.items()))


def _unfinished() -> Any:
    # the very words of the partial index, so that the planner may use it
    return text("runs." + tables.UNFINISHED)


def _waiting(what: Any, workspace_id: str, *, plan_only: bool) -> Select[Any]:
    """The workspace's pending runs of that kind, by number."""
    runs = tables.runs
    pending = (text("runs." + tables.WAITING), runs.c.workspace_id == workspace_id, runs.c.plan_only == plan_only)
    return select(what).where(*pending).order_by(runs.c.number)


def _of_steps_under_way() -> Select[Any]:
    """Attempts that may have a carrier: the current ones of steps under way, but for those that have reported."""
    steps, attempts = tables.steps, tables.attempts
    joined = and_(steps.c.id == attempts.c.step_id, steps.c.attempt == attempts.c.number)
    return (
        select(attempts)
        .join(steps, joined)
        .where(text("steps.status IN ('launching', 'running')"), attempts.c.state != AttemptState.SETTLED)
    )


def _row(entity: Any) -> dict[str, Any]:
    return {field.name: getattr(entity, field.name) for field in fields(entity)}

"""Fills a database with thousands of rows, past the API: what the figures about size stand on.

The server must not run meanwhile. Rows are those that the API itself would have made, inserted in batches through
the tables of api/persistence; configurations have no content, for nobody fetches it.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from sqlalchemy import insert, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from api.domain import step_sequence
from api.domain.entities import ConfigurationVersion, Run, Step, Workspace
from api.persistence import tables
from api.persistence.queries import TABLES
from common import ids
from common.statuses import RunStatus, StepStatus

_BATCH = 2000
#: What the API counts as it goes (api/persistence/run_totals.py).
_TOTALS = """
    INSERT INTO run_totals (workspace_id, organization_id, runs)
    SELECT r.workspace_id, r.organization_id, COUNT(*) FROM runs r
    WHERE r.organization_id = :organization AND r.workspace_id NOT IN (SELECT workspace_id FROM run_totals)
    GROUP BY r.workspace_id, r.organization_id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filling:
    """What to put into a database: so many workspaces, and runs spread evenly over them."""

    organization_id: str
    workspaces: int
    runs: int
    ended: bool = False  # the runs have been applied; else they wait, newly asked for
    first_number: int = 1
    prefix: str = "filled"


def fill(url: str, filling: Filling) -> list[str]:
    """Insert everything in one transaction; the ids of the workspaces. `url` is SQLAlchemy's, with an async driver."""
    return asyncio.run(_fill(url, filling))


async def _fill(url: str, filling: Filling) -> list[str]:
    now = datetime.now(UTC)
    names = [f"{filling.prefix}-{number:04}" for number in range(filling.workspaces)]
    workspaces = [
        Workspace(
            id=ids.new_id("workspace"),
            organization_id=filling.organization_id,
            name=name,
            auto_apply=True,
            created_at=now,
            updated_at=now,
        )
        for name in names
    ]
    configurations = [
        ConfigurationVersion(
            id=ids.new_id("configuration_version"), workspace_id=workspace.id, status="uploaded", created_at=now
        )
        for workspace in workspaces
    ]
    engine = create_async_engine(url)
    try:
        async with engine.begin() as connection:
            await _insert(connection, workspaces)
            await _insert(connection, configurations)
            work = _runs(filling, configurations, now)
            while batch := list(islice(work, _BATCH)):
                await _insert(connection, [run for run, _ in batch])
                await _insert(connection, [step for _, steps in batch for step in steps])
            await connection.execute(text(_TOTALS), {"organization": filling.organization_id})
            last = filling.first_number + filling.runs - 1
            if not (await connection.execute(update(tables.counters).values(value=last))).rowcount:
                await connection.execute(insert(tables.counters), {"name": "run", "value": last})
        async with engine.begin() as connection:
            await connection.execute(text("ANALYZE"))
    finally:
        await engine.dispose()
    return [workspace.id for workspace in workspaces]


def _runs(
    filling: Filling, configurations: Sequence[ConfigurationVersion], now: datetime
) -> Iterator[tuple[Run, list[Step]]]:
    _, flow = step_sequence.DEFAULT_TEMPLATES["Plan and apply"]
    steps = step_sequence.with_approval(flow, True)
    for index in range(filling.runs):
        configuration = configurations[index % len(configurations)]
        run = Run(
            id=ids.new_id("run"),
            number=filling.first_number + index,
            organization_id=filling.organization_id,
            workspace_id=configuration.workspace_id,
            configuration_id=configuration.id,
            template_name="Plan and apply",
            created_at=now,
            updated_at=now,
        )
        made = [
            Step(id=ids.new_id("step"), run_id=run.id, number=step.number, kind=step.kind, name=step.name)
            for step in steps
        ]
        if filling.ended:
            run = replace(run, status=RunStatus.APPLIED, has_changes=True, finished_at=now)
            made = [replace(step, status=StepStatus.FINISHED, attempt=1, finished_at=now) for step in made]
        yield run, made


async def _insert(connection: AsyncConnection, entities: Sequence[Any]) -> None:
    rows = [{field.name: getattr(entity, field.name) for field in fields(entity)} for entity in entities]
    await connection.execute(insert(TABLES[type(entities[0])]), rows)

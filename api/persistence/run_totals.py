"""How many runs each workspace has: counted as they are added, so that no list of runs counts them all.

Used by queries.py in the transaction that adds or removes a run. Rows go with their workspaces.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Select, String, Table, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from api.domain.entities import Run
from api.persistence.tables import metadata

run_totals = Table(
    "run_totals",
    metadata,
    Column("workspace_id", String(40), ForeignKey("workspaces.id", ondelete="CASCADE"), primary_key=True),
    Column("organization_id", String(40), nullable=False),
    Column("runs", BigInteger, nullable=False),
    # with the sum in it: an organization's total reads nothing but this index
    Index(None, "organization_id", "runs"),
)

_KNOWN = frozenset({"organization_id", "workspace_id"})


async def count(connection: AsyncConnection, run: Run, change: int) -> None:
    """Note that a run came (1) or went (-1)."""
    counted = update(run_totals).where(run_totals.c.workspace_id == run.workspace_id)
    result = await connection.execute(counted.values(runs=run_totals.c.runs + change))
    if not result.rowcount:
        row = {"workspace_id": run.workspace_id, "organization_id": run.organization_id, "runs": change}
        await connection.execute(insert(run_totals), row)


def total(kind: type, where: Mapping[str, Any]) -> Select[Any] | None:
    """The statement that says how many runs match, where the totals know it."""
    if kind is not Run or not where or not where.keys() <= _KNOWN:
        return None
    equal = (run_totals.c[name] == value for name, value in where.items())
    return select(func.coalesce(func.sum(run_totals.c.runs), 0)).where(*equal)

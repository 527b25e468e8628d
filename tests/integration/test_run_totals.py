"""How many runs there are is counted as they come, and is what counting them all would say."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine, text

from api.domain.entities import Run
from api.persistence.database import SqliteDatabase
from api.persistence.migrations import upgrade
from api.persistence.sealing import Sealer
from api.services.ports import AlreadyExistsError, Page
from common.ids import new_id
from common.statuses import RunStatus
from tests import databases
from tests.integration.executor_face import Face, tell


async def _total(face: Face, where: Mapping[str, str]) -> int:
    async with face.ports.database.reading() as tx:
        return (await tx.listing(Run, Page(1, 1), where)).total


async def _twice(face: Face, run: Run) -> None:
    async with face.ports.database.writing() as tx:
        await tx.add(replace(run, id=new_id("run")))
        await tx.add(replace(run, id=new_id("run")))


def test_totals_follow_what_is_added_removed_and_rolled_back(tmp_path: Path) -> None:
    """Of a workspace and of its organization; of a filter that the totals do not know all are counted."""

    async def story(face: Face) -> None:
        await face.run()
        async with face.ports.database.reading() as tx:
            (first,) = await tx.all(Run)
        ended = replace(first, request_id=None, status=RunStatus.APPLIED)
        async with face.ports.database.writing() as tx:
            for number in (50, 51, 52):
                await tx.add(replace(ended, id=new_id("run"), number=number))
        with pytest.raises(AlreadyExistsError):
            await _twice(face, replace(ended, number=53))
        by_organization = {"organization_id": first.organization_id}
        by_workspace = by_organization | {"workspace_id": first.workspace_id}
        assert (await _total(face, by_organization), await _total(face, by_workspace)) == (4, 4)
        assert await _total(face, by_workspace | {"status": RunStatus.APPLIED}) == 3
        assert await _total(face, {"organization_id": new_id("organization")}) == 0
        async with face.ports.database.writing() as tx:
            gone = await tx.find(Run, number=50)
            assert gone is not None
            await tx.remove(gone)
            await tx.remove(gone)  # it has gone: nothing more is counted down
        assert await _total(face, by_workspace) == 3
        counted = databases.rows(tmp_path, "SELECT workspace_id, count(*) FROM runs GROUP BY workspace_id")
        assert databases.rows(tmp_path, "SELECT workspace_id, runs FROM run_totals") == counted

    tell(tmp_path, story)


def _insert(connection: Connection, table: str, **values: object) -> None:
    """A row as an older version left it; columns that are not named are empty."""
    columns = connection.execute(text(f"SELECT name, type FROM pragma_table_info('{table}')")).all()  # noqa: S608 - our tables
    row: dict[str, object] = {name: "" if "CHAR" in kind or kind == "TEXT" else 0 for name, kind in columns}
    row |= values
    places = ", ".join(f":{name}" for name in row)
    connection.execute(text(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})"), row)  # noqa: S608 - our tables


@pytest.mark.sqlite
def test_an_older_database_is_counted_once(tmp_path: Path) -> None:
    """The revision that brings the totals fills them with what is there."""
    path = tmp_path / "podform.db"

    def prepared() -> None:
        async def prepare() -> None:
            database = SqliteDatabase(path, Sealer(bytes(32)))
            await database.prepare()
            await database.close()

        asyncio.run(prepare())

    def older() -> None:
        engine = create_engine(f"sqlite:///{path}")
        with engine.begin() as connection:
            config = Config()
            config.set_main_option("script_location", str(Path(upgrade.__file__).parent))
            config.attributes["connection"] = connection
            command.downgrade(config, "0008")
            _insert(connection, "organizations", id="org-1", name="one")
            _insert(connection, "workspaces", id="ws-1", organization_id="org-1", name="one")
            for number in range(3):
                of = {"workspace_id": "ws-1", "organization_id": "org-1"}
                _insert(connection, "runs", id=f"run-{number}", number=number, status="applied", request_id=None, **of)
        engine.dispose()

    prepared()
    older()
    prepared()
    assert databases.rows(tmp_path, "SELECT workspace_id, organization_id, runs FROM run_totals") == [
        ("ws-1", "org-1", 3)
    ]

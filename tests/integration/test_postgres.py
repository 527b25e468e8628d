"""What only PostgreSQL can show: two writers at once, a restart of the server, bad settings at the start."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from api.domain.entities import Workspace
from api.persistence import tables
from api.persistence.data_keys import WrongMasterKeyError
from api.persistence.database import DatabaseInUseError, DatabaseUnusableError
from api.persistence.postgres import PostgresDatabase
from api.persistence.sealing import Sealer
from api.services.ports import DatabaseAwayError
from common.ids import new_id
from tests import databases
from tests.integration.executor_face import Face, tell
from tests.integration.test_persistence import start

KEY = bytes(32)


@pytest.fixture
def url(database_kind: str, tmp_path: Path) -> str:
    """A fresh database; nothing to see on SQLite."""
    databases.kind = "postgres"
    return databases.url_for(tmp_path)


@pytest.mark.sqlite
def test_of_two_writers_the_second_sees_the_first(url: str, tmp_path: Path) -> None:
    """Load, change, save in two transactions at once loses neither change, though no service names a lock."""

    async def story(face: Face) -> None:
        workspace_id = face.workspace.rpartition("/")[2]

        async def note(number: int) -> None:
            async with face.ports.database.writing() as tx:
                workspace = await tx.get(Workspace, workspace_id)
                assert workspace is not None
                await asyncio.sleep(0)
                await tx.save(replace(workspace, description=f"{workspace.description} {number}"))

        await asyncio.gather(*(note(number) for number in range(8)))
        async with face.ports.database.reading() as tx:
            workspace = await tx.get(Workspace, workspace_id)
        assert workspace is not None
        assert sorted(workspace.description.split()) == [str(number) for number in range(8)]

    tell(tmp_path, story)


@pytest.mark.sqlite
def test_a_heartbeat_waits_for_nobody(url: str, tmp_path: Path) -> None:
    """While somebody holds the workspace, an executor's heartbeat and its log are taken."""

    async def story(face: Face) -> None:
        await face.run()
        plan = await face.claimed()
        async with face.ports.database.writing() as tx:
            assert await tx.get(Workspace, face.workspace.rpartition("/")[2])
            async with asyncio.timeout(10):
                assert (await plan.heartbeat()).is_success
                assert (await plan.log(0, b"line\n")).is_success

    tell(tmp_path, story)


@pytest.mark.sqlite
def test_lost_connections_are_replaced(url: str, tmp_path: Path) -> None:
    """A transaction under way when the server ends its connection is refused as such; the next one works."""

    async def story(face: Face) -> None:
        async def end_all() -> None:
            connection = await asyncpg.connect(url)
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            await connection.close()

        async def interrupted() -> None:
            async with face.ports.database.writing() as tx:
                await tx.get(Workspace, face.workspace.rpartition("/")[2])
                await end_all()
                await tx.get(Workspace, new_id("workspace"))

        with pytest.raises(DatabaseAwayError):
            await interrupted()
        await face.run()
        await face.claimed()
        second = PostgresDatabase(url, Sealer(KEY))
        with pytest.raises(DatabaseInUseError):  # the first one's hold is renewed with its connections
            await second.prepare()
        await second.close()

    tell(tmp_path, story)


@pytest.mark.sqlite
def test_one_process_serves_a_database(url: str) -> None:
    """A second one refuses; after the first has gone, the wrong key does."""

    async def story() -> None:
        first, second = PostgresDatabase(url, Sealer(KEY)), PostgresDatabase(url, Sealer(KEY))
        await first.prepare()
        with pytest.raises(DatabaseInUseError, match="another Podform process serves this database"):
            await second.prepare()
        await first.close()
        await second.close()
        wrong = PostgresDatabase(url, Sealer(bytes(31) + b"\1"))
        with pytest.raises(WrongMasterKeyError, match="is not the key that the database was sealed with"):
            await wrong.prepare()
        await wrong.close()

    asyncio.run(story())


@pytest.mark.sqlite
def test_migrations_make_the_tables_on_postgresql(url: str) -> None:
    """The schema is the code's."""

    def compared(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, tables.metadata))

    async def story() -> None:
        engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda *_, **__: asyncpg.connect(url))
        async with engine.connect() as connection:
            assert await connection.run_sync(compared) == []
        await engine.dispose()

    asyncio.run(story())


@pytest.mark.sqlite
def test_a_server_that_is_not_there_is_named(url: str) -> None:
    """One sentence with the setting and no password."""

    async def story() -> None:
        away = PostgresDatabase("postgresql://podform:pa55word@127.0.0.1:1/podform", Sealer(KEY))
        with pytest.raises(DatabaseUnusableError, match="PODFORM_DATABASE_URL: the database cannot be reached") as seen:
            await away.prepare()
        assert "pa55word" not in str(seen.value)
        await away.close()

    asyncio.run(story())


@pytest.mark.sqlite
@pytest.mark.parametrize("value", ["mysql://root:pa55word@db/podform", "podform:pa55word"])
def test_a_url_of_another_kind_stops_the_start(tmp_path: Path, value: str) -> None:
    """One line that names the setting and never the value."""
    ended = start(tmp_path, PODFORM_DATABASE_URL=value)
    assert ended.returncode == 2
    assert "PODFORM_DATABASE_URL: must be postgresql://" in ended.stderr
    assert "pa55word" not in ended.stderr
    assert os.linesep not in ended.stderr.strip()

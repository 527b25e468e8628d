"""From nothing and from every earlier revision, on both databases, a start makes the schema that the code expects."""

import asyncio
import os
from pathlib import Path

import asyncpg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from api.persistence import tables
from api.persistence.database import DatabaseUnusableError
from api.persistence.migrations import upgrade
from api.persistence.postgres import PostgresDatabase
from api.persistence.sealing import Sealer
from tests import databases


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(upgrade.__file__).parent))
    return config


REVISIONS = sorted(script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions())


def _to(connection: Connection, revision: str) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _differences(connection: Connection) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), tables.metadata))


def _engine(directory: Path, name: str) -> AsyncEngine:
    if databases.kind == "sqlite":
        return create_async_engine(f"sqlite+aiosqlite:///{directory}/{name}.db")
    url = databases.url_for(directory / name)
    return create_async_engine("postgresql+asyncpg://", async_creator=lambda *_, **__: asyncpg.connect(url))


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_every_earlier_schema_becomes_this_one(tmp_path: Path, kind: str) -> None:
    """Brought to each revision and from there to the newest: the metadata's schema, in one line of revisions."""
    databases.kind = kind
    assert REVISIONS[-1] == upgrade.HEAD

    async def story() -> None:
        for revision in REVISIONS:
            engine = _engine(tmp_path, revision)
            async with engine.begin() as connection:
                if kind == "postgres":  # it was cloned from the newest
                    await connection.exec_driver_sql("DROP SCHEMA public CASCADE")
                    await connection.exec_driver_sql("CREATE SCHEMA public")
                await connection.run_sync(_to, revision)
            async with engine.begin() as connection:
                await connection.run_sync(upgrade.to_head)
                assert await connection.run_sync(_differences) == [], revision
            await engine.dispose()

    if kind == "postgres":  # the databases are made by a loop of their own
        for revision in REVISIONS:
            databases.url_for(tmp_path / revision)
    asyncio.run(story())


def test_missing_rights_are_named(tmp_path: Path) -> None:
    """A user that may not make tables, and one that does not exist: one sentence each."""
    databases.kind = "postgres"
    url = databases.url_for(tmp_path)
    role = f"weak_{os.getpid()}_{os.urandom(4).hex()}"

    async def story() -> None:
        connection = await asyncpg.connect(url)
        await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        await connection.execute(f"CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA public TO {role}")
        for user, why in ((role, "permission denied for schema public"), ("nobody_at_all", "does not exist")):
            database = PostgresDatabase(url.replace("podform@", f"{user}@", 1), Sealer(bytes(32)))
            with pytest.raises(DatabaseUnusableError, match=f"PODFORM_DATABASE_URL: .*{why}"):
                await database.prepare()
            await database.close()
        await connection.close()

    asyncio.run(story())

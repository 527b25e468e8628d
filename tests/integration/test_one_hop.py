"""The SQLite connections that do a whole statement in one hop, through SQLAlchemy as the database uses them."""

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiosqlite
import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from api.persistence import one_hop


def _engine(path: Path) -> AsyncEngine:
    return create_async_engine(
        f"sqlite+aiosqlite:///{path}", pool_size=1, max_overflow=0, async_creator=lambda: one_hop.connect(path, 5)
    )


async def _names(engine: AsyncEngine) -> list[str]:
    async with engine.connect() as connection:
        return list((await connection.scalars(text("SELECT name FROM t ORDER BY name"))).all())


async def _insert_twice(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("INSERT INTO t VALUES ('a')"))
        await connection.execute(text("INSERT INTO t VALUES ('a')"))


def test_statements_say_what_they_did(tmp_path: Path) -> None:
    """Rows, the number of changed rows, and returned values come back; what was committed stays."""

    async def scenario() -> None:
        engine = _engine(tmp_path / "x.db")
        async with engine.begin() as connection:
            await connection.execute(text("CREATE TABLE t (name TEXT PRIMARY KEY)"))
            await connection.execute(text("INSERT INTO t VALUES (:name)"), [{"name": "a"}, {"name": "b"}])
            changed = await connection.execute(text("UPDATE t SET name = name || '!'"))
            assert changed.rowcount == 2
            returned = await connection.scalar(text("UPDATE t SET name = 'c' WHERE name = 'b!' RETURNING name"))
            assert returned == "c"
        assert await _names(engine) == ["a!", "c"]
        await engine.dispose()

    asyncio.run(scenario())


def test_a_failed_block_changes_nothing(tmp_path: Path) -> None:
    """An error comes as SQLAlchemy's, the block is rolled back, and the connection is good for the next one."""

    async def scenario() -> None:
        engine = _engine(tmp_path / "x.db")
        async with engine.begin() as connection:
            await connection.execute(text("CREATE TABLE t (name TEXT PRIMARY KEY)"))
        with pytest.raises(IntegrityError):
            await _insert_twice(engine)
        assert await _names(engine) == []
        await engine.dispose()

    asyncio.run(scenario())


def test_a_canceled_block_changes_nothing(tmp_path: Path) -> None:
    """A block that is canceled in the middle of a statement leaves neither changes nor a lock behind."""
    slow = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000000) SELECT max(i) FROM n"

    async def write(engine: AsyncEngine) -> None:
        async with engine.begin() as connection:
            await connection.execute(text("INSERT INTO t VALUES ('a')"))
            await connection.execute(text(slow))

    async def scenario() -> None:
        engine = _engine(tmp_path / "x.db")
        async with engine.begin() as connection:
            await connection.execute(text("CREATE TABLE t (name TEXT PRIMARY KEY)"))
        writing = asyncio.create_task(write(engine))
        await asyncio.sleep(0.05)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        assert await _names(engine) == []
        async with engine.begin() as connection:
            await connection.execute(text("INSERT INTO t VALUES ('b')"))
        assert await _names(engine) == ["b"]
        await engine.dispose()

    asyncio.run(scenario())


def test_a_begin_goes_with_the_first_statement(tmp_path: Path) -> None:
    """A transaction without a statement takes no lock; one with a statement has begun before it."""

    async def scenario() -> None:
        path = tmp_path / "x.db"
        first, second = await one_hop.connect(path, 0.1), await one_hop.connect(path, 0.1)
        for connection in (first, second):
            # in the connection's thread: transactions begin where we say, as the database has it
            await connection._execute(setattr, connection._conn, "isolation_level", None)  # type: ignore[no-untyped-call]  # aiosqlite has none

        async def do(connection: aiosqlite.Connection, sql: str) -> Sequence[Any]:
            cursor: Any = connection.cursor()
            await cursor.execute(sql)
            return tuple(await cursor.fetchall())

        await do(first, "CREATE TABLE t (name TEXT PRIMARY KEY)")
        await do(first, "BEGIN IMMEDIATE")
        await do(second, "BEGIN IMMEDIATE")
        await do(second, "INSERT INTO t VALUES ('second')")  # the first one holds nothing yet
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            await do(first, "INSERT INTO t VALUES ('first')")
        await first.rollback()
        await do(second, "INSERT INTO t VALUES ('more')")
        await second.rollback()
        await do(first, "BEGIN")
        await first.commit()
        await do(first, "INSERT INTO t VALUES ('kept')")  # by itself: that BEGIN is over
        assert await do(second, "SELECT name FROM t") == (("kept",),)
        await first.close()
        await second.close()

    asyncio.run(scenario())

"""SQLite connections that do a whole statement in one hop to their thread, where aiosqlite takes four.

Used by the database alone, through SQLAlchemy's aiosqlite dialect. Making a cursor, executing, fetching and closing
are one call here, and a BEGIN goes with the statement behind it. Results are read whole; nothing here decides anything.
"""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import aiosqlite


async def connect(path: Path, timeout_seconds: float) -> aiosqlite.Connection:
    """An open connection; statements wait so long for another writer."""
    connection = _Connection(lambda: sqlite3.connect(path, timeout=timeout_seconds), iter_chunk_size=64)
    connection._thread.daemon = True  # noqa: SLF001 - as SQLAlchemy does: one left open must not keep the process
    return await connection


@dataclass(frozen=True, slots=True)
class _Result:
    """A statement's whole result, in the words of the DB-API."""

    description: Any = None
    rowcount: int = -1
    lastrowid: int | None = None
    rows: Sequence[Any] = ()


class _Connection(aiosqlite.Connection):
    """What the dialect asks of a connection, in fewer hops."""

    #: A BEGIN that waits for the first statement of its transaction, to go with it.
    _begin = ""

    def cursor(self) -> "_Cursor":  # type: ignore[override]  # the dialect asks for no more than this cursor has
        return _Cursor(self)

    async def whole(self, statement: Callable[[sqlite3.Connection], _Result]) -> _Result:
        """Do a statement in the connection's thread, after the BEGIN that waits for it."""
        begin, self._begin = self._begin, ""

        def begun(connection: sqlite3.Connection) -> _Result:
            connection.execute(begin)
            return statement(connection)

        result: _Result = await self._execute(begun if begin else statement, self._conn)  # type: ignore[no-untyped-call]  # aiosqlite has none
        return result

    def begin_with_next(self, sql: str) -> None:
        """Begin a transaction with the next statement."""
        self._begin = sql

    async def commit(self) -> None:
        """End the transaction; one without a statement was never begun."""
        if not self._never_begun():
            await super().commit()

    async def rollback(self) -> None:
        """Undo the transaction; one without a statement was never begun."""
        if not self._never_begun():
            await super().rollback()

    def _never_begun(self) -> bool:
        waiting, self._begin = self._begin, ""
        return bool(waiting)


class _Cursor:
    """A statement and its result, as the dialect reads them; nothing of it stays open."""

    arraysize = 1

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection
        self._result = _Result()

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        if sql.startswith("BEGIN"):
            self._connection.begin_with_next(sql)
            self._result = _Result()
            return
        self._result = await self._connection.whole(lambda connection: _read(connection.execute(sql, parameters)))

    async def executemany(self, sql: str, parameters: Iterable[Sequence[Any]]) -> None:
        rows = list(parameters)
        self._result = await self._connection.whole(lambda connection: _read(connection.executemany(sql, rows)))

    async def fetchall(self) -> Sequence[Any]:
        return self._result.rows

    async def close(self) -> None:
        pass  # closed in the hop that made it

    @property
    def description(self) -> Any:
        return self._result.description

    @property
    def rowcount(self) -> int:
        return self._result.rowcount

    @property
    def lastrowid(self) -> int | None:
        return self._result.lastrowid


def _read(cursor: sqlite3.Cursor) -> _Result:
    rows = cursor.fetchall() if cursor.description else ()
    result = _Result(cursor.description, cursor.rowcount, cursor.lastrowid, rows)
    cursor.close()
    return result

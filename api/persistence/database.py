"""The database behind the services' ports: engines, transactions, the way to a usable schema.

Called by api/app.py. SQLite runs in WAL mode with one writer and is for one process: a second one refuses.
"""

import fcntl
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, event, inspect
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from api.persistence import data_keys, one_hop
from api.persistence.column_types import current_sealer
from api.persistence.queries import ReadQueries, WriteQueries
from api.persistence.sealing import Sealer
from api.services.ports import Reading, StorageFullError, Writing
from common.errors import PodformError

Answer = TypeVar("Answer")


class DatabaseInUseError(PodformError):
    """Another process serves this SQLite file."""


class DatabaseUnusableError(PodformError):
    """The file cannot be opened, read or brought to this version's schema."""


class SqliteDatabase:
    """Transactions on one SQLite file."""

    def __init__(self, path: Path, sealer: Sealer) -> None:
        self._path = path
        self._sealer = sealer
        self._lock = _hold(path.with_name(path.name + ".lock"))
        # SQLite makes its files as the umask says, and the files beside it like this one
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        path.chmod(0o600)
        # one connection writes: SQLite has one writer anyway, and waiting for it here is fair and without retries
        self._writer = _engine(path, pool_size=1, begin="BEGIN IMMEDIATE")
        self._readers = _engine(path, pool_size=4, begin="BEGIN")

    async def prepare(self) -> None:
        """Bring the schema to this version's, and see that the master key is the right one; fast when it is.

        Raises DatabaseUnusableError, WrongMasterKeyError.
        """
        from api.persistence.migrations import upgrade

        try:
            async with self._writer.begin() as connection:
                await connection.run_sync(upgrade.to_head)
                await connection.run_sync(lambda sync: data_keys.open_keys(sync, self._sealer, str(self._path)))
        except DBAPIError as error:
            raise DatabaseUnusableError(f"{self._path}: the database cannot be used: {error.orig}") from error

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Reading]:
        """A consistent view."""
        current_sealer.set(self._sealer)
        async with self._readers.connect() as connection, connection.begin():
            yield ReadQueries(connection)

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Writing]:
        """A transaction that is committed at the end of the block."""
        current_sealer.set(self._sealer)
        try:
            async with self._writer.begin() as connection:
                yield WriteQueries(connection)
        except OperationalError as error:
            if "full" in str(error.orig):
                raise StorageFullError("the database has no room left") from error
            raise

    async def in_transaction(self, work: Callable[[Connection], Answer]) -> Answer:
        """What a plain function answers that works on the connection, in one writing transaction."""
        async with self._writer.begin() as connection:
            return await connection.run_sync(work)

    async def close(self) -> None:
        """Close all connections and give the file free."""
        await self._writer.dispose()
        await self._readers.dispose()
        os.close(self._lock)


def table_names(connection: Connection) -> set[str]:
    """Names of the tables that are there."""
    return set(inspect(connection).get_table_names())


def _engine(path: Path, *, pool_size: int, begin: str) -> AsyncEngine:
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{path}",
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=60,
        hide_parameters=True,  # else the text of an error, and with it the log, shows the values of a statement
        async_creator=lambda: one_hop.connect(path, timeout_seconds=30),
    )

    @event.listens_for(engine.sync_engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions begin where we say, not where the driver guesses
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "cache_size=-8000"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _hold(path: Path) -> int:
    """A lock that lives as long as this process."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise DatabaseInUseError(
            f"{path.with_suffix('')}: another Podform process serves this SQLite file; SQLite is for one process"
        ) from error
    return descriptor

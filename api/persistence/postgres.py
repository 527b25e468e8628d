"""PostgreSQL behind the services' ports. Called by api/app.py, which imports it only when a URL is set.

One process serves one database: a session lock makes a second one refuse. Never shows the URL, which holds a password.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from api.persistence import data_keys
from api.persistence.column_types import current_sealer
from api.persistence.database import Answer, DatabaseInUseError, DatabaseUnusableError
from api.persistence.postgres_queries import PostgresWriteQueries
from api.persistence.queries import ReadQueries
from api.persistence.sealing import Sealer
from api.services.ports import DatabaseAwayError, Reading, StorageFullError, Writing

_POOL_SIZE = 10
#: Replicas that start together bring the schema up one after the other.
_MIGRATING = text("SELECT pg_advisory_xact_lock(470020878961)")
#: The database's clock in microseconds since 1970.
_NOW = "(extract(epoch from clock_timestamp()) * 1000000)::bigint"
#: "podform" in ASCII: the lock's number must only differ from those of others in the same database.
_SERVING_LOCK = 0x706F64666F726D
#: Who waits longer for a lock, or keeps one and says nothing, is ended: a request is repeated, a hung process is not.
_SERVER_SETTINGS = {
    "application_name": "podform",
    "lock_timeout": "15s",
    "idle_in_transaction_session_timeout": "60s",
}
_TAKE = text(
    f"INSERT INTO leases (name, holder, expires_at) VALUES (:name, :holder, {_NOW} + :length) "  # noqa: S608 - constants
    "ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at "
    f"WHERE leases.holder = excluded.holder OR leases.expires_at < {_NOW} RETURNING name"
)
_RELEASE = text("DELETE FROM leases WHERE holder = :holder")
_HELD = text(f"SELECT name FROM leases WHERE expires_at >= {_NOW}")  # noqa: S608 - constants
_FULL = frozenset({"53100", "53200"})
#: Serialization, deadlock, lock timeout, shutdown, too many connections: nothing was committed, again is right.
_AGAIN = frozenset({"40001", "40P01", "55P03", "57P01", "57P02", "57P03", "53300"})


class PostgresDatabase:
    """Transactions on one PostgreSQL database."""

    def __init__(self, url: str, sealer: Sealer, *, shared: bool = False) -> None:
        """`shared`: other processes may serve it too, if they say the same."""
        self._lock = "pg_try_advisory_lock_shared" if shared else "pg_try_advisory_lock"
        self._url, self._sealer = url, sealer
        self._writers = self._engine("READ COMMITTED", read_only=False)
        self._readers = self._engine("REPEATABLE READ", read_only=True)
        self._serving: Any = None
        self._taking = asyncio.Lock()

    def _engine(self, isolation: str, *, read_only: bool) -> AsyncEngine:
        return create_async_engine(
            "postgresql+asyncpg://",
            async_creator=self._pooled,
            pool_size=_POOL_SIZE,
            max_overflow=0,
            pool_timeout=30,
            hide_parameters=True,  # else the text of an error, and with it the log, shows the values of a statement
            pool_pre_ping=True,  # a restarted server leaves dead connections in the pool
            isolation_level=isolation,
            execution_options={"postgresql_readonly": read_only},
        )

    async def _pooled(self, *_: Any, **__: Any) -> Any:
        """A connection for a pool; a server that was restarted has forgotten whom it is served by."""
        try:
            async with self._taking:
                if self._serving is not None and self._serving.is_closed() and not await self._serve():
                    raise ConnectionError("another Podform process serves this database by now")
            return await self._connect()
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            # one word for all of them, a missing socket file too
            raise ConnectionError(f"the database cannot be reached: {str(error) or type(error).__name__}") from error

    async def _serve(self) -> bool:
        """Whether this process serves the database from now on, for as long as this connection lasts."""
        connection = await self._connect()
        if not await connection.fetchval(f"SELECT {self._lock}($1)", _SERVING_LOCK):
            await connection.close()
            return False
        self._serving = connection
        return True

    async def _connect(self) -> Any:
        return await asyncpg.connect(self._url, timeout=10, server_settings=_SERVER_SETTINGS)

    async def prepare(self) -> None:
        """Bring the schema to this version's, and see that the master key is the right one.

        Raises DatabaseUnusableError, DatabaseInUseError, WrongMasterKeyError.
        """
        from api.persistence.migrations import upgrade

        where = "PODFORM_DATABASE_URL"
        try:
            if not await self._serve():
                raise DatabaseInUseError(
                    f"{where}: another Podform process serves this database; "
                    "several do when each has PODFORM_SHARED_DIR"
                )
            async with self._writers.begin() as connection:
                await connection.execute(_MIGRATING)
                await connection.run_sync(upgrade.to_head)
                await connection.run_sync(lambda sync: data_keys.open_keys(sync, self._sealer, "the database"))
        except DBAPIError as error:
            raise DatabaseUnusableError(f"{where}: the database cannot be used: {error.orig}") from error
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
            why = str(error) or type(error).__name__
            raise DatabaseUnusableError(f"{where}: the database cannot be reached: {why}") from None

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Reading]:
        """A consistent view."""
        current_sealer.set(self._sealer)
        async with _said_clearly(), self._readers.connect() as connection, connection.begin():
            yield ReadQueries(connection)

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Writing]:
        """A transaction that is committed at the end of the block; it locks what it belongs to as it first reads."""
        current_sealer.set(self._sealer)
        async with _said_clearly(), self._writers.begin() as connection:
            yield PostgresWriteQueries(connection)

    async def in_transaction(self, work: Callable[[Connection], Answer]) -> Answer:
        """What a plain function answers that works on the connection, in one writing transaction."""
        async with _said_clearly(), self._writers.begin() as connection:
            return await connection.run_sync(work)

    async def take_lease(self, name: str, holder: str, seconds: float) -> bool:
        """Take or renew a lease; False while another one holds it."""
        async with _said_clearly(), self._writers.begin() as connection:
            given = {"name": name, "holder": holder, "length": round(seconds * 1_000_000)}
            return await connection.scalar(_TAKE, given) is not None

    async def release_leases(self, holder: str) -> None:
        """Give up all that a holder has."""
        async with _said_clearly(), self._writers.begin() as connection:
            await connection.execute(_RELEASE, {"holder": holder})

    async def leases(self) -> frozenset[str]:
        """Names of those that have not expired."""
        async with _said_clearly(), self._readers.connect() as connection:
            return frozenset((await connection.scalars(_HELD)).all())

    async def listening(self) -> Any:
        """A connection of its own for NOTIFY."""
        return await self._connect()

    async def close(self) -> None:
        """Close all connections."""
        await self._writers.dispose()
        await self._readers.dispose()
        if self._serving is not None:
            with contextlib.suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await self._serving.close(timeout=2)


@asynccontextmanager
async def _said_clearly() -> AsyncIterator[None]:
    """The driver's errors in the words of the ports."""
    try:
        yield
    except DBAPIError as error:
        state = str(getattr(error.orig, "sqlstate", "") or "")
        if state in _FULL:
            raise StorageFullError("the database has no room left") from error
        if error.connection_invalidated or state in _AGAIN or state.startswith("08"):
            raise DatabaseAwayError("the database cannot do this now") from error
        raise
    except (ConnectionError, PoolTimeoutError, asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError) as error:
        raise DatabaseAwayError("the database is away") from error


async def create_schema(url: str) -> None:
    """Only the schema, without a seal: a template that other databases are cloned from."""
    from api.persistence.migrations import upgrade

    engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda *_, **__: asyncpg.connect(url))
    async with engine.begin() as connection:
        await connection.execute(text("SELECT 1"))
        await connection.run_sync(upgrade.to_head)
    await engine.dispose()

"""Rotation of the data keys while serving. Implements the services' Keys port; runs beside the server (api/app.py).

A new key seals from its commit on; what an older one has sealed is sealed anew in the background, and the older key is
retired when nothing has it any more. Every step can be repeated: a crash is followed by the same pass, which leaves out
what is done.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Protocol, TypeVar

import structlog
from sqlalchemy import Column, Connection, LargeBinary, Table, func, literal, select, type_coerce, update

from api.persistence import data_keys
from api.persistence.artifacts import SealedArtifacts
from api.persistence.column_types import SealedText, current_sealer
from api.persistence.key_tables import data_keys as table
from api.persistence.sealing import PREFIX_BYTES, Sealer
from api.persistence.tables import metadata
from api.services.key_ports import DataKey, KeysStatus
from api.services.ports import StorageAwayError

Answer = TypeVar("Answer")
_log = structlog.get_logger()

_ROWS_AT_ONCE = 100
_PAUSE_SECONDS = 5.0


class SyncWriting(Protocol):
    """A database that lets a plain function work on its connection, in one writing transaction."""

    async def in_transaction(self, work: Callable[[Connection], Answer]) -> Answer:
        """What the function answers, after the commit."""
        ...


class KeyRotation:
    """The keys of one installation."""

    def __init__(self, database: SyncWriting, artifacts: SealedArtifacts, sealer: Sealer) -> None:
        self._database, self._artifacts, self._sealer = database, artifacts, sealer
        self._wake = asyncio.Event()
        self._looked_at = self._sealed_anew = 0

    async def rotate(self) -> None:
        """Seal with a new key from now on."""
        key_id, key = await self._database.in_transaction(
            lambda connection: data_keys.add_key(connection, self._sealer)
        )
        self._sealer.learn(key_id, key, active=True)
        _log.info("data_key_made", key=key_id)
        self._wake.set()

    async def status(self) -> KeysStatus:
        """The keys, and how far the sealing anew is."""
        rows = await self._database.in_transaction(_rows)
        active = self._sealer.active_prefix[3:].hex()
        keys = tuple(
            DataKey(row.id, row.created_at, row.retired_at, active=row.id == active)
            for row in rows
            if row.kind != "codes"
        )
        return KeysStatus(keys, self._looked_at, self._sealed_anew)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Seal anew what is left of older keys, now and after every rotation, until the block ends."""
        self._wake.set()
        work = asyncio.create_task(self._run())
        try:
            yield
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._pass()
            except Exception as error:  # noqa: BLE001 - must outlive any trouble of the stores
                if not isinstance(error, StorageAwayError):
                    _log.exception("sealing_anew_failed")
                await asyncio.sleep(_PAUSE_SECONDS)
                self._wake.set()

    async def _pass(self) -> None:
        """Rows, contents, and rows again: one that was being written meanwhile is found by the second look."""
        older = await self._older()
        if not older:
            return
        self._looked_at = self._sealed_anew = broken = 0
        await self._rows_anew()
        await self._artifacts.settled()  # what is on its way may have been sealed before the rotation
        async for key, prefix in self._artifacts.prefixes():
            self._looked_at += 1
            if prefix and prefix != self._sealer.active_prefix:
                opened = await self._artifacts.seal_anew(key)
                self._sealed_anew += opened
                broken += not opened
        await self._rows_anew()
        if broken:  # perhaps a copy of it can be put back, which needs its key
            _log.error("data_keys_not_retired", contents_that_cannot_be_opened=broken)
        elif older == await self._older():  # no further rotation meanwhile: that one's pass retires all of them
            await self._retire(older)

    async def _older(self) -> tuple[str, ...]:
        active = self._sealer.active_prefix[3:].hex()
        rows = await self._database.in_transaction(_rows)
        return tuple(row.id for row in rows if row.kind != "codes" and row.retired_at is None and row.id != active)

    async def _rows_anew(self) -> None:
        for column in _sealed_columns():
            while done := await self._database.in_transaction(partial(_seal_rows, column=column, sealer=self._sealer)):
                self._looked_at += done
                self._sealed_anew += done

    async def _retire(self, older: tuple[str, ...]) -> None:
        def retire(connection: Connection) -> bool:
            if any(_left(connection, column, self._sealer) for column in _sealed_columns()):
                return False
            for key_id in older:
                data_keys.retire(connection, key_id)
            return True

        if not await self._database.in_transaction(retire):
            self._wake.set()
            return
        for key_id in older:
            self._sealer.forget(key_id)
            _log.info("data_key_retired", key=key_id)


def _rows(connection: Connection) -> list[Any]:
    return list(connection.execute(select(table).order_by(table.c.created_at)).all())


def _sealed_columns() -> Iterator[Column[Any]]:
    for each in metadata.sorted_tables:
        yield from (column for column in each.columns if isinstance(column.type, SealedText))


def _older_than(column: Column[Any], sealer: Sealer) -> Any:
    raw = type_coerce(column, LargeBinary)
    return func.substr(raw, 1, PREFIX_BYTES) != literal(sealer.active_prefix, LargeBinary)


def _left(connection: Connection, column: Column[Any], sealer: Sealer) -> bool:
    return connection.execute(select(literal(1)).where(_older_than(column, sealer)).limit(1)).first() is not None


def _seal_rows(connection: Connection, column: Column[Any], sealer: Sealer) -> int:
    """Seal some rows anew; how many."""
    current_sealer.set(sealer)
    owner: Table = column.table
    key = next(iter(owner.primary_key.columns))
    found = select(key, column).where(_older_than(column, sealer)).limit(_ROWS_AT_ONCE).with_for_update()
    rows = connection.execute(found).all()
    for row_key, value in rows:
        connection.execute(update(owner).where(key == row_key).values({column.name: value}))
    return len(rows)

"""This API process among its replicas: its node id, whether it leads, who else lives. Implements the Nodes port.

Leases in the database, renewed by a task; a lease that could not be renewed in time is given up here before anybody
else can take it. Composed by api/app.py on PostgreSQL; on SQLite there is one node (services/ports.py).
"""

import asyncio
import contextlib
import time
from typing import Protocol

import structlog

from api.domain.ownership import Here
from api.services.ports import WORK_TOPIC, Bells

_log = structlog.get_logger()

_LEADER = "leader"
_NODE = "node:"


class Leases(Protocol):
    """Rows that one holder has until they expire, by the database's clock."""

    async def take_lease(self, name: str, holder: str, seconds: float) -> bool:
        """Take or renew; False while another one holds it."""
        ...

    async def release_leases(self, holder: str) -> None:
        """Give up all that a holder has."""
        ...

    async def leases(self) -> frozenset[str]:
        """Names of those that have not expired."""
        ...


class LeasedNode:
    """One per process."""

    def __init__(self, node_id: str, leases: Leases, bells: Bells, seconds: float) -> None:
        self._id, self._leases, self._bells, self._seconds = node_id, leases, bells, seconds
        self._leads_until = 0.0
        self._ending = asyncio.Event()
        self._renewing: asyncio.Task[None] | None = None

    @property
    def id(self) -> str:
        """Kept in the data directory: a restart is the same node."""
        return self._id

    async def start(self) -> None:
        """Take what is free, and keep it."""
        await self._renew()
        self._renewing = asyncio.create_task(self._for_ever(), name="leases")

    async def end(self) -> None:
        """Let others go on at once."""
        self._ending.set()  # not a cancel: that would tear a transaction
        if self._renewing is not None:
            await self._renewing
        self._leads_until = 0.0
        try:
            await self._leases.release_leases(self._id)
        except Exception as error:  # noqa: BLE001 - they expire by themselves
            _log.warning("leases_not_released", message=str(error))

    async def here(self) -> Here:
        """How things stand now."""
        names = await self._leases.leases()
        living = frozenset(name.removeprefix(_NODE) for name in names if name.startswith(_NODE))
        return Here(self._id, time.monotonic() < self._leads_until, living | {self._id})

    async def _for_ever(self) -> None:
        while not self._ending.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._seconds / 5):
                    await self._ending.wait()
                    return
            try:
                await self._renew()
            except Exception as error:  # noqa: BLE001 - the database is away: again until it is back
                _log.warning("leases_not_renewed", message=str(error))

    async def _renew(self) -> None:
        led, begun = time.monotonic() < self._leads_until, time.monotonic()
        await self._leases.take_lease(_NODE + self._id, self._id, self._seconds)
        leads = await self._leases.take_lease(_LEADER, self._id, self._seconds)
        # a third earlier than the database lets it go: clocks that run differently never make two of them
        self._leads_until = begun + self._seconds * 2 / 3 if leads else 0.0
        if leads and not led:
            _log.info("leads", node=self._id)
            self._bells.ring(WORK_TOPIC)

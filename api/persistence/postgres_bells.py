"""Bells that are heard by every replica: rings travel by PostgreSQL's NOTIFY. Implements the services' Bells port.

Only hints: what rings while the connection is away is lost, and whoever waits looks from time to time anyway. Rings
are sent in batches on a connection of their own, so that no transaction's commit waits for the queue of NOTIFY.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

import structlog

from api.bells import LocalBell, LocalBells

_log = structlog.get_logger()

_CHANNEL = "podform"
#: PostgreSQL takes less than 8000 bytes.
_PAYLOAD_BYTES = 7000
_BATCH_SECONDS = 0.005
_MOST_TOPICS = 10_000
_LONGEST_DELAY_SECONDS = 5.0


class PostgresBells:
    """Local bells that also ring elsewhere."""

    def __init__(self, connect: Callable[[], Awaitable[Any]]) -> None:
        self._connect = connect
        self._local = LocalBells()
        self._me = os.urandom(8).hex()
        self._unsent: dict[str, None] = {}
        self._something = asyncio.Event()
        self._telling: asyncio.Task[None] | None = None

    @property
    def closing(self) -> bool:
        """Whether the server ends."""
        return self._local.closing

    def close(self) -> None:
        """The server ends: wake everybody in this process."""
        self._local.close()

    def ring(self, topic: str) -> None:
        """Wake listeners here now, and elsewhere in a moment."""
        self._local.ring(topic)
        if len(self._unsent) < _MOST_TOPICS:
            self._unsent[topic] = None
        self._something.set()

    def ring_here(self, topic: str) -> None:
        """Wake listeners of this process only."""
        self._local.ring(topic)

    def listen(self, topic: str) -> LocalBell:
        """A listener; close it when done."""
        return self._local.listen(topic)

    async def start(self) -> None:
        """Begin to hear and to be heard."""
        self._telling = asyncio.create_task(self._for_ever(), name="bells")

    async def end(self) -> None:
        """Say what is unsaid, then end."""
        await asyncio.sleep(_BATCH_SECONDS * 4)
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.gather(self._telling, return_exceptions=True)

    async def _for_ever(self) -> None:
        delay = 0.2
        while True:
            try:
                connection = await self._connect()
                try:
                    await connection.add_listener(_CHANNEL, self._heard)
                    self._local.ring_all()  # what rang while nobody listened
                    delay = 0.2
                    await self._tell(connection)
                finally:
                    connection.terminate()
            except Exception as error:  # noqa: BLE001 - whatever ended the connection: again, with a new one
                _log.warning("bells_not_heard", message=str(error) or type(error).__name__)
            await asyncio.sleep(delay)
            delay = min(delay * 2, _LONGEST_DELAY_SECONDS)

    async def _tell(self, connection: Any) -> None:
        connection.add_termination_listener(lambda _: self._something.set())
        while not connection.is_closed():
            await self._something.wait()
            await asyncio.sleep(_BATCH_SECONDS)
            self._something.clear()
            topics, self._unsent = self._unsent, {}
            for payload in _payloads(self._me, topics):
                await connection.execute("SELECT pg_notify($1, $2)", _CHANNEL, payload)

    def _heard(self, _connection: Any, _pid: int, _channel: str, payload: str) -> None:
        sender, *topics = payload.split("\n")
        if sender != self._me:
            for topic in topics:
                self._local.ring(topic)


def _payloads(sender: str, topics: Iterable[str]) -> Iterator[str]:
    """The topics in as few notifications as they fit in."""
    payload = sender
    for topic in topics:
        if len(payload) + len(topic) > _PAYLOAD_BYTES:
            yield payload
            payload = sender
        payload += f"\n{topic}"
    if payload != sender:
        yield payload

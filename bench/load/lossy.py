"""A relay that passes every request on and loses some of the answers, closing the connection instead.

Used by the figure about logs. Which answers are lost is seeded; requests are whole before they are passed on.
"""

import asyncio
import contextlib
import random
import threading
from typing import Self
from urllib.parse import urlsplit

from bench.load import wire


class LossyRelay:
    """Serves on loopback in a thread of its own while the block lasts."""

    def __init__(self, target_url: str, lost: float) -> None:
        self._target = urlsplit(target_url)
        self._lost = lost
        self._chosen = random.Random(7)
        self.answers = self.lost_answers = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        started = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 22), self._loop
        )
        self._server = started.result(20)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)

    async def _serve(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        far, forth = await asyncio.open_connection(self._target.hostname, self._target.port, limit=1 << 22)
        try:
            while True:
                request = await wire.read_message(near)
                forth.write(request.first.encode() + b"\r\n" + request.head + request.body)
                await forth.drain()
                answer = await wire.read_message(far)
                self.answers += 1
                if self._chosen.random() < self._lost:
                    self.lost_answers += 1
                    return
                back.write(answer.first.encode() + b"\r\n" + answer.head + answer.body)
        except (OSError, EOFError):
            pass  # one of them has gone
        finally:
            for writer in (back, forth):
                with contextlib.suppress(OSError):
                    writer.close()

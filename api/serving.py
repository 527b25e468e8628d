"""The HTTP server of `python -m api` and its orderly end.

SIGTERM or SIGINT, however often: `/readyz` turns 503, after the drain no request is taken any more, what is held is
answered at once, what is under way ends within a bounded time. Executors in process mode go on.
"""

import asyncio
import signal
import socket
from collections.abc import Generator
from contextlib import contextmanager

import structlog
import uvicorn
from starlette.applications import Starlette

from api.http_protocol import BoundedHttpProtocol
from api.services.ports import Bells
from api.settings import Settings

_log = structlog.get_logger()


class HttpServer(uvicorn.Server):
    """Serves one composed application until it is told to end."""

    def __init__(self, app: Starlette, bells: Bells, settings: Settings) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=BoundedHttpProtocol,
                log_config=None,
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=settings.shutdown_seconds,
            )
        )
        self._bells = bells
        self._drain_seconds = settings.drain_seconds
        self.ending = False

    def listen_to_signals(self) -> None:
        """From now on SIGTERM and SIGINT end the server; a second one changes nothing."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.end)

    def end(self) -> None:
        """Begin to end."""
        if self.ending:
            return
        self.ending = True
        _log.info("ending", drain_seconds=self._drain_seconds)
        asyncio.get_running_loop().call_later(self._drain_seconds, self._close)

    def _close(self) -> None:
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting first, so that whoever is answered now comes back elsewhere."""
        for server in self.servers:
            server.close()
        for listening in sockets or ():
            listening.close()
        self._bells.close()
        await super().shutdown()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Ours stay: uvicorn's would end at once, and raise the signal again at the end."""
        yield

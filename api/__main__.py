"""`python -m api`: read the settings, open the socket, serve until SIGTERM or SIGINT.

Also what `podform serve` runs.
"""

import argparse
import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import structlog
import uvicorn
import uvloop

from api import settings_source
from api.http_protocol import BoundedHttpProtocol
from api.settings import Settings
from common.errors import BadInputError, PodformError


def main() -> int:
    """Exit code 0 after an orderly end, 2 for a bad setting, 1 when the start failed otherwise."""
    try:
        settings = settings_source.read(os.environ, _overrides(), _settings_file())
    except PodformError as error:
        print(f"podform: {error}", file=sys.stderr)  # noqa: T201 - the one line for whoever starts it
        return 2
    _configure_logging(settings)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(settings))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="podform serve", description="Serve Podform's API")
    parser.add_argument("--host", help="address to listen on")
    parser.add_argument("--port", help="port to listen on; 0 = any free one")
    parser.add_argument("--data-dir", help="directory of the database, artifacts, logs and keys")
    parser.add_argument("--settings", type=Path, help="settings file (appsettings.json)")
    return parser.parse_args()


def _overrides() -> dict[str, Any]:
    arguments = _arguments()
    given = {"PODFORM_HOST": arguments.host, "PODFORM_PORT": arguments.port, "PODFORM_DATA_DIR": arguments.data_dir}
    return {name: value for name, value in given.items() if value is not None}


def _settings_file() -> Path | None:
    given: Path | None = _arguments().settings
    usual = Path("appsettings.json")
    return given or (usual if usual.is_file() else None)


async def _serve(settings: Settings) -> int:
    from api import app  # after the settings are known to be good: it imports everything else

    try:
        listening = _listen(settings)
        url = _url(listening)
        server = app.build(settings, url)
    except (PodformError, OSError) as error:
        print(f"podform: {error}", file=sys.stderr)  # noqa: T201 - the one line for whoever starts it
        return 2 if isinstance(error, BadInputError) else 1
    config = uvicorn.Config(
        server.app,
        http=BoundedHttpProtocol,
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=5,
    )
    http = uvicorn.Server(config)
    try:
        async with server.running() as admin_token:
            # uvicorn raises the signal again when it is done; by then it must be harmless, for the end to be orderly;
            # before the lines below, for whoever waits for them may send one at once
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, setattr, http, "should_exit", True)
            # what the start has built stays: without this every full collection looks through it, some 20 ms at a time
            gc.freeze()
            if admin_token:
                print(f"podform: admin token (shown once): {admin_token}", flush=True)  # noqa: T201 - shown once, to the starter
            print(f"podform: serving on {url}", flush=True)  # noqa: T201 - tools wait for this line
            await http.serve(sockets=[listening])
    except PodformError as error:
        print(f"podform: {error}", file=sys.stderr)  # noqa: T201 - the one line for whoever starts it
        return 1
    return 0


def _listen(settings: Settings) -> socket.socket:
    """The bound socket: opened before anything else, so that the port is known to executors."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # the protocol must be named: only then do accepted sockets get TCP_NODELAY, without which each answer takes 40 ms
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
    except OSError as error:
        raise OSError(f"cannot listen on {settings.host}:{settings.port}: {error.strerror}") from error
    listening.listen(2048)
    listening.setblocking(False)
    return listening


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _configure_logging(settings: Settings) -> None:
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, settings.log_level.upper())),
        logger_factory=lambda *_: _Printing(sys.stderr),
    )


class _Printing(structlog.PrintLogger):
    """Prints lines; one that cannot be printed (the disk of the log is full) must not stop what wrote it."""

    def msg(self, message: str) -> None:
        try:
            super().msg(message)
        except OSError:
            pass

    log = debug = info = warn = warning = msg
    fatal = failure = err = error = critical = exception = msg


if __name__ == "__main__":
    sys.exit(main())

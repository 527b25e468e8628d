"""`python -m api`: read the settings, open the socket, serve until SIGTERM or SIGINT.

Also what `podform serve` runs.
"""

import argparse
import asyncio
import gc
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvloop

from api import log_lines, settings_source
from api.settings import Settings
from common.errors import BadInputError, PodformError


def main() -> int:
    """Exit code 0 after an orderly end, 2 for a bad setting, 1 when the start failed otherwise."""
    if (offline := _offline(sys.argv[1:2])) is not None:
        return offline(sys.argv[2:])
    try:
        settings = settings_source.read(os.environ, _overrides(), _settings_file())
    except PodformError as error:
        print(f"podform: {error}", file=sys.stderr)  # noqa: T201 - the one line for whoever starts it
        return 2
    log_lines.configure(settings.log_format, settings.log_level)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(settings))


def _offline(word: list[str]) -> Callable[[list[str]], int] | None:
    """What works on a data directory and does not serve."""
    if word == ["backup"]:
        from api import backup

        return backup.main
    if word == ["restore"]:
        from api import restore

        return restore.main
    return None


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
    # after the settings are known to be good: they import everything else
    from api import app
    from api.serving import HttpServer

    try:
        listening = _listen(settings)
        url = _url(listening)
        server = app.build(settings, url)
    except (PodformError, OSError) as error:
        print(f"podform: {error}", file=sys.stderr)  # noqa: T201 - the one line for whoever starts it
        return 2 if isinstance(error, BadInputError) else 1
    http = HttpServer(server.app, server.ports.bells, settings)
    server.checks["server"] = lambda: "is ending" if http.ending else ""
    try:
        async with server.running() as admin_token:
            # before the lines below, for whoever waits for them may send a signal at once
            http.listen_to_signals()
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


if __name__ == "__main__":
    sys.exit(main())

"""A release site of an engine on loopback, laid out as the official ones; counts what is asked of it."""

import hashlib
import json
import ssl
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from executor import engines


def publish(site: Path, program: Path, version: str, *, name: str = "terraform", folder: str = "") -> Path:
    """Put a release of a program on the site; its archive."""
    release = site / (folder or version)
    release.mkdir(parents=True, exist_ok=True)
    archive = release / f"{name}_{version}_{engines.platform()}.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        packed.writestr("LICENSE.txt", "a licence")
        packed.write(program, name)
    sums = f"{hashlib.sha256(archive.read_bytes()).hexdigest()}  {archive.name}\n"
    (release / f"{name}_{version}_SHA256SUMS").write_text(sums)
    index = site / "index.json"
    known = json.loads(index.read_text())["versions"] if index.exists() else {}
    index.write_text(json.dumps({"name": name, "versions": {**known, version: {}}}))
    return archive


class Site:
    """A site that serves a directory; `requests` are the paths asked for."""

    def __init__(self, directory: Path, tls: ssl.SSLContext | None = None) -> None:
        self.directory = directory
        self.requests: list[str] = []
        requests = self.requests

        class Exchange(SimpleHTTPRequestHandler):
            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
                """Say nothing."""

            def do_GET(self) -> None:
                requests.append(self.path)
                super().do_GET()

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Exchange, directory=str(directory)))
        self._scheme = "https" if tls else "http"
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"{self._scheme}://127.0.0.1:{self.server.server_address[1]}"

    def close(self) -> None:
        """Stop serving."""
        self.server.shutdown()
        self.server.server_close()


@contextmanager
def serving(directory: Path, tls: ssl.SSLContext | None = None) -> Iterator[Site]:
    """A site that ends with its block."""
    site = Site(directory, tls)
    try:
        yield site
    finally:
        site.close()

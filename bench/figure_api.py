"""The API's start and its memory while nothing is asked of it."""

import http.client
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Self

from bench.stage import memory_mib
from bench.table import Row, median
from tests.flow.server import ADMIN_TOKEN

_LONGEST_SECONDS = 30.0
_IDLE_SECONDS = 1.0


class ApiStart:
    """Each round starts a server twice: on an empty data directory, and again on the same one."""

    name = "api"

    def __init__(self) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="podform-bench-", ignore_cleanup_errors=True)
        self._fresh: list[float] = []
        self._again: list[float] = []
        self._resident: list[float] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._scratch.cleanup()

    def round(self) -> None:
        directory = Path(self._scratch.name) / f"data-{len(self._fresh)}"
        directory.mkdir()
        self._fresh.append(self._start(directory))
        self._again.append(self._start(directory))

    def rows(self) -> list[Row]:
        return [
            Row(figure="API: start -> ready, empty data directory", value=median(self._fresh), unit="ms", bar=1500),
            Row(figure="API: start -> ready, started before", value=median(self._again), unit="ms", bar=1500),
            Row(figure="API: idle memory (VmRSS)", value=median(self._resident), unit="MiB", bar=120),
        ]

    def _start(self, directory: Path) -> float:
        """Milliseconds until /readyz says 200; memory is read when it has been idle for a while."""
        environment = {"PATH": os.environ["PATH"], "HOME": str(directory), "PODFORM_ADMIN_TOKEN": ADMIN_TOKEN}
        output = directory / "output"
        command = [sys.executable, "-m", "api", "--port", "0", "--data-dir", str(directory)]
        begun = time.perf_counter()
        with (
            output.open("wb") as file,
            subprocess.Popen(
                command, env=environment, cwd=directory, stdin=subprocess.DEVNULL, stdout=file, stderr=file
            ) as process,
        ):
            try:
                _await_ready(_port(output))
                milliseconds = (time.perf_counter() - begun) * 1000
                time.sleep(_IDLE_SECONDS)
                self._resident.append(memory_mib(process.pid))
            finally:
                process.terminate()
        return milliseconds


def _port(output: Path) -> int:
    until = time.monotonic() + _LONGEST_SECONDS
    while time.monotonic() < until:
        if found := re.search(r"serving on http://[\d.]+:(\d+)", output.read_text()):
            return int(found[1])
        time.sleep(0.005)
    raise AssertionError(f"the API did not start: {output.read_text()}")


def _await_ready(port: int) -> None:
    until = time.monotonic() + _LONGEST_SECONDS
    while time.monotonic() < until:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass  # it does not listen yet
        finally:
            connection.close()
        time.sleep(0.005)
    raise AssertionError("the API did not become ready")

"""What the figures measure on: real servers on scratch directories, and a follower of logs by long-poll."""

import http.client
import os
import re
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, Self
from urllib.parse import urlsplit

from bench.table import Row
from tests.flow.server import ADMIN_TOKEN, ApiProcess, Client

THREE_RESOURCES = {
    "main.tf": "".join(f'resource "terraform_data" "r{n}" {{\n  input = "value {n}"\n}}\n' for n in range(3)),
}


class Figure(Protocol):
    """A group of rows that are measured together, one round at a time."""

    name: str

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...

    def round(self) -> None:
        """Measure once."""

    def rows(self) -> list[Row]:
        """What all rounds have shown."""


class Stage:
    """A running API with a client that has an organization, on a scratch directory."""

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="podform-bench-", ignore_cleanup_errors=True)
        self.directory = Path(self._scratch.name)
        self.api = ApiProcess(self.directory / "data", settings or {})
        self._uploads = 0

    def __enter__(self) -> Self:
        self.api.start()
        self.client = Client(self.api.url)
        self.client.make_organization()
        return self

    def __exit__(self, *_: object) -> None:
        self.client.http.close()
        self.api.end()
        self._scratch.cleanup()

    @property
    def pid(self) -> int:
        """The API's process."""
        assert self.api.process is not None
        return self.api.process.pid

    def workspace(self, name: str, files: Mapping[str, str]) -> str:
        """A workspace with auto-apply and a configuration."""
        workspace = self.client.make_workspace(name, autoApply=True)
        self._uploads += 1
        self.client.upload(workspace, files, self.directory / f"upload-{self._uploads}")
        return workspace

    def follow(self, run: str, step_id: str) -> Iterator[bytes]:
        """The pieces of a step's log as a follower gets them by long-poll, to its end."""
        url = urlsplit(self.api.url)
        path = f"/tfoutput/v1/organization/{self.client.organization}/job/{run}/step/{step_id}"
        connection = http.client.HTTPConnection(str(url.hostname), url.port, timeout=60)
        offset, ended = 0, False
        try:
            while not ended:
                target = f"{path}?offset={offset}&wait=30"
                connection.request("GET", target, headers={"Authorization": f"Bearer {ADMIN_TOKEN}"})
                answer = connection.getresponse()
                content = answer.read()
                assert answer.status == 200, content
                offset = int(answer.headers["X-Podform-Log-Next"])
                ended = answer.headers["X-Podform-Log-End"] == "true"
                if content:
                    yield content
        finally:
            connection.close()

    def run_to_its_end(self, workspace: str) -> tuple[str, float]:
        """A run whose logs are followed like a person would; its number and the seconds from request to applied."""
        begun = time.perf_counter()
        run = self.client.run(workspace)
        for step in self.client.steps(run):
            for _ in self.follow(run, step["id"]):
                pass
        seconds = time.perf_counter() - begun
        job = self.client.job(run)
        assert job["runStatus"] == "applied", (job, self.client.steps(run))
        return run, seconds


def memory_mib(pid: int, field: str = "VmRSS") -> float:
    """A process's memory as the kernel counts it: VmRSS is resident now, VmHWM the most that ever was."""
    found = re.search(rf"^{field}:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024


def started_at(pid: int) -> float:
    """When the kernel started a process, in seconds since boot (to 10 ms)."""
    fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")


def children(pid: int) -> list[int]:
    """The children of a process's main thread; none when it has ended."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def environment_of_terraform(home: Path) -> dict[str, Any]:
    """The environment of a bare terraform: the same that an executor gives it."""
    home.mkdir(parents=True, exist_ok=True)
    configuration = home / "terraform.rc"
    configuration.touch()
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "TMPDIR": str(home),
        "LANG": "C.UTF-8",
        "TF_IN_AUTOMATION": "1",
        "TF_INPUT": "0",
        "CHECKPOINT_DISABLE": "1",
        "TF_CLI_CONFIG_FILE": str(configuration),
    }

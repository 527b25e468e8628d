"""A real API as a process, and the `podform` command as a process beside it."""

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parent.parent.parent.parent
TOKEN = "a-token-for-tests-only"
#: A safety net for whatever should end by itself.
PATIENCE = 60


@dataclass
class Server:
    """One API on a data directory; can be killed and started again on the same port."""

    data: Path
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    url: str = ""

    def start(self) -> None:
        """Start it and wait for the line that says where it serves."""
        command = [sys.executable, "-m", "api", "--port", str(self.port), "--data-dir", str(self.data)]
        environment = dict(os.environ) | {"PODFORM_ADMIN_TOKEN": TOKEN}
        with (self.data / "api.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL
            )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if b"serving on" in line:
                self.url = line.split()[-1].decode()
                self.port = int(self.url.rpartition(":")[2])
                return
        raise AssertionError((self.data / "api.log").read_text())

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End it by a signal and wait until it is gone."""
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(PATIENCE)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def get(self, path: str) -> httpx.Response:
        """An answer of the API."""
        return httpx.get(self.url + path, headers={"Authorization": f"Bearer {TOKEN}"}, trust_env=False)


@dataclass
class Command:
    """A `podform` command under way: its output is collected, and can be waited for."""

    process: subprocess.Popen[bytes]
    stdout: bytearray = field(default_factory=bytearray)
    stderr: bytearray = field(default_factory=bytearray)
    _news: "queue.SimpleQueue[None]" = field(default_factory=queue.SimpleQueue)
    _threads: list[threading.Thread] = field(default_factory=list)

    def collect(self) -> None:
        """Start reading both outputs."""
        for stream, sink in ((self.process.stdout, self.stdout), (self.process.stderr, self.stderr)):
            if stream is not None:
                thread = threading.Thread(target=self._read, args=(stream.fileno(), sink), daemon=True)
                thread.start()
                self._threads.append(thread)

    def _read(self, descriptor: int, sink: bytearray) -> None:
        while block := os.read(descriptor, 65536):
            sink += block
            self._news.put(None)

    def wait_for(self, text: bytes, where: str = "stdout") -> None:
        """Return when the text has come; fail when the command ends without it."""
        while text not in getattr(self, where):
            try:
                self._news.get(timeout=PATIENCE if self.process.poll() is None else 1)
            except queue.Empty:
                raise AssertionError(f"{text!r} never came: {bytes(self.stdout)!r} {bytes(self.stderr)!r}") from None

    def end(self) -> int:
        """The exit code, once it has ended and its output is read."""
        code = self.process.wait(PATIENCE)
        for thread in self._threads:
            thread.join(PATIENCE)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        return code

    @property
    def said(self) -> str:
        """What it said to people."""
        return bytes(self.stderr).decode()


@dataclass
class Podform:
    """Starts `podform` commands against one API."""

    server: Server
    organization: str
    commands: list[Command] = field(default_factory=list)

    def start(
        self,
        *words: str,
        terminal: int | None = None,
        stdout: int = subprocess.PIPE,
        environment: Mapping[str, str] | None = None,
    ) -> Command:
        """Start a command, with stdin and stderr on a terminal or without one; its output is collected."""
        given = {
            "PODFORM_URL": self.server.url,
            "PODFORM_TOKEN": TOKEN,
            "PODFORM_ORGANIZATION": self.organization,
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "cli.main", *words],
            cwd=ROOT,
            env=dict(os.environ) | given | dict(environment or {}),
            stdin=subprocess.DEVNULL if terminal is None else terminal,
            stdout=stdout,
            stderr=subprocess.PIPE if terminal is None else terminal,
        )
        command = Command(process)
        command.collect()
        self.commands.append(command)
        return command

    def __call__(self, *words: str, **environment: str) -> tuple[int, bytes, str]:
        """Run a command to its end: exit code, stdout, what it said."""
        command = self.start(*words, environment=environment)
        return command.end(), bytes(command.stdout), command.said


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory, terraform: str) -> Iterator[Server]:
    """One API for all tests that leave it running."""
    server = Server(tmp_path_factory.mktemp("api"))
    server.start()
    yield server
    server.kill(signal.SIGTERM)


@pytest.fixture
def podform(shared_server: Server, tmp_path: Path) -> Iterator[Podform]:
    """Commands in an organization of their own."""
    started = Podform(shared_server, f"org-{tmp_path.name}-{os.getpid()}")
    yield started
    _end_all(started)


@pytest.fixture
def own_server(tmp_path: Path, terraform: str) -> Iterator[Server]:
    """An API that the test may kill."""
    data = tmp_path / "data"
    data.mkdir()
    server = Server(data)
    server.start()
    yield server
    if server.process is not None and server.process.poll() is None:
        server.kill(signal.SIGTERM)


def _end_all(started: Podform) -> None:
    for command in started.commands:
        if command.process.poll() is None:
            command.process.kill()
            command.process.wait(PATIENCE)

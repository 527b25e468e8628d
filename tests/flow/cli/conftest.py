"""A real API as a process, and the `podform` command as a process beside it."""

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.flow.server import ADMIN_TOKEN, ApiProcess

ROOT = Path(__file__).parent.parent.parent.parent
#: A safety net for whatever should end by itself.
PATIENCE = 60


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

    server: ApiProcess
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
            "PODFORM_TOKEN": ADMIN_TOKEN,
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

    def __call__(self, *words: str, environment: Mapping[str, str] | None = None) -> tuple[int, bytes, str]:
        """Run a command to its end: exit code, stdout, what it said."""
        command = self.start(*words, environment=environment)
        return command.end(), bytes(command.stdout), command.said


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory, terraform: str) -> Iterator[ApiProcess]:
    """One API for all tests that leave it running."""
    server = ApiProcess(tmp_path_factory.mktemp("api"))
    server.start()
    yield server
    server.end()


@pytest.fixture
def own_server(tmp_path: Path, terraform: str) -> Iterator[ApiProcess]:
    """An API that the test may kill."""
    server = ApiProcess(tmp_path / "data")
    server.start()
    yield server
    server.end()


@pytest.fixture
def podform(shared_server: ApiProcess, tmp_path: Path) -> Iterator[Podform]:
    """Commands in an organization of their own."""
    started = Podform(shared_server, f"org-{tmp_path.name}-{os.getpid()}")
    yield started
    for command in started.commands:
        if command.process.poll() is None:
            command.process.kill()
            command.process.wait(PATIENCE)

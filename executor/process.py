"""Runs one terraform command: output through a pipe to a reader thread, at most one SIGINT, then the end.

Called by the actions through `Step.terraform`. Terraform has its own process group, so that what it leaves
behind can be ended; the interrupt goes to its process alone.
"""

import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from executor import hardening
from executor.cancellation import Cancellation, Stop

_CHUNK_BYTES = 1 << 16
_READER_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Command:
    """A command line, where it runs and with which whole environment."""

    arguments: Sequence[str]
    directory: Path
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Limits:
    """When to interrupt (monotonic clock, None = never) and how long to wait afterwards, in seconds."""

    deadline: float | None
    grace_seconds: float
    idle_seconds: float = 0  # 0 = may be quiet for ever
    progress: Path | None = None  # a file whose change counts as a sign of life, besides output


@dataclass(slots=True)
class Quiet:
    """For how long a command has given no sign of life."""

    progress: Path | None
    since: float = field(default_factory=time.monotonic)

    def heard(self) -> None:
        """It printed something."""
        self.since = time.monotonic()

    def seconds(self) -> float:
        """Since its last output, or the last change of the file."""
        quiet = time.monotonic() - self.since
        try:
            return quiet if self.progress is None else min(quiet, max(time.time() - self.progress.stat().st_mtime, 0))
        except FileNotFoundError:
            return quiet


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended; `signaled`: we had sent it a signal before."""

    exit_code: int
    signaled: bool


def signal_due(stop: Stop, *, interrupted_at: float | None, now: float, grace_seconds: float) -> signal.Signals | None:
    """Which signal terraform should get now, if any: one interrupt, and a kill for force or when its grace is over."""
    if stop is Stop.FORCE:
        return signal.SIGKILL
    if stop is Stop.NONE:
        return None
    if interrupted_at is None:
        return signal.SIGINT
    return signal.SIGKILL if now - interrupted_at >= grace_seconds else None


def run(command: Command, sink: Callable[[bytes], object], cancellation: Cancellation, limits: Limits) -> Ended:
    """Run the command to its end; an exit code is negative for a signal that killed it.

    Must be called from the main thread. Afterwards nothing that the command started is alive.
    Raises OSError when it cannot be started.
    """
    with subprocess.Popen(
        command.arguments,
        cwd=command.directory,
        env=dict(command.environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        close_fds=False,  # ours are closed on exec; reading /proc/self/fd is forbidden by now
        process_group=0,
    ) as process:
        assert process.stdout is not None  # noqa: S101 - asked for above
        quiet = Quiet(limits.progress)

        def take(data: bytes) -> None:
            quiet.heard()
            sink(data)

        reader = threading.Thread(target=_read, args=(process.stdout.fileno(), take), name="output", daemon=True)
        reader.start()
        signaled = _wait(process, cancellation, limits, quiet)
        hardening.end_leftovers(process.pid)
        reader.join(_READER_SECONDS)
    return Ended(process.returncode, signaled)


def _read(descriptor: int, sink: Callable[[bytes], object]) -> None:
    try:
        while data := os.read(descriptor, _CHUNK_BYTES):
            sink(data)
    except OSError:
        pass  # closed after the command's end: an escaped child still held the other end


def _wait(process: subprocess.Popen[bytes], cancellation: Cancellation, limits: Limits, quiet: Quiet) -> bool:
    """Wait for the end, sending signals as they become due; whether any was sent."""
    ended = os.pidfd_open(process.pid)
    interrupted_at: float | None = None
    killed = False
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    poll.register(cancellation.wake_descriptor, select.POLLIN)
    try:
        while not any(descriptor == ended for descriptor, _ in poll.poll(_pause(interrupted_at, limits, quiet))):
            cancellation.drain()
            now = time.monotonic()
            if limits.deadline is not None and now >= limits.deadline:
                cancellation.request(Stop.TIMED_OUT)
            if limits.idle_seconds and interrupted_at is None and quiet.seconds() >= limits.idle_seconds:
                cancellation.request(Stop.IDLE)
            due = signal_due(
                cancellation.stop, interrupted_at=interrupted_at, now=now, grace_seconds=limits.grace_seconds
            )
            if due is signal.SIGINT:
                interrupted_at = now
                process.send_signal(due)
            elif due is signal.SIGKILL and not killed:
                killed = True
                os.killpg(process.pid, due)
    finally:
        os.close(ended)
    process.wait()
    return killed or interrupted_at is not None


def _pause(interrupted_at: float | None, limits: Limits, quiet: Quiet) -> int | None:
    """Milliseconds until a signal may become due by the clock; None = only by a request."""
    due = limits.deadline if interrupted_at is None else interrupted_at + limits.grace_seconds
    left = [] if due is None else [due - time.monotonic()]
    if limits.idle_seconds and interrupted_at is None:
        left.append(limits.idle_seconds - quiet.seconds())
    if not left:
        return None
    return max(10, min(int(min(left) * 1000) + 10, 60_000))

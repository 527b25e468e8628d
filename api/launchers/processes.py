"""Finding, signalling and ending processes by pid and start time, so that a recycled pid is never hit.

Used by the process launcher. Linux only: /proc and pidfds.
"""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_ROUNDS = 50


@dataclass(frozen=True, slots=True)
class ProcessId:
    """One process and no other: the kernel never gives the same pid twice at the same tick."""

    pid: int
    start_time: int  # in clock ticks since boot, field 22 of /proc/<pid>/stat

    @property
    def uid(self) -> str:
        """As a text, for Carried.uid."""
        return f"{self.pid}:{self.start_time}"


def identify(pid: int) -> ProcessId | None:
    """The identity of the process that has this pid now; None when there is none."""
    fields = _stat(_PROC / str(pid))
    return ProcessId(pid, int(fields[19])) if fields else None


def open_pidfd(process: ProcessId) -> int | None:
    """A descriptor that stands for exactly this process, readable when it ends; None when it has ended."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return None
    # looked at after opening: from here on the descriptor cannot come to mean another process
    if identify(process.pid) != process:
        os.close(descriptor)
        return None
    return descriptor


def exit_code(descriptor: int) -> int | None:
    """Reap an ended child; its exit code (negative for a signal), None when it is no child of ours."""
    try:
        ended = os.waitid(os.P_PIDFD, descriptor, os.WEXITED | os.WNOHANG)
    except ChildProcessError:
        return None
    if ended is None:
        return None
    return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status


def signal_process(process: ProcessId, number: signal.Signals) -> None:
    """Send a signal to exactly this process; nothing happens when it has ended."""
    descriptor = open_pidfd(process)
    if descriptor is None:
        return
    try:
        signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        pass  # ended meanwhile
    finally:
        os.close(descriptor)


def kill_session(leader: ProcessId) -> None:
    """Kill what is left of a session, whatever process groups its members made."""
    if identify(leader.pid) not in {None, leader}:
        return  # the pid was given away again, which it is not while a member of its session lives
    if leader.pid <= 1:
        return
    for _ in range(_ROUNDS):  # a member may fork while it is being killed
        members = [member for member in _session_members(leader.pid) if member.start_time >= leader.start_time]
        if not members:
            return
        for member in members:
            signal_process(member, signal.SIGKILL)


def kill_tree(leader: ProcessId) -> None:
    """Kill a living process with everything below it, also what left its session, then what is left of the session.

    The leader is stopped first and killed last: what lies below it stays findable, for it comes to the leader when
    its own parent ends (executors adopt what terraform leaves).
    """
    signal_process(leader, signal.SIGSTOP)
    for _ in range(_ROUNDS):
        below = _below(leader)
        if not below:
            break
        for member in below:
            signal_process(member, signal.SIGKILL)
    kill_session(leader)


def find_by_last_argument(argument: str) -> ProcessId | None:
    """The process whose command line ends with this argument."""
    suffix = b"\0" + argument.encode() + b"\0"
    for entry in _processes():
        try:
            found = (entry / "cmdline").read_bytes().endswith(suffix)
        except OSError:
            continue  # ended meanwhile
        if found:
            return identify(int(entry.name))
    return None


def boot() -> str:
    """Which start of this machine this is: pids and start times mean nothing across two of them."""
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()


def _session_members(session: int) -> Iterator[ProcessId]:
    for entry in _processes():
        fields = _stat(entry)
        if fields and int(fields[3]) == session and fields[0] != b"Z":
            yield ProcessId(int(entry.name), int(fields[19]))


def _below(leader: ProcessId) -> list[ProcessId]:
    """The living descendants of a process that lives itself."""
    if identify(leader.pid) != leader:
        return []
    parents = {}
    for entry in _processes():
        fields = _stat(entry)
        if fields and fields[0] != b"Z":
            parents[ProcessId(int(entry.name), int(fields[19]))] = int(fields[1])
    found, newest = [], {leader.pid}
    while newest:
        children = [process for process, parent in parents.items() if parent in newest]
        found += children
        newest = {process.pid for process in children}
    return found


def _processes() -> Iterator[Path]:
    return (entry for entry in _PROC.iterdir() if entry.name.isdecimal())


def _stat(process: Path) -> list[bytes]:
    """The fields of a stat file behind the name (state first); empty when the process is gone."""
    try:
        return (process / "stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return []

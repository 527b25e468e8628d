"""Keeps the code that terraform runs from reading the executor: its memory, its environment, its descriptors.

Called by the entry point before anything else. Works against processes of the same user; root can always
read (the step's log then carries a warning).
"""

import ctypes
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36

_ROUNDS = 100
_PAUSE_SECONDS = 0.01

ROOT_WARNING = (
    "WARNING: this executor runs as root, so code in the configuration can read its memory and with it the "
    "token of this step; run executors as an ordinary user"
)


def protect(names: Iterable[str]) -> None:
    """Forbid other processes of this user to look inside, blank the named environment strings, and keep
    inherited descriptors (such as a launcher's lock) out of terraform."""
    _keep_descriptors()
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    # what terraform leaves behind becomes our child, so that it can be found and ended
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    libc.getenv.restype = ctypes.c_void_p
    for name in names:
        _blank(libc, name)
        os.environ.pop(name, None)


def end_leftovers(group: int | None = None) -> None:
    """Kill what terraform left behind: its process group, and whatever became a child of ours.

    As PID 1 that is every other process of the container.
    """
    if group is not None:
        try:
            os.killpg(group, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass  # the usual case: nothing was left
    if os.getpid() == 1:
        try:
            os.kill(-1, signal.SIGKILL)
        except ProcessLookupError:
            pass  # nobody else is there
    for _ in range(_ROUNDS):  # killing a parent hands its children to us: a few rounds reach the whole tree
        children = _children()
        if not children:
            return
        for pid in children:
            _kill(pid)
        time.sleep(_PAUSE_SECONDS)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, os.WNOHANG)  # one that hangs in the kernel must not hang us
    except (ProcessLookupError, ChildProcessError, PermissionError):
        pass  # ended meanwhile


def _children() -> list[int]:
    me = os.getpid()
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal() and _parent(entry) == me]


def _parent(process: Path) -> int:
    try:
        text = (process / "stat").read_bytes()
    except OSError:
        return 0
    return int(text.rpartition(b")")[2].split()[1])


def _keep_descriptors() -> None:
    for entry in list(Path("/proc/self/fd").iterdir()):
        if int(entry.name) > 2:
            try:
                os.set_inheritable(int(entry.name), False)
            except OSError:
                pass  # the listing's own descriptor, closed by now


def _blank(libc: ctypes.CDLL, name: str) -> None:
    # libc's environment still points at the strings that the kernel shows in /proc/<pid>/environ
    address = libc.getenv(name.encode())
    if address:
        ctypes.memset(address, ord("x"), len(ctypes.string_at(address)))

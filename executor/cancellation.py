"""Whether and why the step should stop: told by signals, heartbeats and refusals, read by the main thread.

Nothing here acts. `request` may be called from any thread and from a signal's Python code; it wakes whoever
waits on `wake_descriptor`.
"""

import os
from enum import IntEnum


class Stop(IntEnum):
    """Why to stop, the stronger ones higher. Terraform gets one SIGINT for all but FORCE, which kills it."""

    NONE = 0
    GRACEFUL = 1  # a person's cancel, or SIGTERM
    TIMED_OUT = 2
    IDLE = 3  # nothing was printed and the state did not change for too long
    TAKEN = 4  # the API took the step away: stop, and report nothing more
    FORCE = 5


class Cancellation:
    """The strongest reason to stop so far."""

    def __init__(self) -> None:
        self._stop = Stop.NONE
        self._taken = False
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    @property
    def stop(self) -> Stop:
        """The strongest reason so far."""
        return self._stop

    @property
    def taken(self) -> bool:
        """Whether the API took the step away, whatever else was asked."""
        return self._taken

    @property
    def wake_descriptor(self) -> int:
        """Readable when a reason came."""
        return self._read

    def drain(self) -> None:
        """Make the wake descriptor wait again."""
        try:
            while os.read(self._read, 64):
                pass
        except BlockingIOError:
            pass  # empty, as wanted

    def request(self, stop: Stop) -> None:
        """Ask to stop; weaker reasons than an earlier one change nothing."""
        self._taken = self._taken or stop is Stop.TAKEN
        # two racing writers can at worst lose the weaker reason: the stronger one repeats with each heartbeat
        self._stop = max(self._stop, stop)
        try:
            os.write(self._write, b"!")
        except BlockingIOError:
            pass  # full of earlier wake-ups: that wakes as well

"""Ctrl-C during a run: the first one interrupts a wait, the second one leaves.

Used by follow.py. Between `allowed()` regions the first Ctrl-C is only remembered, so that it can never
fall between writing log bytes and counting them.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from cli.console import say
from cli.exit_codes import ExitCode


class InterruptedByUserError(BaseException):
    """The first Ctrl-C, raised inside an `allowed()` region; no error, so nothing but its asker catches it."""


class Interrupts:
    """The presses of Ctrl-C while it is entered as a context."""

    def __init__(self) -> None:
        self._allowed = False
        self._remembered = False
        self._presses = 0

    @contextmanager
    def watched(self) -> Iterator["Interrupts"]:
        """Take SIGINT over for the time of the context."""
        before = signal.signal(signal.SIGINT, self._pressed)
        try:
            yield self
        finally:
            signal.signal(signal.SIGINT, before)

    @contextmanager
    def allowed(self) -> Iterator[None]:
        """A region that the first Ctrl-C leaves by InterruptedByUserError, one pressed earlier at once."""
        self._allowed = True
        try:
            self._deliver()
            yield
        finally:
            self._allowed = False

    def _pressed(self, _number: int, _frame: FrameType | None) -> None:
        self._presses += 1
        if self._presses > 1:
            say("left; the run goes on without this terminal")
            raise SystemExit(ExitCode.LEFT)
        self._remembered = True
        if self._allowed:
            self._deliver()

    def _deliver(self) -> None:
        if self._remembered:
            self._remembered = False
            raise InterruptedByUserError

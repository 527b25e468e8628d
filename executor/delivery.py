"""Repeating a call to the API until it is answered, with backoff and jitter, for a bounded time.

Called by everything that must reach the API. The executor outlives any outage shorter than its delivery
time: terraform goes on working meanwhile.
"""

import os
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from executor.errors import UnavailableError, UndeliveredError

T = TypeVar("T")

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0


def pause_seconds(attempt: int, jitter: float, retry_after: float = 0.0) -> float:
    """How long to wait after the attempt-th failure (from 0); jitter from 0 to 1 takes up to half of it away."""
    longest: float = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(attempt, 16))
    return max(longest * (1 - jitter / 2), min(retry_after, 60.0))


class Delivery:
    """Repeats calls for at most `limit_seconds` each; `abandon` ends all of them at once."""

    def __init__(self, limit_seconds: float) -> None:
        self._limit = limit_seconds
        self._abandoned = threading.Event()

    def abandon(self) -> None:
        """Give up whatever is being repeated: the API has taken the step away."""
        self._abandoned.set()

    @property
    def abandoned(self) -> bool:
        """Whether `abandon` was called."""
        return self._abandoned.is_set()

    def until_answered(
        self, call: Callable[[], T], *, limit_seconds: float | None = None, give_up: Callable[[], bool] | None = None
    ) -> T:
        """What the call returns, repeated while the API is unavailable.

        Raises UndeliveredError when the time is over or the delivery was given up; whatever else the call
        raises (RefusedError) ends it at once.
        """
        limit = self._limit if limit_seconds is None else min(limit_seconds, self._limit)
        end = time.monotonic() + limit
        attempt = 0
        while True:
            if self._abandoned.is_set() or (give_up is not None and give_up()):
                raise UndeliveredError("given up: the step was taken away or stopped")
            try:
                return call()
            except UnavailableError as error:
                left = end - time.monotonic()
                if left <= 0:
                    raise UndeliveredError(f"not delivered within {limit:g} s: {error}") from error
                self._pause(min(left, pause_seconds(attempt, _jitter(), error.retry_after_seconds)), give_up)
                attempt += 1

    def _pause(self, seconds: float, give_up: Callable[[], bool] | None) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self._abandoned.wait(min(left, 0.2)) or (give_up is not None and give_up()):
                return


def _jitter() -> float:
    return int.from_bytes(os.urandom(2), "big") / 0xFFFF

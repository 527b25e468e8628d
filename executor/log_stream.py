"""The step's log: redacted, appended to a file in the spool, and shipped to the API in order by one thread.

Terraform's output comes in from the reader thread and never waits for the network; a log that cannot be
written or delivered never stops terraform.
"""

import os
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from common.executor_api import MAX_LOG_CHUNK_BYTES, Refusal
from executor.api_client import ApiClient
from executor.delivery import Delivery
from executor.errors import RefusedError, UndeliveredError
from executor.redaction import Redactor

#: Bytes printed within this time travel in one request; a follower sees them well within 300 ms.
COALESCE_SECONDS = 0.03
STUCK_SECONDS = 60.0


class LogStream:
    """The log of one attempt. `write` and `say` may be called from any thread."""

    def __init__(self, spool: Path, secrets: Iterable[str]) -> None:
        self._file = os.open(spool, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        self._secrets = tuple(secrets)
        self._redactor = Redactor(self._secrets)
        self._changed = threading.Condition()
        self._length = 0
        self._missing = 0  # bytes that the disk did not take
        self._closed = False

    def write(self, data: bytes) -> bytes:
        """Append terraform's output; the redacted bytes that became certain by it."""
        with self._changed:
            clean = self._redactor.feed(data)
            self._append(clean)
        return clean

    def flush(self) -> bytes:
        """Append what the redactor holds back, at the end of a command; the redacted bytes."""
        with self._changed:
            clean = self._redactor.flush()
            self._append(clean)
        return clean

    def say(self, text: str) -> None:
        """Append a line of the executor's own, marked as such."""
        with self._changed:
            line = f"podform: {text}\n".encode("utf-8", "replace")
            self._append(self._redactor.flush() + self._redactor.feed(line) + self._redactor.flush())

    def redacted(self, text: str) -> str:
        """A text that goes elsewhere than to the log, without what must not appear there either."""
        redactor = Redactor(self._secrets)
        clean = redactor.feed(text.encode("utf-8", "replace")) + redactor.flush()
        return clean.decode("utf-8", "replace")

    def close(self) -> None:
        """Nothing more will be written."""
        with self._changed:
            self._append(self._redactor.flush())
            if self._missing and self._put(self._notice()):
                self._missing = 0
            self._closed = True
            self._changed.notify_all()

    @property
    def length(self) -> int:
        """Bytes in the log so far."""
        return self._length

    def read(self, offset: int, size: int) -> bytes:
        """Bytes of the log from an offset."""
        # the file may hold more: the part of a write that was given up because the disk was full
        return os.pread(self._file, min(size, self._length - offset), offset)

    def wait_beyond(self, offset: int) -> bool:
        """Wait until the log is longer than offset; False when it is closed and has nothing more."""
        with self._changed:
            self._changed.wait_for(lambda: self._length > offset or self._closed)
            return self._length > offset

    def wait_closed(self, seconds: float) -> None:
        """Wait until nothing more will be written, at the most so long."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed, seconds)

    def _append(self, data: bytes) -> None:
        if not data:
            return
        if self._missing:
            if not self._put(self._notice() + data):
                self._missing += len(data)
                return
            self._missing = 0
        elif not self._put(data):
            self._missing = len(data)
        self._changed.notify_all()

    def _notice(self) -> bytes:
        return f"\npodform: {self._missing} bytes of output are missing here: the disk was full\n".encode()

    def _put(self, data: bytes) -> bool:
        """Append all of data, or nothing; False when the disk does not take it."""
        written = 0
        try:
            while written < len(data):
                written += os.pwrite(self._file, data[written:], self._length + written)
        except OSError:
            return False  # terraform must go on; what it printed is counted and marked in the log
        self._length += written
        return True


class LogShipper:
    """The thread that brings the log to the API, in order and without gaps."""

    def __init__(
        self, log: LogStream, api: ApiClient, delivery: Delivery, on_taken: Callable[[RefusedError], None]
    ) -> None:
        self._log = log
        self._api = api
        self._delivery = delivery
        self._on_taken = on_taken
        self._progress_at = 0.0
        self._behind_since: float | None = None  # monotonic; None = all is delivered
        self._delivered = False
        self._thread = threading.Thread(target=self._ship, name="log", daemon=True)

    def start(self) -> None:
        """Begin shipping."""
        self._thread.start()

    def undelivered_seconds(self) -> float:
        """For how long a piece of the log has waited to be delivered."""
        since = self._behind_since
        return 0.0 if since is None else time.monotonic() - since

    def join(self, reachable_at: Callable[[], float]) -> bool:
        """Wait until the closed log is delivered; False when it was given up.

        It is given up when the API goes on answering other calls (`reachable_at` says when it last did) while it
        takes none of the log for STUCK_SECONDS.
        """
        begun = time.monotonic()
        while self._thread.is_alive():
            self._thread.join(0.5)
            if reachable_at() - max(begun, self._progress_at) > STUCK_SECONDS:
                return False
        return self._delivered

    def _ship(self) -> None:
        offset = 0
        try:
            while self._log.wait_beyond(offset):
                self._behind_since = time.monotonic()
                self._log.wait_closed(COALESCE_SECONDS)
                offset = self._ship_from(offset)
                self._progress_at = time.monotonic()
                self._behind_since = None
            self._delivered = True
        except UndeliveredError:
            pass  # the report tells the log's length: the API knows that it is incomplete
        except RefusedError as error:
            self._on_taken(error)
        finally:
            self._api.close()

    def _ship_from(self, offset: int) -> int:
        data = self._log.read(offset, MAX_LOG_CHUNK_BYTES)
        try:
            return self._delivery.until_answered(lambda: self._api.append_log(offset, data))
        except RefusedError as error:
            if error.code is Refusal.GAP and error.expected is not None and error.expected < offset:
                return error.expected
            raise

"""Logs as plain files, appended at byte offsets. Implements the services' Logs port.

The file's length is the only truth about how much has arrived; what was acknowledged is in the file. Logs
hold raw bytes: whatever is sensitive was taken out by the executor.
"""

import asyncio
import errno
import fcntl
import os
from pathlib import Path

from api.services.ports import LogGapError, StorageFullError


class FileLogs:
    """One file per name: that of an attempt."""

    def __init__(self, directory: Path, max_bytes: int = 1024**3) -> None:
        """A log of `max_bytes` is cut there and says so; what comes behind is taken and dropped: the step goes on."""
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._directory = directory
        self._max_bytes = max_bytes
        self._cut = b"\n[the log was cut here: it has %d bytes, the most that is kept of one]\n" % max_bytes
        # a lock per step would have to be forgotten at the right moment; a few shared ones need not
        self._locks = [asyncio.Lock() for _ in range(64)]

    async def append(self, name: str, offset: int, content: bytes) -> int:
        """Append; bytes that are there already are skipped. LogGapError, StorageFullError."""
        async with self._locks[hash(name) % len(self._locks)]:
            return await asyncio.to_thread(self._append, name, offset, content)

    async def read(self, name: str, offset: int, limit: int) -> bytes:
        """At most `limit` bytes from an offset."""
        return await asyncio.to_thread(self._read, name, offset, limit)

    async def size(self, name: str) -> int:
        """The length in bytes; 0 for a log that has not begun."""
        try:
            return self._path(name).stat().st_size
        except FileNotFoundError:
            return 0

    async def remove(self, name: str) -> None:
        """Remove the log; none is as good."""
        await asyncio.to_thread(self._path(name).unlink, missing_ok=True)

    def _append(self, name: str, offset: int, content: bytes) -> int:
        try:
            return self._append_to(self._path(name), offset, content)
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise StorageFullError("the log store has no room left") from error
            raise

    def _append_to(self, path: Path, offset: int, content: bytes) -> int:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # a replica may append to the same file of a shared directory
            length = os.fstat(descriptor).st_size
            if offset > length and length < self._max_bytes:
                raise LogGapError(length)
            end = offset + len(content)
            _write(descriptor, memoryview(content)[max(length - offset, 0) : max(self._max_bytes - offset, 0)])
            if end <= self._max_bytes:
                return max(min(length, self._max_bytes), end)
            # a crash may have left a part of the line behind the bound
            _write(descriptor, memoryview(self._cut)[max(length - self._max_bytes, 0) :])
            return end
        finally:
            os.close(descriptor)

    def _read(self, name: str, offset: int, limit: int) -> bytes:
        try:
            with self._path(name).open("rb") as file:
                return os.pread(file.fileno(), limit, offset)
        except FileNotFoundError:
            return b""

    def _path(self, name: str) -> Path:
        return self._directory / f"{name}.log"


def _write(descriptor: int, rest: memoryview) -> None:
    while rest:
        rest = rest[os.write(descriptor, rest) :]

"""HTTP/1.1 with as little as possible around it: what both ends of the load programs speak.

Lean on purpose: on two cores whoever makes the load must not be what is measured. Bodies with a length only.
"""

import asyncio
import contextlib
from dataclasses import dataclass
from urllib.parse import urlsplit

END_OF_HEAD = b"\r\n\r\n"
_REASONS = {200: "OK", 201: "Created", 404: "Not Found", 409: "Conflict", 410: "Gone", 503: "Service Unavailable"}


@dataclass(frozen=True, slots=True)
class Message:
    """A request or an answer: its first line, its headers (as one text, with its end) and its body."""

    first: str
    head: bytes
    body: bytes


class Connection:
    """A client's connection that is kept open and opened again when it broke."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = str(parts.hostname), parts.port or 80
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def request(self, method: str, target: str, headers: str = "", body: bytes = b"") -> tuple[int, bytes]:
        """Status and body; OSError or EOFError when the connection broke."""
        try:
            if self._writer is None or self._reader is None:
                self._reader, self._writer = await asyncio.open_connection(self._host, self._port, limit=1 << 20)
            head = f"{method} {target} HTTP/1.1\r\nHost: {self._host}\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
            self._writer.write(head.encode() + body)
            answer = await read_message(self._reader)
        except BaseException:
            self.close()
            raise
        return int(answer.first.split(" ", 2)[1]), answer.body

    def close(self) -> None:
        """Close it; the next request opens it again."""
        if self._writer is not None:
            with contextlib.suppress(OSError):
                self._writer.close()
        self._reader = self._writer = None


async def read_message(reader: asyncio.StreamReader) -> Message:
    """The next request or answer; asyncio.IncompleteReadError (an EOFError) at the end."""
    head = await reader.readuntil(END_OF_HEAD)
    first, _, rest = head.partition(b"\r\n")
    length = _length(rest.lower())
    return Message(first.decode(), rest, await reader.readexactly(length) if length else b"")


def answer(status: int, body: bytes, headers: str = "") -> bytes:
    """An answer of JSON."""
    head = f"HTTP/1.1 {status} {_REASONS.get(status, 'Other')}\r\nContent-Type: application/json\r\n{headers}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def _length(headers: bytes) -> int:
    begin = headers.find(b"content-length:")
    if begin < 0:
        return 0
    end = headers.index(b"\r\n", begin)
    return int(headers[begin + 15 : end])

"""A log's bytes cut into events of text. Pure; used by output.py for its stream of server-sent events.

An event ends at a border of UTF-8, and at the end of a line where more of the log is there already; what was
not sent yet is the start of the next event. A reader that comes back with the last event's id misses nothing.
"""

import codecs
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LogEvent:
    """Text of a log and the byte offset behind it. Bytes that are no UTF-8 stand as U+FFFD."""

    text: str
    offset: int


class EventCutter:
    """Cuts one log, piece by piece in order, from the offset of the first piece."""

    def __init__(self, offset: int) -> None:
        self._offset = offset
        self._rest = b""

    def cut(self, content: bytes, *, more: bool, ended: bool) -> LogEvent | None:
        """The next event, None when there is nothing to send yet.

        `more`: the log goes on right behind this piece; `ended`: nothing will ever follow.
        """
        data = self._rest + content
        length = len(data) if ended else _border(data, more=more)
        self._rest = data[length:]
        if length == 0:
            return None
        self._offset += length
        return LogEvent(data[:length].decode("utf-8", "replace"), self._offset)


def _border(data: bytes, *, more: bool) -> int:
    """How many bytes can be sent now."""
    if more and (line_end := data.rfind(b"\n") + 1):
        return line_end
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    decoder.decode(data)
    waiting, _ = decoder.getstate()
    length = len(data) - len(waiting)
    # a carriage return may be half of a line's end: it is one with the line feed that follows
    return length - 1 if data[:length].endswith(b"\r") else length

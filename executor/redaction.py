"""Replaces secret texts in a stream of bytes, also where a secret is cut by the border of two chunks.

Pure: used by the log stream on everything terraform prints. Of the bytes that came it holds back only
those that could be the beginning of a secret.
"""

import base64
import json
import re
from collections.abc import Iterable, Iterator

MASK = b"***"
#: Shorter values ("1", "dev") would black out half of every log and hide little.
MIN_BYTES = 4
#: A single line of a longer value must be a little longer: "data:" or "-----" alone is no secret.
MIN_LINE_BYTES = 8

_ANCHOR = MIN_BYTES


def forms(value: str) -> frozenset[bytes]:
    """Every text under which a secret value may appear in a log: as it is, base64, escaped, line by line."""
    raw = value.encode("utf-8", "surrogateescape")
    found = {raw, raw.strip()}
    if len(raw) >= MIN_BYTES:
        found.add(base64.b64encode(raw))
        escaped = json.dumps(value, ensure_ascii=False)[1:-1]
        found.add(escaped.encode("utf-8", "surrogateescape"))
        # as the engines' own jsonencode writes it
        go = escaped.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
        found.add(go.encode("utf-8", "surrogateescape"))
    lines = [line.strip() for line in raw.splitlines()]
    if len(lines) > 1:
        found.update(line for line in lines if len(line) >= MIN_LINE_BYTES)
    return frozenset(form for form in found if len(form) >= MIN_BYTES)


class Redactor:
    """Feed it chunks, get chunks without the secrets; `flush` gives what it still holds back.

    Secrets are found leftmost first, the longest at one place. Chunks may be cut anywhere: the result is the same.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        patterns = {form for secret in secrets for form in forms(secret)}
        self._held = b""
        self._by_anchor: dict[bytes, list[bytes]] = {}
        for pattern in sorted(patterns, key=len, reverse=True):
            self._by_anchor.setdefault(pattern[:_ANCHOR], []).append(pattern)
        self._starts = frozenset(anchor[:length] for anchor in self._by_anchor for length in range(1, _ANCHOR))
        self._candidate = _candidates(self._by_anchor)

    def feed(self, chunk: bytes) -> bytes:
        """The part of everything fed so far that is now certain and was not given out yet."""
        if self._candidate is None:
            return chunk
        clean, self._held = self._redacted(self._held + chunk)
        return clean

    def flush(self) -> bytes:
        """What is held back, given out because nothing more comes."""
        held, self._held = self._held, b""
        clean = []
        while held:
            # the beginning of a secret at the very end is none; another secret may lie behind that beginning
            whole, position = self._longest_at(held, 0)
            clean.append(MASK if whole else held[:1])
            part, held = self._redacted(held[position if whole else 1 :])
            clean.append(part)
        return b"".join(clean)

    def _redacted(self, data: bytes) -> tuple[bytes, bytes]:
        """The certain part without secrets, and the rest that could be the beginning of one."""
        clean, position = [], 0
        for at in self._places(data):
            if at < position:
                continue
            if self._could_grow(data, at):
                clean.append(data[position:at])
                return b"".join(clean), data[at:]
            whole, end = self._longest_at(data, at)
            if whole:
                clean += [data[position:at], MASK]
                position = end
        clean.append(data[position:])
        return b"".join(clean), b""

    def _places(self, data: bytes) -> Iterator[int]:
        """Where a secret may begin, in order: at an anchor, or in the last bytes, too short for one."""
        assert self._candidate is not None  # noqa: S101 - feed returns before
        at = 0
        while match := self._candidate.search(data, at):
            yield match.start()
            at = match.start() + 1
        for at in range(max(len(data) - _ANCHOR + 1, 0), len(data)):
            if data[at:] in self._starts:
                yield at

    def _could_grow(self, data: bytes, at: int) -> bool:
        rest = len(data) - at
        if rest < _ANCHOR:
            return data[at:] in self._starts
        patterns = self._by_anchor.get(data[at : at + _ANCHOR], ())
        return any(len(pattern) > rest and data.endswith(pattern[:rest]) for pattern in patterns)

    def _longest_at(self, data: bytes, at: int) -> tuple[bool, int]:
        for pattern in self._by_anchor.get(data[at : at + _ANCHOR], ()):  # the longest first
            if data.startswith(pattern, at):
                return True, at + len(pattern)
        return False, at


def _candidates(anchors: Iterable[bytes]) -> re.Pattern[bytes] | None:
    """Finds every place where an anchor may begin (and some where none does) at the speed of C, however many
    anchors there are: one set of bytes for each of their positions."""
    columns = [sorted(set(column)) for column in zip(*anchors, strict=True)]
    if not columns:
        return None
    return re.compile(b"".join(b"[" + b"".join(b"\\x%02x" % byte for byte in column) + b"]" for column in columns))

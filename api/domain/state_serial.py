"""A state's content under another serial: every other byte stays as terraform wrote it.

Pure; called by services/roll_back_state.
"""

import re

#: What changes the depth in a JSON text, and strings, in which nothing does.
_MARKS = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]]', re.DOTALL)
_NUMBER_AFTER = re.compile(rb"\s*:\s*(-?[0-9]+)")
_DEEPER = {b"{": 1, b"[": 1, b"}": -1, b"]": -1}


def with_serial(content: bytes, serial: int) -> bytes | None:
    """The content with this serial in its outermost object; None when it has no serial there."""
    depth = 0
    for mark in _MARKS.finditer(content):
        depth += _DEEPER.get(mark.group(), 0)
        number = _NUMBER_AFTER.match(content, mark.end()) if depth == 1 and mark.group() == b'"serial"' else None
        if number is not None:
            return content[: number.start(1)] + str(serial).encode() + content[number.end(1) :]
    return None

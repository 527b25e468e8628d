"""Raising the serial in a state's content: only its digits change."""

import json

import pytest

from api.domain.state_serial import with_serial


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'{"serial": 1}', b'{"serial": 7}'),
        (
            b'{\n  "version": 4,\n  "serial": 12,\n  "x": 1.10\n}\n',
            b'{\n  "version": 4,\n  "serial": 7,\n  "x": 1.10\n}\n',
        ),
        (
            b'{"a": {"serial": 1}, "b": [{"serial": 2}], "serial" : 3}',
            b'{"a": {"serial": 1}, "b": [{"serial": 2}], "serial" : 7}',
        ),
        (
            b'{"a": "serial", "b": "\\"serial\\": 5 {", "serial":3}',
            b'{"a": "serial", "b": "\\"serial\\": 5 {", "serial":7}',
        ),
        (b'{"a": {"serial": 1}}', None),
        (b'{"serial": "1"}', None),
        (b'["serial", 1]', None),
        (b"", None),
    ],
)
def test_only_the_outermost_serial_changes(before: bytes, after: bytes | None) -> None:
    """Nested serials, strings and the writing of numbers stay; without an outermost serial there is no content."""
    assert with_serial(before, 7) == after
    if after is not None:
        assert json.loads(after) == json.loads(before) | {"serial": 7}

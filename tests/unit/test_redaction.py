"""Redaction: nothing of a secret passes, however the stream is cut, and nothing else is held back."""

import base64
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.redaction import MASK, Redactor, forms

# few letters, so that secrets overlap, repeat and are prefixes of one another
SECRETS = st.lists(st.text("ab\n", min_size=4, max_size=9), max_size=4)
STREAM = st.text("ab\nc", max_size=80).map(str.encode)
CUTS = st.lists(st.integers(min_value=0, max_value=80), max_size=10)


def redact(secrets: list[str], chunks: list[bytes]) -> bytes:
    """The chunks through one redactor."""
    redactor = Redactor(secrets)
    return b"".join([redactor.feed(chunk) for chunk in chunks] + [redactor.flush()])


def reference(secrets: list[str], data: bytes) -> bytes:
    """The same by the plainest rule: at each place the longest secret, else one byte."""
    patterns = sorted({form for secret in secrets for form in forms(secret)}, key=len, reverse=True)
    result, at = b"", 0
    while at < len(data):
        match = next((pattern for pattern in patterns if data.startswith(pattern, at)), None)
        result += MASK if match else data[at : at + 1]
        at += len(match) if match else 1
    return result


@given(SECRETS, STREAM, CUTS)
def test_any_cutting_gives_the_same(secrets: list[str], data: bytes, cuts: list[int]) -> None:
    """Whatever the chunks, the result is that of the plain rule on the whole."""
    borders = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    chunks = [data[start:end] for start, end in itertools.pairwise(borders)]
    assert redact(secrets, chunks) == reference(secrets, data)


@given(SECRETS, STREAM)
def test_holds_back_only_what_could_begin_a_secret(secrets: list[str], data: bytes) -> None:
    """After every chunk what is missing is a proper prefix of some secret."""
    redactor = Redactor(secrets)
    redactor.feed(data)
    held = redactor.flush()
    patterns = {form for secret in secrets for form in forms(secret)}
    fed = Redactor(secrets)
    fed.feed(data)
    kept = fed._held
    assert not kept or any(pattern.startswith(kept) and pattern != kept for pattern in patterns)
    assert len(held) <= max((len(pattern) for pattern in patterns), default=0)


@pytest.mark.parametrize(
    ("secret", "printed"),
    [
        ("hunter22", b"hunter22"),
        ("hunter22", base64.b64encode(b"hunter22")),
        ('say "hi"\n', json.dumps('say "hi"\n')[1:-1].encode()),
        ("a<b>&c", b"a\\u003cb\\u003e\\u0026c"),
        ("line one is long\nline two is long", b"   line two is long"),
        ("büro-grün", "büro-grün".encode()),
        ("trailing\n", b"trailing"),
    ],
)
def test_forms(secret: str, printed: bytes) -> None:
    """A value is masked as it is, in base64, escaped as JSON, and line by line."""
    assert redact([secret], [b"<" + printed + b">"]).replace(b" ", b"") == b"<***>"


@pytest.mark.parametrize("secret", ["", "abc", "1", "ok\nno"])
def test_short_values_stay(secret: str) -> None:
    """Values and lines that are too short to be told from ordinary text are left alone."""
    assert redact([secret], [b"abc 1 ok no"]) == b"abc 1 ok no"


def test_without_secrets_nothing_is_held() -> None:
    """With nothing to hide every chunk passes at once."""
    assert Redactor([]).feed(b"anything") == b"anything"


def test_thousands_of_lines() -> None:
    """A long multi-line value is masked line by line."""
    secret = "\n".join(f"secret line {number:06}" for number in range(5000))
    text = b"\n".join(f"| secret line {number:06} |".encode() for number in range(0, 5000, 7))
    result = redact([secret], [text[start : start + 4096] for start in range(0, len(text), 4096)])
    assert b"secret line" not in result
    assert result.count(b"| *** |") == len(range(0, 5000, 7))

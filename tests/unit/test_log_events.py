"""Cutting a log into events: text at borders of UTF-8 and lines, offsets that resume without a gap."""

from hypothesis import given
from hypothesis import strategies as st

from api.routes.terrakube.log_events import EventCutter, LogEvent


def _all(pieces: list[bytes], *, start: int = 0) -> list[LogEvent]:
    cutter = EventCutter(start)
    events = [cutter.cut(piece, more=index < len(pieces) - 1, ended=False) for index, piece in enumerate(pieces)]
    return [event for event in [*events, cutter.cut(b"", more=False, ended=True)] if event]


def test_a_character_is_never_cut() -> None:
    """A piece that ends inside a character leaves its bytes for the next event."""
    cutter = EventCutter(10)
    assert cutter.cut("ab\u20ac".encode()[:-1], more=False, ended=False) == LogEvent("ab", 12)
    assert cutter.cut("\u20ac".encode()[-1:], more=False, ended=False) == LogEvent("\u20ac", 15)


def test_a_full_piece_ends_with_a_line() -> None:
    """Where more of the log is there already, an event ends behind the last line feed."""
    cutter = EventCutter(0)
    assert cutter.cut(b"one\ntw", more=True, ended=False) == LogEvent("one\n", 4)
    assert cutter.cut(b"o\n", more=False, ended=False) == LogEvent("two\n", 8)


def test_the_last_piece_is_sent_at_once() -> None:
    """Where nothing more is there yet, half a line is sent: a prompt must be seen."""
    assert EventCutter(0).cut(b"Enter a value: ", more=False, ended=False) == LogEvent("Enter a value: ", 15)


def test_bytes_that_are_no_text_stand_as_replacement_characters() -> None:
    """Invalid UTF-8 becomes U+FFFD, NUL stays, and the offset counts the bytes as they are."""
    assert _all([b"\xff\x00a\n"]) == [LogEvent("\ufffd\x00a\n", 4)]


def test_an_unfinished_character_is_sent_when_the_log_has_ended() -> None:
    """What never became a character is not kept back for ever."""
    assert _all([b"a\xe2\x82"]) == [LogEvent("a", 1), LogEvent("\ufffd", 3)]


def test_a_carriage_return_waits_for_its_line_feed() -> None:
    """The two halves of a line's end are never in two events."""
    assert _all([b"a\r", b"\nb"]) == [LogEvent("a", 1), LogEvent("\r\nb", 4)]


@given(st.text(), st.lists(st.integers(1, 8), min_size=1))
def test_events_joined_are_the_log(text: str, sizes: list[int]) -> None:
    """However a text arrives, the events' texts joined are the text and the last offset is its length."""
    data, pieces, at = text.encode(), list[bytes](), 0
    while at < len(data):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(data[at : at + size])
        at += size
    events = _all(pieces or [b""])
    assert "".join(event.text for event in events) == text
    assert not events or events[-1].offset == len(data)


@given(st.binary(), st.integers(0, 40))
def test_every_offset_is_a_place_to_resume(data: bytes, size: int) -> None:
    """Starting anew at any event's offset gives the same rest."""
    pieces = [data[at : at + size + 1] for at in range(0, len(data), size + 1)] or [b""]
    events = _all(pieces)
    for index, event in enumerate(events):
        rest = "".join(later.text for later in events[index + 1 :])
        assert data[event.offset :].decode("utf-8", "replace") == rest

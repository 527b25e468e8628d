"""The arithmetic of the benchmark's table."""

import pytest

from bench.table import Row, median, percentile, render, verdict


@pytest.mark.parametrize(
    ("values", "middle", "p99"),
    [([3.0], 3.0, 3.0), ([4.0, 1.0], 2.5, 4.0), ([float(n) for n in range(100)], 49.5, 98.0)],
)
def test_medians_and_percentiles(values: list[float], middle: float, p99: float) -> None:
    """The median is the middle; a percentile is a value that was measured."""
    assert (median(values), percentile(values, 99)) == (middle, p99)


@pytest.mark.parametrize(
    ("value", "bar", "aim", "words"),
    [
        (9.0, None, None, "-"),
        (9.0, 10.0, None, "met"),
        (11.0, 10.0, None, "MISSED"),
        (9.0, 10.0, 8.0, "met, not the aim"),
        (8.0, 10.0, 8.0, "met, aim too"),
    ],
)
def test_verdicts(value: float, bar: float | None, aim: float | None, words: str) -> None:
    """A bar is met up to and including itself; a row without one has no verdict."""
    assert verdict(Row(figure="f", value=value, unit="ms", bar=bar, aim=aim)) == words


@pytest.mark.parametrize(("value", "words"), [(99.0, "MISSED"), (100.0, "met"), (101.0, "met")])
def test_a_rate_must_reach_its_bar(value: float, words: str) -> None:
    """Where more is better the bar is the least, and the table says so."""
    row = Row(figure="f", value=value, unit="/s", bar=100, more_is_better=True)
    assert verdict(row) == words
    assert ">= 100 /s" in render([row])


def test_the_table_is_aligned() -> None:
    """All lines are equally long, and a bar is shown with its aim and the ratio to it."""
    text = render(
        [Row(figure="a", value=150, unit="ms", bar=300, aim=100), Row(figure="long name", value=1, unit="MiB")]
    )
    assert len({len(line) for line in text.splitlines()}) == 1
    assert "| 150.0 ms | <= 300 ms (aim 100) | 0.50" in text

"""The rows of the benchmark's table and the numbers in them. Pure; filled by the figures, printed by __main__."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table; `value`, `bar` and `aim` are in `unit`; smaller is better unless said otherwise."""

    figure: str
    value: float
    unit: str  # ms, s, MiB, MB/s, /s, x
    bar: float | None = None  # None = told for comparison only
    aim: float | None = None
    note: str = ""
    more_is_better: bool = False  # a rate: the bar is the least


_PRECISION = {"x": ".2f"}
HEADINGS = ("figure", "measured", "bar", "measured/bar", "verdict", "note")


def median(values: Sequence[float]) -> float:
    """The middle value; the mean of the two middle ones of an even number."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least so many percent of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def verdict(row: Row) -> str:
    """Whether the row meets its bar, and its aim where it has one."""
    if row.bar is None:
        return "-"
    if not _reaches(row, row.bar):
        return "MISSED"
    if row.aim is None:
        return "met"
    return "met, aim too" if _reaches(row, row.aim) else "met, not the aim"


def _reaches(row: Row, bar: float) -> bool:
    return row.value >= bar if row.more_is_better else row.value <= bar


def render(rows: Sequence[Row]) -> str:
    """The table as Markdown, its columns aligned."""
    cells = [HEADINGS, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEADINGS))]
    lines = [_line(line, widths) for line in cells]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _cells(row: Row) -> tuple[str, ...]:
    bar, ratio = "-", "-"
    if row.bar is not None:
        sign = ">=" if row.more_is_better else "<="
        bar = f"{sign} {row.bar:g} {row.unit}" + (f" (aim {row.aim:g})" if row.aim is not None else "")
        ratio = f"{row.value / row.bar:.2f}"
    return (row.figure, f"{row.value:{_PRECISION.get(row.unit, '.1f')}} {row.unit}", bar, ratio, verdict(row), row.note)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"

"""Lists and single things for people: tables that fit the terminal, plain columns in a pipe, JSON where asked.

Called by the modules of cli/commands. Texts from the API are shown, never obeyed.
"""

import shutil
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from cli.console import print_json, printable, write_out

_GAP = "  "


def show_list(items: Sequence[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool = False) -> None:
    """A list on stdout: all its fields as JSON, or these columns; on a terminal no line is wider than that."""
    if as_json:
        print_json(list(items))
        return
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    write_out("".join(f"{line}\n" for line in table(items, columns, width)).encode())


def show_one(item: Mapping[str, Any], *, as_json: bool = False) -> None:
    """One thing on stdout: as JSON, or a line per field that holds something."""
    if as_json:
        print_json(dict(item))
        return
    named = {name: _text(value) for name, value in item.items()}
    longest = max(map(len, named), default=0)
    write_out("".join(f"{name.ljust(longest)}{_GAP}{text}\n" for name, text in named.items() if text).encode())


def table(items: Sequence[Mapping[str, Any]], columns: Sequence[str], width: int | None) -> list[str]:
    """The lines of a table with a head; with a width the widest columns give way until it fits."""
    rows = [list(columns), *([_text(item.get(name)) for name in columns] for item in items)]
    widths = [max(_cells(row[place]) for row in rows) for place in range(len(columns))]
    while width is not None and sum(widths) + len(_GAP) * (len(widths) - 1) > width and max(widths) > 4:
        widths[widths.index(max(widths))] -= 1
    return [_GAP.join(map(_fitted, row, widths)).rstrip() for row in rows]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return "" if value is None else printable(str(value)).replace("\n", "\\n").replace("\t", " ")


def _cells(text: str) -> int:
    """How many columns of a terminal a text takes."""
    return sum(map(_cells_of, text))


def _cells_of(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def _fitted(text: str, width: int) -> str:
    if _cells(text) > width:
        while _cells(text) > width - 1:
            text = text[:-1]
        text += "…"
    return text + " " * (width - _cells(text))

"""What the command line says to people: on stderr, so that stdout holds nothing but logs, states and JSON.

Called by every command. Texts from the API are printed as they are: no markup is read in them, control
characters are shown, not obeyed.
"""

import dataclasses
import json
import os
import sys
from typing import Any

from cli.errors import CommandError
from cli.exit_codes import ExitCode

#: ANSI's codes; rich would cost a third of the command's start.
_STYLES = {"red": "31", "bold": "1"}


def say(text: str, style: str = "") -> None:
    """One line on stderr."""
    sys.stderr.write(f"{_styled(f'podform: {printable(text)}', style)}\n")
    sys.stderr.flush()


def _styled(text: str, style: str) -> str:
    """The text in its style, on a terminal that shows colours and where nobody has switched them off."""
    plain = not style or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not sys.stderr.isatty()
    return text if plain else f"\x1b[{_STYLES[style]}m{text}\x1b[0m"


def complain(text: str) -> None:
    """One line on stderr about why a command stops."""
    say(text, style="red")


def printable(text: str) -> str:
    """The text with control characters (except newline and tab) written as escapes."""
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


def write_out(data: bytes) -> None:
    """Exactly these bytes on stdout, at once; CommandError when its reader has gone away."""
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # Python would complain once more when it flushes at exit: let it flush into nothing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise CommandError("the reader of the output went away", ExitCode.LEFT) from None


def can_ask() -> bool:
    """Whether there is a person at a terminal who can be asked."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def ask(question: str) -> str | None:
    """The line that a person answered, stripped; None at the end of input."""
    sys.stderr.write(_styled(question, "bold"))
    sys.stderr.flush()
    line = sys.stdin.readline()
    return line.strip() if line else None


def secret_line(question: str) -> str:
    """A secret: asked for without showing it on a terminal, else all of stdin without the newline at its end."""
    if can_ask():
        import getpass  # only here: it is slow to load and seldom needed

        return getpass.getpass(question)
    return sys.stdin.read().removesuffix("\n")


def write_err(data: bytes) -> None:
    """Exactly these bytes on stderr, at once."""
    sys.stderr.buffer.write(data)
    sys.stderr.buffer.flush()


def print_json(value: Any) -> None:
    """A dataclass (or plain data) as a JSON document on stdout."""
    plain = dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else value
    write_out(json.dumps(plain, indent=2, ensure_ascii=False).encode() + b"\n")

"""Becoming the API's own program: for commands that work on the API's data and not over HTTP.

Used by `podform serve` and whatever else is the API's business; the command line itself imports nothing of it.
"""

import os
import sys
from collections.abc import Mapping
from typing import NoReturn


def become_api(*words: str, options: Mapping[str, object] | None = None) -> NoReturn:
    """Replace this process by `python -m api WORDS OPTIONS`; an option whose value is None is left out."""
    given = [word for name, value in (options or {}).items() if value is not None for word in (name, str(value))]
    # -P: a directory called `api` in the working directory must not be taken for ours.
    command = [sys.executable, "-P", "-m", "api", *words, *given]
    os.execv(sys.executable, command)  # noqa: S606 - no shell: the list is ours, the process id and Ctrl-C stay

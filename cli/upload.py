"""Which files of a directory make up a configuration: .terraformignore, read as terraform reads it.

Called by run.py before common.archive packs the names. Reads the tree's names, never a file's content
except .terraformignore; never follows a link.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from pathspec import PathSpec
from pathspec.pattern import Pattern

from cli.errors import CommandError

IGNORE_FILE = ".terraformignore"

#: Rules that stand before those of the file, which may take them back with `!`. The first three are
#: terraform's own; a local state file is left out because it holds secrets and the state is the platform's.
DEFAULT_RULES = (
    ".git/",
    ".terraform/",
    "!.terraform/modules/",
    "terraform.tfstate",
    "terraform.tfstate.*",
    ".terraform.tfstate.lock.info",
)


def names_to_upload(root: Path) -> list[str]:
    """Names below root, with `/` between their parts, of the files and links to upload, in order.

    Raises CommandError when .terraformignore cannot be read or nothing is left to upload.
    """
    spec = ignore_spec(_ignore_lines(root))
    names = sorted(name for name in _names(root) if not spec.match_file(name))
    if not names:
        raise CommandError(f"{root}: holds no file to upload (after {IGNORE_FILE} and the default rules)")
    return names


def ignore_spec(lines: Sequence[str]) -> "PathSpec[Pattern]":
    """The default rules and then those lines; of all rules that match a name the last one decides."""
    try:
        return PathSpec.from_lines("gitignore", [*DEFAULT_RULES, *lines])
    except ValueError as error:
        raise CommandError(f"{IGNORE_FILE}: holds a pattern that cannot be read ({error})") from error


def _ignore_lines(root: Path) -> list[str]:
    try:
        return (root / IGNORE_FILE).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeError) as error:
        raise CommandError(f"{root / IGNORE_FILE}: cannot be read ({error})") from error


def _names(root: Path) -> Iterator[str]:
    """Every regular file and every link (also one to a directory) below root; sockets and the like are left out."""
    for parent, directories, files in os.walk(root):
        here = Path(parent)
        for name in [*files, *directories]:
            path = here / name
            if path.is_symlink() or path.is_file():
                yield path.relative_to(root).as_posix()

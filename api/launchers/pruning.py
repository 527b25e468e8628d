"""Which leftovers of the process launcher are old enough to go, and removing them.

Called by the launcher from time to time, with its lock on files held for `set_aside`. Nothing that a living
executor uses is touched, nor anything that changed within the time to keep: a spool may hold what the API still lacks.
"""

import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from api.launchers import attempt_files
from common import ids

KEEP_SECONDS = 7 * 24 * 3600.0
_ASIDE = "pruned"


def set_aside(root: Path, before: float) -> Path | None:
    """Move what ended and did not change since `before` (seconds since 1970) out of the way; where it is now.

    A move is quick, so that nobody waits for it; `remove` does the slow part.
    """
    found = [*_ended_attempts(root, before), *_unused_runs(root, before)]
    if not found:
        return None
    aside = root / _ASIDE / uuid.uuid4().hex
    aside.mkdir(mode=0o700, parents=True)
    for path in found:
        path.rename(aside / path.name)
    return aside


def remove(root: Path) -> None:
    """Remove what was set aside, now or before an earlier end of the API."""
    shutil.rmtree(root / _ASIDE, ignore_errors=True)


def _ended_attempts(root: Path, before: float) -> Iterator[Path]:
    for attempt in attempt_files.known(root):
        if attempt.has_ended and not attempt.is_held() and not _changed_since(attempt.directory, before):
            yield attempt.directory


def _unused_runs(root: Path, before: float) -> Iterator[Path]:
    runs = root / "runs"
    living = [attempt.run_id() for attempt in attempt_files.known(root) if attempt.is_held()]
    if None in living or not runs.is_dir():
        return  # one of them may be anywhere
    for path in runs.iterdir():
        if ids.is_id(path.name, "run") and path.name not in living and not _changed_since(path, before):
            yield path


def _changed_since(directory: Path, before: float) -> bool:
    """Whether anything in a directory is younger; what cannot be read counts as young."""
    try:
        if directory.is_symlink() or directory.lstat().st_mtime >= before:
            return True
        for parent, directories, files in os.walk(directory, onerror=_raise):
            if any((Path(parent) / name).lstat().st_mtime >= before for name in (*directories, *files)):
                return True
    except OSError:
        return True
    return False


def _raise(error: OSError) -> None:
    raise error

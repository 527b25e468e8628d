"""Unpacked provider packages kept on this machine, named by their own checksum; shared by all steps on it.

A package appears whole, by one rename, under the checksum of what is in it: so any number of steps may add at
once, a kill leaves nothing half, and a package under another one's name is found out by whoever hashes it.
"""

import base64
import fcntl
import os
import shutil
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

_UNFINISHED = "new-"
#: A package that no step has used for so long is removed.
KEEP_SECONDS = 30 * 86_400


def directory_hash(directory: Path) -> str:
    """The `h1:` checksum of an unpacked package as lock files state it; empty when it holds no plain files alone."""
    import hashlib  # only where a package is added or doubted

    lines = []
    for name in sorted(_files(directory)):
        descriptor = os.open(directory / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as source:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return ""
            lines.append(f"{hashlib.file_digest(source, 'sha256').hexdigest()}  {name}\n")
    return "h1:" + base64.b64encode(hashlib.sha256("".join(lines).encode()).digest()).decode()


def _files(directory: Path) -> Iterator[str]:
    for parent, _, names in os.walk(directory):
        for name in names:
            yield os.path.relpath(os.path.join(parent, name), directory)  # noqa: PTH118 - as text, a hash's input


class ProviderCache:
    """The packages below one directory."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def find(self, hashes: Iterable[str]) -> Path | None:
        """A kept package with one of these checksums; it counts as used from now."""
        for text in hashes:
            path = self._place(text)
            if path is not None and path.is_dir():
                _touch(path)
                return path
        return None

    def keep(self, package: Path, wanted: str) -> bool:
        """Keep a copy of an unpacked package if it really has this checksum; whether it was added.

        Raises OSError when there is no room or no right to write.
        """
        place = self._place(wanted)
        if place is None or place.exists():
            return False
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._clean()
        fresh, held = self._begun()
        try:
            shutil.copytree(package, fresh, symlinks=True, dirs_exist_ok=True)
            if directory_hash(fresh) != wanted:  # hashed after copying: what is kept is what was checked
                return False
            fresh.chmod(0o755)
            _touch(fresh)
            fresh.rename(place)
        except OSError:
            if not place.exists():
                raise
            return False  # another step was faster
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
            os.close(held)
        return True

    def _begun(self) -> tuple[Path, int]:
        """A fresh directory and the lock that keeps others from clearing it away."""
        while True:
            fresh = self._root / f"{_UNFINISHED}{os.getpid()}-{os.urandom(4).hex()}"
            fresh.mkdir(mode=0o700)
            held = _hold(fresh)
            if held is not None and os.path.lexists(fresh):
                return fresh, held
            if held is not None:  # another step cleared it away before it was held
                os.close(held)

    def withdraw_damaged(self, packages: Iterable[Path]) -> list[Path]:
        """Take those out that are not what their names say; which they were."""
        damaged = [path for path in packages if self._place(_hash_of(path)) != path]
        for path in damaged:
            aside = self._root / f"{_UNFINISHED}damaged-{os.getpid()}-{os.urandom(4).hex()}"
            try:
                path.rename(aside)
            except OSError:
                continue  # somebody else has taken it out
            shutil.rmtree(aside, ignore_errors=True)
        return damaged

    def _place(self, text: str) -> Path | None:
        try:
            digest = base64.b64decode(text.removeprefix("h1:"), validate=True)
        except ValueError:
            return None
        return self._root / digest.hex() if text.startswith("h1:") and len(digest) == 32 else None

    def _clean(self) -> None:
        """Remove what a killed step left unfinished, and what was not used for long."""
        for entry in list(self._root.iterdir()):
            held = _hold(entry)
            if held is None:
                continue  # somebody is at work on it
            try:
                unused = time.time() - entry.stat().st_mtime > KEEP_SECONDS
                if entry.name.startswith(_UNFINISHED) or unused:
                    shutil.rmtree(entry, ignore_errors=True)
            except FileNotFoundError:
                pass  # it has just been finished under its real name
            finally:
                os.close(held)


def _hold(directory: Path) -> int | None:
    """A lock on a directory that ends with this process; None when another one has it or it is gone."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _hash_of(path: Path) -> str:
    try:
        return directory_hash(path)
    except OSError:
        return ""


def _touch(path: Path) -> None:
    try:
        os.utime(path)
    except OSError:
        pass  # a read-only cache: nothing is ever removed from it here

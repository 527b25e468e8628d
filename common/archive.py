"""Packing and unpacking a configuration (tar.gz) safely; the one leaf of common that touches files.

Unpacked by executors only; the API uses `check`, a pass over the names alone: what it accepts, `unpack` accepts.
Python's tarfile filter can be bypassed (CVE-2025-4517), so the rules are our own: regular files, directories and
symlinks that stay inside; nothing is ever written through a link.
"""

import gzip
import io
import os
import stat
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.errors import BadInputError

_FIELD = "configuration"


@dataclass(frozen=True, slots=True)
class Limits:
    """What an archive may hold at the most."""

    entries: int = 50_000  # directories that are only part of a longer path are entries too
    unpacked_bytes: int = 2 * 1024**3
    #: unpacked : packed; above it an archive of more than `ratio_free_bytes` is taken for a bomb
    ratio: int = 100
    ratio_free_bytes: int = 64 * 1024**2
    name_bytes: int = 255
    path_bytes: int = 1024
    #: what may stand between two entries: long names, PAX records, sparse maps, which tarfile reads into memory
    header_bytes: int = 64 * 1024
    #: what may stand behind the end: tar fills its last record, some writers a longer one
    trailing_bytes: int = 1024**2


DEFAULT_LIMITS = Limits()


def pack(root: Path, names: Iterable[str], most_bytes: int | None = None) -> bytes:
    """A tar.gz of the named files and links below root, with owners and times left out; the same input gives
    the same bytes.

    Raises BadInputError as soon as it has more than `most_bytes`, before they fill the memory.
    """
    buffer = _Bounded(most_bytes)
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0, compresslevel=6) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name in sorted(names):
            archive.add(root / name, arcname=name, recursive=False, filter=_anonymous)
    return buffer.getvalue()


class _Bounded(io.BytesIO):
    """A buffer that ends at a size."""

    def __init__(self, most_bytes: int | None) -> None:
        super().__init__()
        self._most = most_bytes

    def write(self, data: Any) -> int:
        """Append; BadInputError beyond the size."""
        if self._most is not None and self.tell() + len(data) > self._most:
            raise BadInputError(_FIELD, f"has more than {self._most} bytes when it is packed")
        return super().write(data)


def check(data: bytes, limits: Limits = DEFAULT_LIMITS) -> int:
    """Read through an archive without writing anything; the number of its entries.

    Raises BadInputError when it is no tar.gz, truncated, empty of files, or breaks a rule or limit.
    """
    with _members(data, limits) as members:
        kinds = [member.isreg() for member in members]
    return _counted(kinds)


def unpack(data: bytes, target: Path, limits: Limits = DEFAULT_LIMITS) -> int:
    """Unpack an archive into an existing empty directory; the number of entries.

    Raises BadInputError as `check` does; what was unpacked until then stays and is the caller's to remove.
    """
    root = os.open(target, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with _members(data, limits) as members:
            kinds = []
            for member in members:
                _place(root, member)
                kinds.append(member.isreg())
    finally:
        os.close(root)
    return _counted(kinds)


def _counted(are_files: Sequence[bool]) -> int:
    if not any(are_files):
        raise BadInputError(_FIELD, "the archive holds no file")
    return len(are_files)


@dataclass(slots=True)
class _Member:
    """One checked entry: its parts below the root, and its content for a file."""

    parts: tuple[str, ...]
    info: tarfile.TarInfo
    archive: tarfile.TarFile

    def isreg(self) -> bool:
        return self.info.isreg()


class _Metered:
    """Reads through to a stream while its budget lasts, so that no header can make tarfile read without bound."""

    def __init__(self, source: gzip.GzipFile) -> None:
        self._source = source
        self._budget = 0

    def grant(self, amount: int) -> None:
        """From here on so many bytes may be read."""
        self._budget = amount

    def read(self, size: int) -> bytes:
        """The next bytes; BadInputError once the budget is used up."""
        block = self._source.read(size)
        self._budget -= len(block)
        if self._budget < 0:
            raise BadInputError(_FIELD, "the archive holds more headers or padding than any tar.gz of files")
        return block


@contextmanager
def _members(data: bytes, limits: Limits) -> Iterator[Iterator[_Member]]:
    """The entries of an archive, each checked as it is read; every way to be broken becomes a BadInputError."""
    if not data:
        raise BadInputError(_FIELD, "the archive is empty")
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as unzipped:
            metered = _Metered(unzipped)
            metered.grant(limits.header_bytes)
            source: Any = metered  # tarfile's annotations want more of a file than a stream is asked for
            with tarfile.open(fileobj=source, mode="r|") as archive:
                yield _checked(archive, metered, len(data), limits)
            metered.grant(limits.trailing_bytes)
            while metered.read(1 << 16):  # to the end, where gzip holds its checksum against what came
                pass
    except _BROKEN as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's trouble, not the archive's
        raise BadInputError(_FIELD, f"the archive is not a complete tar.gz ({_plain(error)})") from error


#: What gzip and tarfile raise for archives that are no archives, or were made to confuse them.
_BROKEN = (tarfile.TarError, zlib.error, EOFError, OSError, ValueError, LookupError, OverflowError, RecursionError)


def _checked(archive: tarfile.TarFile, metered: _Metered, packed: int, limits: Limits) -> Iterator[_Member]:
    count, unpacked = 0, 0
    names = _Names(limits.entries)
    while (info := archive.next()) is not None:
        archive.members.clear()  # type: ignore[attr-defined]  # a plain list that would keep every entry in memory
        count += 1
        unpacked += max(info.size, 0)
        _check_size(count, unpacked, packed, limits)
        metered.grant(max(info.size, 0) + limits.header_bytes)
        parts = _parts(info.name, limits)
        _check_kind(info, parts, limits)
        if not parts:  # "./" itself
            continue
        names.add(parts, directory=info.isdir())
        yield _Member(parts, info, archive)


def _check_size(count: int, unpacked: int, packed: int, limits: Limits) -> None:
    if count > limits.entries:
        raise BadInputError(_FIELD, f"the archive holds more than {limits.entries} entries")
    if unpacked > limits.unpacked_bytes:
        raise BadInputError(_FIELD, f"the archive unpacks to more than {limits.unpacked_bytes} bytes")
    if unpacked > limits.ratio_free_bytes and unpacked > packed * limits.ratio:
        raise BadInputError(_FIELD, f"the archive unpacks to more than {limits.ratio} times its size")


def _parts(name: str, limits: Limits) -> tuple[str, ...]:
    if name.startswith("/"):
        raise BadInputError(_FIELD, f"the archive holds an absolute path: {name!r}")
    if "\0" in name or len(os.fsencode(name)) > limits.path_bytes:
        raise BadInputError(_FIELD, f"the archive holds a path that is too long or holds a NUL: {name[:80]!r}")
    parts = tuple(part for part in name.split("/") if part not in {"", "."})
    if ".." in parts:
        raise BadInputError(_FIELD, f"the archive holds a path with '..': {name!r}")
    if any(len(os.fsencode(part)) > limits.name_bytes for part in parts):
        raise BadInputError(_FIELD, f"the archive holds a name of more than {limits.name_bytes} bytes")
    return parts


def _check_kind(info: tarfile.TarInfo, parts: tuple[str, ...], limits: Limits) -> None:
    if info.issym():
        if len(os.fsencode(info.linkname)) > limits.path_bytes or "\0" in info.linkname:
            raise BadInputError(_FIELD, f"the archive holds a link whose target is too long or holds a NUL: {parts}")
        if not _stays_inside(info.linkname, depth=len(parts) - 1):
            raise BadInputError(_FIELD, f"the archive holds a link that leads outside: {info.name!r}")
    elif not (info.isreg() or info.isdir()) or info.issparse():
        raise BadInputError(
            _FIELD,
            f"the archive holds {info.name!r}, which is neither a file, a directory nor a symbolic link",
        )
    if not parts and not info.isdir():
        raise BadInputError(_FIELD, f"the archive holds {info.name!r} as something else than a directory")


def _stays_inside(link: str, depth: int) -> bool:
    """Whether a link `depth` directories below the root cannot leave it, whatever other such links do.

    '..' counts only at the start, where it climbs real directories; behind another name it could climb out of
    a place that a link led to.
    """
    climbing, descending = 0, False
    for part in link.split("/"):
        if part == "..":
            climbing += 1
            if descending or climbing > depth:
                return False
        elif part not in {"", "."}:
            descending = True
    return bool(link) and not link.startswith("/")


@dataclass(slots=True)
class _Names:
    """The tree of names seen so far: a directory is a dict, anything else None."""

    most: int
    tree: dict[str, Any] = field(default_factory=dict)
    count: int = 0

    def add(self, parts: tuple[str, ...], *, directory: bool) -> None:
        """Take a name in; BadInputError when it is there already, or below something that is no directory."""
        *above, name = parts
        place = self.tree
        for part in above:
            place = self._directory(place, part, parts)
        if directory:
            self._directory(place, name, parts)
        elif name in place:
            raise BadInputError(_FIELD, f"the archive holds {'/'.join(parts)!r} twice")
        else:
            place[name] = self._counted(None)

    def _directory(self, place: dict[str, Any], part: str, parts: tuple[str, ...]) -> dict[str, Any]:
        if part not in place:
            place[part] = self._counted({})
        inner: dict[str, Any] | None = place[part]
        if inner is None:
            raise BadInputError(
                _FIELD,
                f"the archive holds {'/'.join(parts)!r}, but {part!r} in it is a file or a link in the same archive",
            )
        return inner

    def _counted(self, node: dict[str, Any] | None) -> dict[str, Any] | None:
        self.count += 1
        if self.count > self.most:
            raise BadInputError(_FIELD, f"the archive holds more than {self.most} entries")
        return node


def _place(root: int, member: _Member) -> None:
    """Write one entry relative to the root's descriptor; no component of its path may be a link."""
    parent = _open_directory(root, member.parts[:-1])
    name = member.parts[-1]
    try:
        if member.info.isdir():
            os.close(_open_directory(parent, (name,)))
        elif member.info.issym():
            os.symlink(member.info.linkname, name, dir_fd=parent)
        else:
            _write(parent, name, member)
    except FileExistsError as error:
        raise BadInputError(_FIELD, f"{member.info.name!r} is in the directory already") from error
    finally:
        os.close(parent)


def _open_directory(root: int, parts: tuple[str, ...]) -> int:
    """A descriptor of a directory below root, made where missing, never reached through a link."""
    current = os.dup(root)
    for part in parts:
        try:
            os.mkdir(part, 0o755, dir_fd=current)
        except FileExistsError:
            pass  # made by an earlier entry
        try:
            following = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=current)
        except OSError as error:
            raise BadInputError(
                _FIELD, f"the archive writes below {part!r}, which is a link or a file in the directory already"
            ) from error
        finally:
            os.close(current)
        current = following
    return current


def _write(parent: int, name: str, member: _Member) -> None:
    mode = 0o755 if member.info.mode & stat.S_IXUSR else 0o644
    source = member.archive.extractfile(member.info)
    if source is None:  # pragma: no cover - extractfile answers None for non-files only
        raise BadInputError(_FIELD, f"{member.info.name!r} cannot be read")
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode, dir_fd=parent)
    with os.fdopen(descriptor, "wb") as target:
        while block := source.read(1 << 20):
            target.write(block)


def _anonymous(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    info.mtime = 0
    info.mode = 0o755 if info.isdir() or info.mode & stat.S_IXUSR else 0o644
    return info


def _plain(error: Exception) -> str:
    return str(error) or type(error).__name__

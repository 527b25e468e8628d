"""Archives of engines: which version a constraint means, and what release sites say about their files. Pure.

Used by services/engines.py and by the mirror behind it.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from common import versions
from common.versions import Constraint, parse_version

#: The largest archive and the largest index that are read: a release has about 30 MB, an index about 2.
MAX_ARCHIVE_BYTES = 512 * 1024**2
MAX_INDEX_BYTES = 32 * 1024**2

_PLATFORM = re.compile(r"[a-z0-9]{1,20}_[a-z0-9]{1,20}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineArchive:
    """One archive of a release, checked and kept; `id` is name/version/platform."""

    id: str
    name: str  # terraform or tofu
    version: str
    platform: str  # linux_amd64
    sha256: str
    size: int
    created_at: datetime


def archive_id(name: str, version: str, platform: str) -> str:
    """The id of an archive, also its place in the artifact store."""
    return f"{name}/{version}/{platform}"


def is_platform(text: str) -> bool:
    """Whether a text may be a platform, e.g. linux_amd64."""
    return _PLATFORM.fullmatch(text) is not None


def file_name(name: str, version: str, platform: str) -> str:
    """What release sites call the archive."""
    return f"{name}_{version}_{platform}.zip"


def newest_fitting(name: str, constraint: str, known: Iterable[str]) -> str | None:
    """The newest of these versions that a constraint allows and steps are built for. BadInputError: no constraint."""
    wanted, oldest = Constraint(constraint), versions.oldest(name)
    fitting = [
        version
        for version in map(parse_version, known)
        if version and version.order >= oldest.order and wanted.allows(version)
    ]
    newest = max(fitting, key=lambda version: version.order, default=None)
    return str(newest) if newest else None


def newest_few(known: Iterable[str], most: int = 5) -> str:
    """The newest of these versions as text for people; "none" when there are none."""
    parsed = sorted((version for version in map(parse_version, known) if version), key=lambda v: v.order, reverse=True)
    more = f" and {len(parsed) - most} older ones" if len(parsed) > most else ""
    return ", ".join(str(version) for version in parsed[:most]) + more if parsed else "none"


def versions_in_index(document: Any) -> tuple[str, ...]:
    """The versions in an index of HashiCorp's form (`versions` by number), OpenTofu's (a list with `id`) or
    GitHub's (a list of releases with `tag_name`); ValueError when it has another form."""
    found = document.get("versions") if isinstance(document, Mapping) else document
    if isinstance(found, Mapping):
        texts: list[Any] = list(found)
    elif isinstance(found, list):
        texts = [item.get("id") or item.get("tag_name") for item in found if isinstance(item, Mapping)]
    else:
        raise ValueError("it has none of the known forms")  # noqa: TRY004 - the document is wrong, not the caller
    parsed = [parse_version(text) for text in texts if isinstance(text, str)]
    return tuple(str(version) for version in parsed if version)


def checksum_of(sums: str, wanted: str) -> str | None:
    """The SHA-256 that a SHA256SUMS file states for a file, or None."""
    for line in sums.splitlines():
        checksum, _, name = line.strip().partition(" ")
        if name.strip().removeprefix("*") == wanted and _SHA256.fullmatch(checksum.lower()):
            return checksum.lower()
    return None

"""Directories: nested groups of an organization's workspaces, and the rules of where one may stand.

Pure; called by services/directories with all directories of the organization.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from common.errors import BadInputError

MAX_DEPTH = 10
MAX_DIRECTORIES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """A directory; one without a parent stands at the top of its organization."""

    id: str
    organization_id: str
    parent_id: str | None = None
    name: str
    description: str = ""
    created_at: datetime
    updated_at: datetime


def chain_of(directories: Mapping[str, Directory], directory_id: str | None) -> tuple[Directory, ...]:
    """A directory and those above it, from the top down; empty for none."""
    chain: list[Directory] = []
    while directory_id is not None:
        chain.append(directories[directory_id])
        directory_id = chain[-1].parent_id
    return tuple(reversed(chain))


def path_of(directories: Mapping[str, Directory], directory_id: str) -> str:
    """The names from the top down to a directory, with slashes between them."""
    return "/".join(directory.name for directory in chain_of(directories, directory_id))


def check_place(directories: Mapping[str, Directory], moved_id: str, parent_id: str | None) -> None:
    """Raise BadInputError unless a directory (new, or with all that is below it) may stand below that parent."""
    if parent_id is not None and parent_id not in directories:
        raise BadInputError("parent", f"{parent_id!r} is no directory of this organization")
    above = chain_of(directories, parent_id)
    if moved_id in {directory.id for directory in above}:
        raise BadInputError("parent", "is the directory itself or below it")
    if len(above) + _height(directories, moved_id) > MAX_DEPTH:
        raise BadInputError("parent", f"would make directories more than {MAX_DEPTH} levels deep")


def _height(directories: Mapping[str, Directory], directory_id: str) -> int:
    """How many levels a directory has with what is below it, itself included."""
    own = len(chain_of(directories, directory_id)) if directory_id in directories else 0
    below = [chain_of(directories, each) for each in directories]
    return max((len(chain) - own + 1 for chain in below if directory_id in {each.id for each in chain}), default=1)

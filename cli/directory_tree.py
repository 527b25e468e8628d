"""Directories by their paths, and a tree of them with their workspaces.

Called by the commands directory and workspace.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cli.errors import CommandError
from cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from cli.api_client import ApiClient


def placed(api: "ApiClient", organization: str, relation: str, path: str | None) -> dict[str, Any]:
    """The relationships that put something into the directory of that path; none when no path is given."""
    if path is None:
        return {}
    if not path.strip("/"):
        return {relation: {"data": None}}
    return {relation: {"data": {"type": "directory", "id": at_path(api, organization, path)["id"]}}}


def at_path(api: "ApiClient", organization: str, path: str) -> dict[str, Any]:
    """The directory of that path; CommandError when there is none."""
    for directory in api.resources(organization, "directory"):
        if directory["path"] == path.strip("/"):
            return directory
    raise CommandError(f"there is no directory {path!r}", ExitCode.REFUSED)


def tree_lines(directories: Sequence[Mapping[str, Any]], workspaces: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Each directory (with a slash) and each workspace on a line, indented by its depth, workspaces first."""
    ids = {directory["path"]: directory["id"] for directory in directories}
    yield from _in_directory("", "", ids, workspaces)


def _in_directory(
    path: str, indent: str, ids: Mapping[str, str], workspaces: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    for name in sorted(each["name"] for each in workspaces if each["directory"] == ids.get(path, "")):
        yield f"{indent}{name}"
    for below in sorted(each for each in ids if each and each.rpartition("/")[0] == path):
        yield f"{indent}{below.rpartition('/')[2]}/"
        yield from _in_directory(below, f"{indent}  ", ids, workspaces)

"""Where a directory may stand."""

from datetime import UTC, datetime

import pytest

from api.domain.directories import Directory, check_place, path_of
from common.errors import BadInputError

_NOW = datetime(2026, 1, 1, tzinfo=UTC)


def _tree(**parents: str | None) -> dict[str, Directory]:
    return {
        name: Directory(id=name, organization_id="o", parent_id=parent, name=name, created_at=_NOW, updated_at=_NOW)
        for name, parent in parents.items()
    }


def _chain(length: int) -> dict[str, Directory]:
    return _tree(**{f"d{n}": f"d{n - 1}" if n else None for n in range(length)})


def test_a_path_holds_all_names_from_the_top() -> None:
    """The path of a directory names those above it."""
    assert path_of(_tree(a=None, b="a", c="b"), "c") == "a/b/c"


@pytest.mark.parametrize(
    ("tree", "moved", "parent", "problem"),
    [
        (_tree(a=None), "new", None, ""),
        (_tree(a=None), "new", "a", ""),
        (_tree(a=None, b="a"), "b", None, ""),
        (_tree(a=None), "new", "other", "no directory"),
        (_tree(a=None), "a", "a", "itself"),
        (_tree(a=None, b="a", c="b"), "a", "c", "below"),
        (_chain(10), "new", "d9", "levels"),
        (_chain(9), "new", "d8", ""),
        (_chain(5) | _tree(x=None, y="x", z="y"), "x", "d4", ""),
        (_chain(8) | _tree(x=None, y="x", z="y"), "x", "d7", "levels"),
    ],
)
def test_where_a_directory_may_stand(tree: dict[str, Directory], moved: str, parent: str | None, problem: str) -> None:
    """Below any directory of the organization but itself and its own, and not too deep with what it holds."""
    if not problem:
        check_place(tree, moved, parent)
        return
    with pytest.raises(BadInputError, match=problem):
        check_place(tree, moved, parent)

"""Which node sees to which attempt: a table."""

from datetime import UTC, datetime

import pytest

from api.domain.entities import Attempt
from api.domain.ownership import Here, launches, may_give_up, sees_to

LEADS, FOLLOWS = Here("a", True, frozenset("ab")), Here("a", False, frozenset("ab"))


def _attempt(launcher: str, node: str) -> Attempt:
    return Attempt(
        name="n",
        step_id="s",
        run_id="r",
        workspace_id="w",
        number=1,
        launcher=launcher,
        node=node,
        claim_hash="",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("launcher", "node", "here", "sees", "launch", "give_up"),
    [
        ("process", "a", FOLLOWS, True, True, False),
        ("process", "", FOLLOWS, True, True, False),
        ("process", "b", LEADS, False, False, False),
        ("process", "gone", LEADS, False, False, True),
        ("process", "gone", FOLLOWS, False, False, False),
        ("kubernetes", "a", LEADS, True, True, False),
        ("kubernetes", "a", FOLLOWS, False, True, False),
        ("kubernetes", "b", LEADS, True, False, False),
        ("kubernetes", "gone", LEADS, True, True, False),
        ("kubernetes", "gone", FOLLOWS, False, False, False),
    ],
)
def test_who_does_what(launcher: str, node: str, here: Here, sees: bool, launch: bool, give_up: bool) -> None:
    """Processes belong to their node; Jobs to the leading one; force reaches what belongs to one that is away."""
    attempt = _attempt(launcher, node)
    assert (sees_to(attempt, here), launches(attempt, here), may_give_up(attempt, here)) == (sees, launch, give_up)

"""How many runs may begin, in whose turn, and why one waits."""

import pytest

from api.domain.slots import Slots, Turns, in_turn, pool_limits, waiting_for

A3_B1 = {"a": ["a1", "a2", "a3"], "b": ["b1"]}


@pytest.mark.parametrize(
    ("overall", "per_organization", "under_way", "expected"),
    [
        (0, 0, {}, ("a1", "b1", "a2", "a3")),  # no limit: all, in turn
        (2, 0, {}, ("a1", "b1")),  # the single run is not starved
        (3, 0, {"a": 2}, ("b1",)),  # who has least goes first
        (2, 0, {"c": 2}, ()),
        (2, 0, {"c": 5}, ()),  # the limit was lowered since
        (0, 1, {}, ("a1", "b1")),
        (0, 2, {"a": 1, "b": 2}, ("a1",)),
        (9, 2, {}, ("a1", "b1", "a2")),
    ],
)
def test_organizations_take_turns(
    overall: int, per_organization: int, under_way: dict[str, int], expected: tuple[str, ...]
) -> None:
    """Never more than there is room for; in turn between organizations, in order within one."""
    slots = Slots(overall=overall, per_organization=per_organization, under_way=under_way)
    assert tuple(workspace for _, workspace in in_turn(slots, A3_B1, 100)) == expected
    assert len(in_turn(slots, A3_B1, 1)) == min(len(expected), 1)


@pytest.mark.parametrize(
    ("overall", "per_organization", "under_way", "expected"),
    [
        (0, 0, {"a": 9}, ""),
        (3, 0, {"a": 2}, ""),
        (2, 0, {"a": 1, "b": 1}, "waiting for a free slot: 2 of 2 runs are under way"),
        (5, 1, {"a": 1}, "waiting for a free slot: 1 of 1 runs of this organization are under way"),
        (0, 1, {"b": 1}, ""),
    ],
)
def test_a_run_says_which_limit_it_meets(
    overall: int, per_organization: int, under_way: dict[str, int], expected: str
) -> None:
    """The sentence names the limit that is reached."""
    slots = Slots(overall=overall, per_organization=per_organization, under_way=under_way)
    assert waiting_for(slots, "a") == expected


def test_turns_are_kept_and_given_once() -> None:
    """Each keeps its place, one that must come back may stand in front, and who was served goes behind the others."""
    turns, free = Turns(), Slots(under_way={})
    for organization_id, workspace_id in [("a", "a1"), ("a", "a2"), ("b", "b1"), ("a", "a1"), ("b", "b2")]:
        turns.add(organization_id, workspace_id)
    assert [turns.position(free, workspace[0], workspace) for workspace in ("a1", "b1", "a2", "b2")] == [1, 2, 3, 4]
    assert turns.position(free, "c", "c1") is None
    assert turns.take(free, 1) == (("a", "a1"),)
    assert turns.take(free, 1) == (("b", "b1"),)
    turns.add("a", "a1", first=True)
    turns.add("a", "a2", first=True)
    assert len(turns) == 3
    assert turns.take(free, 9) == (("a", "a1"), ("b", "b2"), ("a", "a2"))
    assert turns.take(free, 9) == ()
    assert turns.position(free, "a", "a1") is None


def test_a_full_pool_holds_up_its_own_workspaces_only() -> None:
    """Who finds no slot in the pool waits apart, in turn, and comes back when the pool has one."""
    full = Slots(under_way={"a": 2}, pools={"small": 2}, in_pools={"small": 2})
    assert (full.room("a", "small"), full.room("a", ""), full.room("a", "big")) == (0, None, None)
    assert waiting_for(full, "a", "small") == "waiting for a free slot: 2 of 2 runs of pool small are under way"
    assert waiting_for(full, "a", "big") == ""
    turns = Turns()
    for organization_id, workspace_id in [("a", "a1"), ("a", "a2"), ("b", "b1")]:
        turns.park("small", organization_id, workspace_id)
    assert [turns.position(full, place[0], place, "small") for place in ("a1", "b1", "a2")] == [2, 1, 3]
    turns.unpark(full)
    assert turns.take(full, 9) == ()
    turns.unpark(Slots(under_way={}, pools={"small": 2}, in_pools={"small": 1}))
    assert turns.take(full, 9) == (("a", "a1"),)
    turns.unpark(Slots(under_way={}))  # the limit is gone
    assert turns.take(full, 9) == (("b", "b1"), ("a", "a2"))
    turns.unpark(full)


def test_limits_of_pools_are_read() -> None:
    """Names and numbers; the line of a bad one says what is allowed."""
    assert pool_limits("") == {}
    assert pool_limits(" small=2, big = 10,") == {"small": 2, "big": 10}


@pytest.mark.parametrize("text", ["small", "small=", "=2", "small=0", "small=-1", "small=x", "a b=1", "s=1,s=2", "s=٣"])
def test_bad_limits_of_pools_are_refused(text: str) -> None:
    """Before the start."""
    with pytest.raises(ValueError, match=r"NAME=NUMBER|twice"):
        pool_limits(text)

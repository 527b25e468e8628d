"""A plan for people: what is taken over, what is hidden, and how it reads."""

from typing import Any

import pytest

from api.domain.plan_summary import HIDDEN, hidden, summary_of
from cli.plan_text import plan_lines
from cli.watch import age


@pytest.mark.parametrize(
    ("value", "marks", "expected"),
    [
        ("x", True, HIDDEN),
        ({"a": 1, "b": "x"}, {"b": True}, {"a": 1, "b": HIDDEN}),
        ({"a": {"b": ["x", "y"]}}, {"a": {"b": [False, True]}}, {"a": {"b": ["x", HIDDEN]}}),
        (["x", "y"], [], ["x", "y"]),
        (["x"], {"odd": True}, ["x"]),
        ({"a": "x"}, [True], {"a": "x"}),
        ("has hunter2 in it", None, HIDDEN),
        ({"hunter2": None}, None, {HIDDEN: None}),
        (4711, None, HIDDEN),
        ("abc", None, "abc"),
        ("ab", None, HIDDEN),
        (True, None, True),
        (None, None, None),
    ],
)
def test_sensitive_values_are_hidden(value: Any, marks: Any, expected: Any) -> None:
    """What is marked is hidden wherever it is nested, and what holds a secret; a short secret only as a whole."""
    assert hidden(value, marks, {"hunter2", "4711", "ab"}) == expected


def test_only_changes_are_taken_over_and_read_well() -> None:
    """Variables, configuration and prior state are left out; signs, unknown values and replacements are named."""
    plan = {
        "format_version": "1.2",
        "variables": {"p": {"value": "hunter2"}},
        "prior_state": {"p": "hunter2"},
        "resource_changes": [
            {
                "address": "a.b",
                "type": "a",
                "change": {
                    "actions": ["delete", "create"],
                    "before": {"id": "1", "same": 1, "password": "hunter2"},
                    "after": {"same": 1, "password": "hunter3"},
                    "after_unknown": {"id": True},
                    "before_sensitive": {"password": True},
                    "after_sensitive": {"password": True},
                    "replace_paths": [["password"]],
                },
            },
            {"address": "a.c", "change": {"actions": ["no-op"], "before": {}, "after": {}}},
            {"address": "a.d", "change": {"actions": ["delete"], "before": {"x": [1]}, "after": None}},
        ],
        "output_changes": {
            "o": {"actions": ["create"], "before": None, "after": "hunter2", "after_sensitive": True},
            "u": {"actions": ["update"], "before": 1, "after_unknown": True},
            "n": {"actions": ["no-op"], "before": 1, "after": 1},
        },
    }
    summary = summary_of(plan, set())
    assert "hunter" not in str(summary)
    assert list(plan_lines(summary)) == [
        "-/+ a.b",
        '    id: "1" -> (known after apply)',
        "- a.d",
        "    x: [1] -> null",
        "+ output o: null -> (sensitive)",
        "~ output u: 1 -> (known after apply)",
        "1 to add, 0 to change, 2 to destroy",
    ]
    assert list(plan_lines(summary_of({}, set()))) == ["0 to add, 0 to change, 0 to destroy"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(-3, "0s"), (59.9, "59s"), (61, "1m01s"), (3720, "1h02m"), (90_000, "1d01h")]
)
def test_an_age_has_two_units(seconds: float, text: str) -> None:
    """An age is short at any size."""
    assert age(seconds) == text

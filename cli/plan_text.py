"""What a plan changes, as lines for people: one block per resource, a line per attribute that changes.

Pure; called by `podform plan show`. Values come from the API, which has hidden the sensitive ones.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

_SIGNS = {
    ("create",): "+",
    ("delete",): "-",
    ("update",): "~",
    ("delete", "create"): "-/+",
    ("create", "delete"): "+/-",
    ("read",): "<=",
    ("forget",): ".",
}
_UNKNOWN = "(known after apply)"
_MAX_VALUE_CHARACTERS = 400


def plan_lines(plan: Mapping[str, Any]) -> Iterator[str]:
    """The lines of a plan; one that says so when it changes nothing."""
    counts = {"create": 0, "update": 0, "delete": 0}
    for resource in plan["resource_changes"]:
        actions = tuple(resource["change"]["actions"])
        for action in actions:
            counts[action] = counts.get(action, 0) + 1
        if actions != ("no-op",):
            yield f"{sign(actions)} {resource['address']}"
            yield from _attributes(resource["change"], actions)
    for name, change in plan["output_changes"].items():
        if tuple(change["actions"]) != ("no-op",):
            yield f"{sign(tuple(change['actions']))} output {name}: {_before(change)} -> {_after(change)}"
    yield f"{counts['create']} to add, {counts['update']} to change, {counts['delete']} to destroy"


def sign(actions: tuple[str, ...]) -> str:
    """Terraform's sign for what happens to a resource."""
    return _SIGNS.get(actions, "?")


def _attributes(change: Mapping[str, Any], actions: tuple[str, ...]) -> Iterator[str]:
    before = change["before"] if isinstance(change["before"], dict) else {}
    after = change["after"] if isinstance(change["after"], dict) and actions != ("delete",) else {}
    unknown = change["after_unknown"] if isinstance(change["after_unknown"], dict) else {}
    for name in sorted({*before, *after, *unknown}):
        old, new = before.get(name), _UNKNOWN if unknown.get(name) is True else after.get(name)
        if old != new:
            forces = " (forces replacement)" if [name] in [path[:1] for path in change["replace_paths"]] else ""
            yield f"    {name}: {_value(old)} -> {_value(new)}{forces}"


def _before(change: Mapping[str, Any]) -> str:
    return _value(change["before"])


def _after(change: Mapping[str, Any]) -> str:
    return _UNKNOWN if change["after_unknown"] is True else _value(change["after"])


def _value(value: Any) -> str:
    if value in {_UNKNOWN, "(sensitive)"} if isinstance(value, str) else False:
        return str(value)
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MAX_VALUE_CHARACTERS else f"{text[:_MAX_VALUE_CHARACTERS]}…"

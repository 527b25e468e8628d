"""A plan's JSON for people: what changes, with every value hidden that the plan or the workspace calls sensitive.

Pure; called by services/read_plan. What it does not take over (variables, configuration, prior state) is not shown.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

HIDDEN = "(sensitive)"
#: A shorter secret would hide half of everything; it hides only a value that equals it.
_MIN_WITHIN = 4
_CHANGE_FIELDS = ("address", "previous_address", "mode", "type", "name", "index", "provider_name", "action_reason")


def summary_of(plan: Mapping[str, Any], secrets: AbstractSet[str]) -> dict[str, Any]:
    """The changes of resources and outputs; `secrets` are values that are hidden wherever they stand."""
    return {
        "format_version": plan.get("format_version", ""),
        "terraform_version": plan.get("terraform_version", ""),
        "errored": bool(plan.get("errored")),
        "resource_changes": [_resource(each, secrets) for each in plan.get("resource_changes") or ()],
        "resource_drift": [_resource(each, secrets) for each in plan.get("resource_drift") or ()],
        "output_changes": {
            name: _change(change, secrets) for name, change in (plan.get("output_changes") or {}).items()
        },
    }


def _resource(resource: Mapping[str, Any], secrets: AbstractSet[str]) -> dict[str, Any]:
    known = {name: hidden(resource[name], None, secrets) for name in _CHANGE_FIELDS if name in resource}
    return known | {"change": _change(resource.get("change") or {}, secrets)}


def _change(change: Mapping[str, Any], secrets: AbstractSet[str]) -> dict[str, Any]:
    return {
        "actions": change.get("actions") or [],
        "before": hidden(change.get("before"), change.get("before_sensitive"), secrets),
        "after": hidden(change.get("after"), change.get("after_sensitive"), secrets),
        "after_unknown": change.get("after_unknown", False),
        "replace_paths": change.get("replace_paths") or [],
    }


def hidden(value: Any, marks: Any, secrets: AbstractSet[str]) -> Any:
    """The value without what the marks (terraform's shape: true, or marks below) or the secrets name."""
    if marks is True:
        return HIDDEN
    if isinstance(value, dict):
        below = marks if isinstance(marks, dict) else {}
        return {_shown(key, secrets): hidden(each, below.get(key), secrets) for key, each in value.items()}
    if isinstance(value, list):
        given = marks if isinstance(marks, list) else []
        padded = [*given, *[None] * len(value)]
        return [hidden(each, mark, secrets) for each, mark in zip(value, padded, strict=False)]
    return value if value is None or isinstance(value, bool) or _shown(str(value), secrets) == str(value) else HIDDEN


def _shown(text: str, secrets: AbstractSet[str]) -> str:
    found = any(text == secret or (len(secret) >= _MIN_WITHIN and secret in text) for secret in secrets)
    return HIDDEN if found else text

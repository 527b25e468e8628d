"""What a step's log shows that its last delivered state does not: for applies whose outcome is unknown. Pure.

Asked by services/settle_lost_steps. The log is terraform's own words for people, so this is a hint for whoever
looks into it, and never evidence for a decision.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

#: `terraform_data.a["x"]: Creation complete after 1s [id=…]`, without and with terraform's colours
_COMPLETE = re.compile(
    rb"^(?:\x1b\[[0-9;]*m)*(\S[^\n]*?): (Creation|Modifications|Destruction) complete after ", re.MULTILINE
)
#: More than a person would check by hand; the rest is counted.
_LISTED = 20


def beyond_state(log: bytes, state: Mapping[str, Any] | None) -> str:
    """A sentence naming the resources that the log says were created or destroyed and that the state does not
    show so; empty when there are none."""
    last = {match[1].decode("utf-8", "replace"): match[2] for match in _COMPLETE.finditer(log)}
    known = _addresses(state or {})
    missing = [address for address, what in last.items() if what == b"Creation" and address not in known]
    left = [address for address, what in last.items() if what == b"Destruction" and address in known]
    parts = [_listed("were created and are not in it", missing), _listed("were destroyed and are still in it", left)]
    return "; ".join(part for part in parts if part)


def _listed(what: str, addresses: Sequence[str]) -> str:
    if not addresses:
        return ""
    more = f" and {len(addresses) - _LISTED} more" if len(addresses) > _LISTED else ""
    return f"by its log these {what}: {', '.join(addresses[:_LISTED])}{more}"


def _addresses(state: Mapping[str, Any]) -> set[str]:
    """The addresses of all resource instances in a state of version 4."""
    found: set[str] = set()
    for resource in state.get("resources") or ():
        if resource.get("mode") != "managed":
            continue
        module = f"{resource['module']}." if resource.get("module") else ""
        base = f"{module}{resource.get('type')}.{resource.get('name')}"
        for instance in resource.get("instances") or ():
            found.add(base + _key(instance.get("index_key")))
    return found


def _key(index: object) -> str:
    if index is None:
        return ""
    return f"[{index}]" if isinstance(index, int) else f'["{index}"]'

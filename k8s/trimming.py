"""What is kept of a Job or pod: the fields that picture and pod_diagnosis read, and nothing of the manifest.

Called by the client, page by page, and by the picture. Pure. Ended Jobs stay in a cluster for minutes: with some
thousands of them whole objects would be hundreds of megabytes.
"""

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

_METADATA = ("name", "uid", "labels", "ownerReferences", "deletionTimestamp", "resourceVersion")
_STATUS = ("phase", "reason", "message", "ready", "conditions", "containerStatuses")


def trimmed(item: Json) -> Json:
    """The object with what somebody reads of it."""
    kept: Json = {
        "metadata": _some(item["metadata"], _METADATA),
        "status": _some(item.get("status") or {}, _STATUS),
    }
    containers = (item.get("spec") or {}).get("containers")
    if containers:
        kept["spec"] = {"containers": [_container(containers[0])]}
    return kept


def ended(item: Json) -> Json:
    """An object whose end has been told: whose it is, and that it has ended with which exit code."""
    status = item.get("status") or {}
    kept: Json = {"metadata": _some(item["metadata"], ("name", "uid", "ownerReferences")), "status": {}}
    final = [
        {"type": condition["type"], "status": "True"}
        for condition in status.get("conditions") or ()
        if condition.get("type") in ("Complete", "Failed") and condition.get("status") == "True"
    ]
    if final:
        kept["status"]["conditions"] = final
    if "phase" in status:
        kept["status"]["phase"] = status["phase"]
    state = ((status.get("containerStatuses") or [{}])[0]).get("state") or {}
    if isinstance(state.get("terminated"), Mapping):
        end = {"terminated": _some(state["terminated"], ("exitCode",))}
        kept["status"]["containerStatuses"] = [{"state": end}]
    return kept


def _container(container: Any) -> Any:
    if not isinstance(container, Mapping):
        return container
    limits = (container.get("resources") or {}).get("limits") or {}
    kept = _some(container, ("image",))
    return kept | ({"resources": {"limits": limits}} if limits else {})


def _some(thing: Mapping[str, Any], names: tuple[str, ...]) -> Json:
    return {name: thing[name] for name in names if name in thing}

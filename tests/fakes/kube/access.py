"""RBAC of the stand-in: a Role as in a manifest, or None for everything."""

from typing import Any

from tests.fakes.kube.answers import forbidden

USER = "system:serviceaccount:terrakube:terrakube-api-service-account"


def check(role: dict[str, Any] | None, verb: str, resource: str, namespace: str, name: str = "") -> None:
    """Raise the 403 of RBAC unless the Role allows this verb on this resource."""
    if role is None:
        return
    group = "batch" if resource == "jobs" else ""
    for rule in role.get("rules", []):
        if (
            _covers(rule.get("apiGroups", []), group)
            and _covers(rule.get("resources", []), resource)
            and _covers(rule.get("verbs", []), verb)
        ):
            return
    raise forbidden(USER, verb, resource, namespace, name if verb in ("get", "delete") else "")


def _covers(allowed: list[str], wanted: str) -> bool:
    return wanted in allowed or "*" in allowed

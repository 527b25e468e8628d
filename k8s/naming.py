"""Names, labels and annotations of our Jobs, and the selector that finds them again.

Called by job_manifest, launcher and watcher. Pure. Labels carry ids only; readable names, which may hold
anything, go into annotations.
"""

import re
from collections.abc import Mapping
from typing import Any

from common.errors import BadInputError
from common.ids import attempt_name
from common.launcher_port import LaunchOrder

PREFIX = "podform.io/"
RUN = PREFIX + "run"
STEP = PREFIX + "step"
ATTEMPT = PREFIX + "attempt"
ORGANIZATION = PREFIX + "organization"
WORKSPACE = PREFIX + "workspace"
INSTALLATION = PREFIX + "installation"
KIND = PREFIX + "kind"

MANAGED_BY = "app.kubernetes.io/managed-by"
PRODUCT = "podform"

#: What users may never set: Kubernetes' own, ours, and the labels that the Job controller lives on.
RESERVED_PREFIXES = ("podform.io/", "app.kubernetes.io/")
RESERVED_DOMAINS = ("kubernetes.io", "k8s.io")
RESERVED_NAMES = frozenset({"job-name", "controller-uid"})

_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_DOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_OBJECT = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def job_name(order: LaunchOrder) -> str:
    """The order's name, checked: a name of any other form would break finding what was launched before."""
    expected = attempt_name(order.job_data.step_id, order.job_data.attempt)
    if order.name != expected or _OBJECT.fullmatch(order.name) is None:
        raise BadInputError("name", f"is {order.name!r}; a Job of this attempt is called {expected!r}")
    return order.name


def labels(order: LaunchOrder, installation: str) -> dict[str, str]:
    """Labels of the Job and of its pod: who made it, and the ids it belongs to."""
    data = order.job_data
    found = {
        "app.kubernetes.io/name": "podform-executor",
        "app.kubernetes.io/component": "executor",
        "app.kubernetes.io/part-of": PRODUCT,
        MANAGED_BY: PRODUCT,
        INSTALLATION: installation,
        RUN: data.run_id,
        STEP: data.step_id,
        ATTEMPT: str(data.attempt),
        ORGANIZATION: data.organization_id,
        WORKSPACE: data.workspace_id,
        KIND: data.kind.value,
    }
    for name, value in found.items():
        check_label_value(name, value)
    return found


def annotations(order: LaunchOrder) -> dict[str, str]:
    """Readable names, for people who look at the cluster."""
    names = {
        PREFIX + "organization-name": order.organization_name,
        PREFIX + "workspace-name": order.workspace_name,
        PREFIX + "run-number": str(order.job_data.run_number),
    }
    return {name: value for name, value in names.items() if value}


def selector(installation: str) -> str:
    """The label selector of everything that this installation made."""
    return f"{MANAGED_BY}={PRODUCT},{INSTALLATION}={installation}"


def attempt_of(item: Mapping[str, Any]) -> str | None:
    """The name of the attempt that a Job or pod belongs to; None when it is not one of ours."""
    labels = (item.get("metadata") or {}).get("labels") or {}
    return f"{labels[STEP]}-{labels[ATTEMPT]}" if STEP in labels and ATTEMPT in labels else None


def is_ours(job: Mapping[str, Any], name: str, installation: str) -> bool:
    """Whether a Job is this very attempt, made by this installation (and not merely of the same name)."""
    found = (job.get("metadata") or {}).get("labels") or {}
    step_and_attempt = f"{found.get(STEP)}-{found.get(ATTEMPT)}"
    return found.get(MANAGED_BY) == PRODUCT and found.get(INSTALLATION) == installation and step_and_attempt == name


def check_label_value(field: str, value: str) -> None:
    """BadInputError unless Kubernetes takes the text as a label's value."""
    if _VALUE.fullmatch(value) is None:
        raise BadInputError(
            field,
            f"the label value {value!r} is not allowed: at most 63 letters, digits, '-', '_' and '.', "
            "beginning and ending with a letter or digit",
        )


def check_key(field: str, key: str) -> None:
    """BadInputError unless Kubernetes takes the text as the key of a label or annotation."""
    domain, slash, name = key.rpartition("/")
    if _NAME.fullmatch(name) is None or (slash and (len(domain) > 253 or _DOMAIN.fullmatch(domain) is None)):
        raise BadInputError(
            field,
            f"the key {key!r} is not allowed: an optional lower-case domain and '/', then at most 63 letters, "
            "digits, '-', '_' and '.'",
        )


def is_reserved_key(key: str) -> bool:
    """Whether a key of a label or annotation belongs to Kubernetes or to us."""
    domain = key.rpartition("/")[0]
    of_kubernetes = any(domain == reserved or domain.endswith("." + reserved) for reserved in RESERVED_DOMAINS)
    return of_kubernetes or key in RESERVED_NAMES or key.startswith(RESERVED_PREFIXES)

"""From a workspace's EPHEMERAL_* variables to the shape of its pods.

Called by the launcher for every order and by whoever wants to check variables when they are saved. Pure.
One table row per variable; a value that cannot be used raises BadInputError naming the variable, the
position in it and what is allowed.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from common.environment import is_name, is_reserved
from common.errors import BadInputError
from k8s import naming
from k8s.settings import ShapeRules

PREFIX = "EPHEMERAL_"
SERVICE_ACCOUNT = "EPHEMERAL_CONFIG_SERVICE_ACCOUNT"

_QUANTITY = re.compile(r"\+?(\d+(\.\d*)?|\.\d+)(m|k|[MGTPE]i?|Ki|[eE][+-]?\d+)?")
_OBJECT_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_OPERATORS = ("Exists", "Equal")
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


@dataclass(frozen=True, slots=True, kw_only=True)
class Toleration:
    """One toleration of a pod; an empty effect tolerates every effect."""

    key: str
    operator: str = "Exists"
    value: str = ""
    effect: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodShape:
    """What a workspace asked for; empty fields leave the installation's own choice."""

    node_selector: Mapping[str, str] = field(default_factory=dict)  # replaces the installation's, as in Terrakube
    tolerations: tuple[Toleration, ...] = ()
    service_account: str = ""
    job_annotations: Mapping[str, str] = field(default_factory=dict)  # on the Job alone
    pod_annotations: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)  # on the Job and on its pod
    requests: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


Reader = Callable[[PodShape, str, str, ShapeRules], PodShape]


def pod_shape(variables: Mapping[str, str], rules: ShapeRules) -> PodShape:
    """The shape asked for by a workspace's ENV variables; others than EPHEMERAL_* are not looked at."""
    shape = PodShape()
    for name in sorted(name for name in variables if name.startswith(PREFIX)):
        reader = READERS.get(name)
        if reader is None:
            raise BadInputError(name, f"is not known here; known are {', '.join(sorted(READERS))}")
        if variables[name].strip():
            shape = reader(shape, name, variables[name], rules)
    return shape


def _pairs(variable: str, text: str) -> list[tuple[int, str, str]]:
    """`k=v;k=v` as (position from 1, key, value): blank items are skipped, a key without `=` has an empty value."""
    found: list[tuple[int, str, str]] = []
    for position, item in enumerate(text.split(";"), start=1):
        if not item.strip():
            continue
        key, _, value = (part.strip() for part in item.partition("="))
        if not key:
            raise BadInputError(variable, f"item {position} has no key; items are key=value, separated by ';'")
        if any(key == earlier for _, earlier, _ in found):
            raise BadInputError(variable, f"item {position} repeats the key {key!r}; each key may stand once")
        found.append((position, key, value))
    return found


def _labels(variable: str, text: str) -> dict[str, str]:
    for position, key, value in _pairs(variable, text):
        naming.check_key(f"{variable}, item {position}", key)
        naming.check_label_value(f"{variable}, item {position}", value)
    return {key: value for _, key, value in _pairs(variable, text)}


def _unreserved(variable: str, text: str) -> dict[str, str]:
    for position, key, _ in _pairs(variable, text):
        naming.check_key(f"{variable}, item {position}", key)
        if naming.is_reserved_key(key):
            raise BadInputError(
                variable,
                f"item {position}: the key {key!r} is reserved for Kubernetes and Podform; use a domain of your own",
            )
    return {key: value for _, key, value in _pairs(variable, text)}


def _node_selector(shape: PodShape, variable: str, text: str, _rules: ShapeRules) -> PodShape:
    return replace(shape, node_selector=_labels(variable, text))


def _tolerations(shape: PodShape, variable: str, text: str, _rules: ShapeRules) -> PodShape:
    items = enumerate(text.split(";"), start=1)
    found = tuple(_toleration(variable, position, item.strip()) for position, item in items if item.strip())
    return replace(shape, tolerations=found)


def _toleration(variable: str, position: int, item: str) -> Toleration:
    """`key[=value][:operator[:effect]]`; without an operator `Exists`, or `Equal` where a value is given."""
    head, _, tail = item.partition(":")
    operator, _, effect = (part.strip() for part in tail.partition(":"))
    key, equals, value = (part.strip() for part in head.partition("="))
    operator = operator or ("Equal" if value else "Exists")
    where = f"{variable}, item {position}"
    if key:
        naming.check_key(where, key)
    naming.check_label_value(where, value)
    if operator not in _OPERATORS:
        raise BadInputError(where, f"the operator {operator!r} is not known; allowed are {', '.join(_OPERATORS)}")
    if effect and effect not in _EFFECTS:
        raise BadInputError(where, f"the effect {effect!r} is not known; allowed are {', '.join(_EFFECTS)}")
    if operator == "Exists" and value:
        raise BadInputError(where, "a value goes with the operator Equal; Exists takes none")
    if not key and (operator == "Equal" or equals):
        raise BadInputError(where, "has no key; a toleration is key[=value][:operator[:effect]]")
    return Toleration(key=key, operator=operator, value=value, effect=effect)


def _service_account(shape: PodShape, variable: str, text: str, rules: ShapeRules) -> PodShape:
    name = text.strip()
    if _OBJECT_NAME.fullmatch(name) is None:
        raise BadInputError(
            variable, f"{name!r} is no name of a service account: lower-case letters, digits, '-' and '.'"
        )
    if name == rules.api_service_account:
        raise BadInputError(variable, f"{name!r} is the API's own service account and is never given to an executor")
    if name not in rules.service_accounts:
        raise BadInputError(
            variable, f"{name!r} is refused until the operator lists it among the allowed service accounts"
        )
    return replace(shape, service_account=name)


def _job_annotations(shape: PodShape, variable: str, text: str, _rules: ShapeRules) -> PodShape:
    return replace(shape, job_annotations=_unreserved(variable, text))


def _pod_annotations(shape: PodShape, variable: str, text: str, _rules: ShapeRules) -> PodShape:
    return replace(shape, pod_annotations=_unreserved(variable, text))


def _own_labels(shape: PodShape, variable: str, text: str, _rules: ShapeRules) -> PodShape:
    _unreserved(variable, text)
    return replace(shape, labels=_labels(variable, text))


def _quantity(kind: str, resource: str) -> Reader:
    def read(shape: PodShape, variable: str, text: str, _rules: ShapeRules) -> PodShape:
        value = text.strip()
        if _QUANTITY.fullmatch(value) is None:
            raise BadInputError(variable, f"{value!r} is no quantity; write for example 500m, 2, 512Mi or 1.5Gi")
        if kind == "requests":
            return replace(shape, requests={**shape.requests, resource: value})
        return replace(shape, limits={**shape.limits, resource: value})

    return read


def _environment(shape: PodShape, variable: str, text: str, _rules: ShapeRules) -> PodShape:
    for position, key, value in _pairs(variable, text):
        where = f"{variable}, item {position}"
        if not is_name(key):
            raise BadInputError(where, f"{key!r} is no name of a variable: letters, digits and '_', not first a digit")
        if is_reserved(key):
            raise BadInputError(where, f"the name {key!r} is reserved")
        if "\0" in value:
            raise BadInputError(where, "the value holds a NUL character, which no environment can carry")
    return replace(shape, environment={key: value for _, key, value in _pairs(variable, text)})


def _closed(shape: PodShape, variable: str, _text: str, _rules: ShapeRules) -> PodShape:
    del shape
    raise BadInputError(
        variable, "is refused: this installation opens no volume, ConfigMap or security context to workspaces"
    )


#: One row per variable that users of Terrakube know; also the list of what is allowed.
READERS: Mapping[str, Reader] = {
    "EPHEMERAL_CONFIG_NODE_SELECTOR_TAGS": _node_selector,
    "EPHEMERAL_CONFIG_TOLERATIONS": _tolerations,
    SERVICE_ACCOUNT: _service_account,
    "EPHEMERAL_CONFIG_ANNOTATIONS": _job_annotations,
    "EPHEMERAL_CONFIG_POD_ANNOTATIONS": _pod_annotations,
    "EPHEMERAL_CONFIG_LABELS": _own_labels,
    "EPHEMERAL_CPU_REQUEST": _quantity("requests", "cpu"),
    "EPHEMERAL_MEMORY_REQUEST": _quantity("requests", "memory"),
    "EPHEMERAL_STORAGE_REQUEST": _quantity("requests", "ephemeral-storage"),
    "EPHEMERAL_CPU_LIMIT": _quantity("limits", "cpu"),
    "EPHEMERAL_MEMORY_LIMIT": _quantity("limits", "memory"),
    "EPHEMERAL_STORAGE_LIMIT": _quantity("limits", "ephemeral-storage"),
    "EPHEMERAL_JOB_ENV_VARS": _environment,
    "EPHEMERAL_CONFIG_MAP_NAME": _closed,
    "EPHEMERAL_CONFIG_MAP_MOUNT_PATH": _closed,
    "EPHEMERAL_CONFIG_ENVFROM_CONFIG_MAP": _closed,
    "EPHEMERAL_CONFIG_POD_SECURITY_CONTEXT": _closed,
    "EPHEMERAL_CONFIG_SECURITY_CONTEXT": _closed,
}

"""EPHEMERAL_* variables: what they make of a pod, and what is said of those that cannot be used."""

import pytest

from common.errors import BadInputError
from k8s.ephemeral_config import READERS, PodShape, Toleration, pod_shape
from k8s.settings import ShapeRules

RULES = ShapeRules(service_accounts=frozenset({"deployer", "terrakube-api-service-account"}))


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("EPHEMERAL_CONFIG_NODE_SELECTOR_TAGS", " a = b ; ;c=", PodShape(node_selector={"a": "b", "c": ""})),
        ("EPHEMERAL_CONFIG_TOLERATIONS", "key", PodShape(tolerations=(Toleration(key="key"),))),
        ("EPHEMERAL_CONFIG_TOLERATIONS", ":Exists", PodShape(tolerations=(Toleration(key=""),))),
        (
            "EPHEMERAL_CONFIG_TOLERATIONS",
            "k=v;k2::NoExecute;k3=v:Equal:NoSchedule",
            PodShape(
                tolerations=(
                    Toleration(key="k", operator="Equal", value="v"),
                    Toleration(key="k2", effect="NoExecute"),
                    Toleration(key="k3", operator="Equal", value="v", effect="NoSchedule"),
                )
            ),
        ),
        ("EPHEMERAL_CONFIG_SERVICE_ACCOUNT", " deployer ", PodShape(service_account="deployer")),
        ("EPHEMERAL_CONFIG_ANNOTATIONS", "a.b/c=d=e", PodShape(job_annotations={"a.b/c": "d=e"})),
        ("EPHEMERAL_CONFIG_POD_ANNOTATIONS", "x=y z", PodShape(pod_annotations={"x": "y z"})),
        ("EPHEMERAL_CONFIG_LABELS", "team=net", PodShape(labels={"team": "net"})),
        ("EPHEMERAL_CPU_REQUEST", "0.5", PodShape(requests={"cpu": "0.5"})),
        ("EPHEMERAL_MEMORY_LIMIT", "1.5Gi", PodShape(limits={"memory": "1.5Gi"})),
        ("EPHEMERAL_STORAGE_REQUEST", "1e9", PodShape(requests={"ephemeral-storage": "1e9"})),
        ("EPHEMERAL_JOB_ENV_VARS", "A=1;B=x=y", PodShape(environment={"A": "1", "B": "x=y"})),
        ("EPHEMERAL_CONFIG_LABELS", "  ", PodShape()),
        ("AWS_REGION", "eu", PodShape()),
    ],
)
def test_a_variable_shapes_the_pod(variable: str, value: str, expected: PodShape) -> None:
    """Each variable sets its own part of the shape; blank ones and other names set nothing."""
    assert pod_shape({variable: value}, RULES) == expected


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("EPHEMERAL_CONFIG_NODE_SELECTOR_TAGS", "a=b;=c", "item 2 has no key"),
        ("EPHEMERAL_CONFIG_NODE_SELECTOR_TAGS", "a=b;a=c", "item 2 repeats the key 'a'"),
        ("EPHEMERAL_CONFIG_NODE_SELECTOR_TAGS", "a=b c", "item 1.*'b c' is not allowed"),
        ("EPHEMERAL_CONFIG_NODE_SELECTOR_TAGS", f"a={'x' * 64}", "at most 63"),
        ("EPHEMERAL_CONFIG_NODE_SELECTOR_TAGS", "A B=c", "the key 'A B' is not allowed"),
        (
            "EPHEMERAL_CONFIG_TOLERATIONS",
            "ok;k:Sometimes",
            "item 2.*'Sometimes' is not known; allowed are Exists, Equal",
        ),
        ("EPHEMERAL_CONFIG_TOLERATIONS", "k::Never", "'Never' is not known; allowed are NoSchedule"),
        ("EPHEMERAL_CONFIG_TOLERATIONS", "k=v:Exists", "Exists takes none"),
        ("EPHEMERAL_CONFIG_TOLERATIONS", "=v:Equal", "has no key"),
        ("EPHEMERAL_CONFIG_SERVICE_ACCOUNT", "root", "'root' is refused until the operator lists it"),
        ("EPHEMERAL_CONFIG_SERVICE_ACCOUNT", "Root!", "no name of a service account"),
        ("EPHEMERAL_CONFIG_SERVICE_ACCOUNT", "terrakube-api-service-account", "never given to an executor"),
        ("EPHEMERAL_CONFIG_ANNOTATIONS", "a=1;x.kubernetes.io/b=2", "item 2.*reserved"),
        ("EPHEMERAL_CONFIG_POD_ANNOTATIONS", "podform.io/run=1", "reserved"),
        ("EPHEMERAL_CONFIG_LABELS", "job-name=x", "reserved"),
        ("EPHEMERAL_CONFIG_LABELS", "app.kubernetes.io/managed-by=me", "reserved"),
        ("EPHEMERAL_CONFIG_LABELS", "team=ü", "is not allowed"),
        ("EPHEMERAL_MEMORY_REQUEST", "1GB", "'1GB' is no quantity"),
        ("EPHEMERAL_CPU_LIMIT", "-1", "no quantity"),
        ("EPHEMERAL_JOB_ENV_VARS", "A=1;1B=2", "item 2.*no name of a variable"),
        ("EPHEMERAL_JOB_ENV_VARS", "LD_PRELOAD=x", "reserved"),
        ("EPHEMERAL_JOB_ENV_VARS", "InternalSecret=x", "reserved"),
        ("EPHEMERAL_JOB_ENV_VARS", "A=x\0y", "NUL"),
        ("EPHEMERAL_CONFIG_MAP_NAME", "certs", "is refused"),
        ("EPHEMERAL_CPU_REQUESTS", "1", "is not known here; known are .*EPHEMERAL_CPU_REQUEST,"),
    ],
)
def test_a_value_that_cannot_be_used_is_explained(variable: str, value: str, words: str) -> None:
    """The error names the variable, where in it the problem is, and what is allowed."""
    with pytest.raises(BadInputError, match=words) as refused:
        pod_shape({variable: value}, RULES)
    assert refused.value.field.startswith(variable)


def test_variables_add_up() -> None:
    """Requests and limits of several variables end in one shape."""
    shape = pod_shape(
        {"EPHEMERAL_CPU_REQUEST": "1", "EPHEMERAL_MEMORY_REQUEST": "1Gi", "EPHEMERAL_CPU_LIMIT": "2"}, RULES
    )
    assert shape.requests == {"cpu": "1", "memory": "1Gi"}
    assert shape.limits == {"cpu": "2"}


@pytest.mark.parametrize("variable", READERS)
def test_a_blank_value_asks_for_nothing(variable: str) -> None:
    """Every known variable may be empty."""
    assert pod_shape({variable: ""}, RULES) == PodShape()

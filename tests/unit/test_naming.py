"""Names, labels and annotations of our Jobs."""

import pytest

from common.errors import BadInputError
from k8s import naming
from tests.fakes.orders import order


def test_labels_carry_ids_and_annotations_names() -> None:
    """Every label is an id or a fixed word; what people wrote is in annotations."""
    labels, annotations = naming.labels(order(3, attempt=2), "podform"), naming.annotations(order())
    assert labels[naming.STEP] == order(3).job_data.step_id
    assert labels[naming.ATTEMPT] == "2"
    assert labels[naming.MANAGED_BY] == "podform"
    assert annotations["podform.io/workspace-name"] == "network/eu"


def test_the_selector_finds_what_the_labels_say() -> None:
    """Everything that an installation makes is found by its selector."""
    labels = naming.labels(order(), "blue")
    pairs = [pair.split("=") for pair in naming.selector("blue").split(",")]
    assert all(labels[key] == value for key, value in pairs)


def test_only_the_very_attempt_is_ours() -> None:
    """Another attempt, another installation and a Job without labels are foreign."""
    job = {"metadata": {"labels": naming.labels(order(), "podform")}}
    assert naming.is_ours(job, order().name, "podform")
    assert not naming.is_ours(job, order(attempt=2).name, "podform")
    assert not naming.is_ours(job, order().name, "other")
    assert not naming.is_ours({}, order().name, "podform")


@pytest.mark.parametrize("value", ["", "a", "a.b_c-d", "x" * 63])
def test_a_label_value_that_kubernetes_takes(value: str) -> None:
    """Letters, digits and three marks between them, up to 63."""
    naming.check_label_value("f", value)


@pytest.mark.parametrize("value", ["x" * 64, "-a", "a-", "a b", "ü", "a/b", "a\n"])
def test_a_label_value_that_kubernetes_refuses(value: str) -> None:
    """The error shows the value and the rule."""
    with pytest.raises(BadInputError, match="at most 63"):
        naming.check_label_value("f", value)


@pytest.mark.parametrize("key", ["a", "a.b/c", "example.org/x_y.z"])
def test_a_key_that_kubernetes_takes(key: str) -> None:
    """A name, with or without a domain."""
    naming.check_key("f", key)


@pytest.mark.parametrize("key", ["", "/", "A.b/c", "a/", "/a", "a b", "x" * 64, f"{'x' * 254}/a", "a/b/c"])
def test_a_key_that_kubernetes_refuses(key: str) -> None:
    """The error shows the key and the rule."""
    with pytest.raises(BadInputError, match="the key"):
        naming.check_key("f", key)


@pytest.mark.parametrize(
    ("key", "reserved"),
    [
        ("kubernetes.io/x", True),
        ("a.kubernetes.io/x", True),
        ("k8s.io/x", True),
        ("podform.io/run", True),
        ("job-name", True),
        ("controller-uid", True),
        ("mykubernetes.io/x", False),
        ("example.org/x", False),
        ("team", False),
    ],
)
def test_reserved_keys(key: str, reserved: bool) -> None:
    """Kubernetes' domains, ours, and the Job controller's labels are not for users."""
    assert naming.is_reserved_key(key) is reserved

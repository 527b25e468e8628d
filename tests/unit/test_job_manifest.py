"""The Job of an attempt: golden documents, the real schema, and the lines that safety rests on."""

import json
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from common.errors import BadInputError
from common.launcher_port import LaunchOrder
from common.statuses import StepKind
from k8s import job_manifest
from k8s.ephemeral_config import PodShape, pod_shape
from k8s.settings import JobSettings, ShapeRules
from tests.fakes.orders import job_settings, order

GOLDEN = Path(__file__).parent / "golden"
VERSIONS = ("1.29", kubernetes_validate.latest_version())

EVERYTHING = {
    "EPHEMERAL_CONFIG_NODE_SELECTOR_TAGS": "disktype=ssd;zone=eu",
    "EPHEMERAL_CONFIG_TOLERATIONS": "dedicated=terraform:Equal:NoSchedule;spot",
    "EPHEMERAL_CONFIG_SERVICE_ACCOUNT": "deployer",
    "EPHEMERAL_CONFIG_ANNOTATIONS": "example.org/owner=net",
    "EPHEMERAL_CONFIG_POD_ANNOTATIONS": "vault.example.org/inject=true",
    "EPHEMERAL_CONFIG_LABELS": "team=net",
    "EPHEMERAL_CPU_REQUEST": "500m",
    "EPHEMERAL_MEMORY_REQUEST": "1Gi",
    "EPHEMERAL_CPU_LIMIT": "2",
    "EPHEMERAL_MEMORY_LIMIT": "2Gi",
    "EPHEMERAL_STORAGE_LIMIT": "10Gi",
    "EPHEMERAL_JOB_ENV_VARS": "PRICE=5$;REGION=eu-$(HOME)",
}

CASES: dict[str, tuple[LaunchOrder, JobSettings]] = {
    "plan": (order(), job_settings()),
    "apply-shaped": (
        order(kind=StepKind.APPLY, timeout_seconds=7200, shape=EVERYTHING),
        job_settings(
            secrets=("terrakube-executor-secrets", "cloud-credentials"),
            image_pull_policy="Always",
            image_pull_secrets=("registry",),
            rules=ShapeRules(service_accounts=frozenset({"deployer"})),
        ),
    ),
    "no-volumes": (order(), job_settings(volumes=False)),
    "secret-as-file": (order(), job_settings(secret_as_file=True)),
}


def built(name: str) -> dict[str, Any]:
    """The manifest of a case."""
    given, settings = CASES[name]
    return job_manifest.build(given, pod_shape(given.shape, settings.rules), settings)


@pytest.mark.parametrize("name", CASES)
def test_the_job_is_the_golden_one(name: str) -> None:
    """A Job is exactly what was reviewed."""
    golden = json.loads((GOLDEN / f"job-{name}.json").read_text())
    assert built(name) == golden


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", CASES)
def test_the_job_fits_the_real_schema(name: str, version: str) -> None:
    """No field is unknown or of another type, in the oldest and the newest Kubernetes."""
    kubernetes_validate.validate(built(name), version, strict=True)


@pytest.mark.parametrize("name", CASES)
def test_the_pod_is_restricted(name: str) -> None:
    """Whatever the shape, the pod meets Pod Security "restricted"."""
    pod = built(name)["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert all(set(volume) & {"emptyDir", "secret"} for volume in pod.get("volumes", []))
    assert not set(pod) & {"hostNetwork", "hostPID", "hostIPC"}


def test_a_dollar_stays_a_dollar() -> None:
    """Values of EPHEMERAL_JOB_ENV_VARS are not expanded by Kubernetes."""
    environment = built("apply-shaped")["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {"name": "REGION", "value": "eu-$$(HOME)"} in environment


def test_a_limit_without_a_request_is_the_request() -> None:
    """A workspace's small limit is not contradicted by the installation's larger request."""
    shape = PodShape(limits={"memory": "64Mi"})
    resources = job_manifest.build(order(), shape, job_settings())["spec"]["template"]["spec"]["containers"][0][
        "resources"
    ]
    assert resources == {"requests": {"cpu": "100m"}, "limits": {"memory": "64Mi"}}


def test_a_name_of_another_form_is_refused() -> None:
    """An order under any other name than its attempt's is a mistake."""
    given = order()
    other = LaunchOrder(name="step-1", job_data=given.job_data)
    with pytest.raises(BadInputError, match="a Job of this attempt is called"):
        job_manifest.build(other, PodShape(), job_settings())


def test_without_a_secret_there_is_no_job() -> None:
    """The name of the setting is in the error."""
    with pytest.raises(BadInputError, match="ExecutorEphemeralSecret"):
        job_manifest.build(order(), PodShape(), job_settings(secrets=()))


def test_an_id_that_is_no_label_is_refused() -> None:
    """An id that Kubernetes would not take as a label is named before the cluster sees it."""
    with pytest.raises(BadInputError, match=r"podform\.io/installation.*'büro'"):
        job_manifest.build(order(), PodShape(), job_settings(installation="büro"))

"""The plain manifests and the Dockerfiles: what they grant and what they hold."""

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from k8s import job_manifest
from k8s.settings import EXECUTOR_UID, ShapeRules

ROOT = Path(__file__).parents[2]
MANIFESTS = sorted((ROOT / "k8s" / "manifests").glob("*.yaml"))


def documents(path: Path) -> list[dict[str, Any]]:
    """The documents of a file."""
    return [dict(document) for document in yaml.safe_load_all(path.read_text())]


def rules(name: str) -> dict[tuple[str, str], set[str]]:
    """(group, resource) -> verbs of the Role in a file."""
    role = next(document for document in documents(ROOT / "k8s" / "manifests" / name) if document["kind"] == "Role")
    return {
        (group, resource): set(rule["verbs"])
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


@pytest.mark.parametrize("version", ["1.29", kubernetes_validate.latest_version()])
@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_a_manifest_fits_the_real_schema(path: Path, version: str) -> None:
    """Every document is valid, without an unknown field, in the oldest and the newest Kubernetes."""
    for document in documents(path):
        kubernetes_validate.validate(document, version, strict=True)


def test_the_role_allows_jobs_and_nothing_else() -> None:
    """The API needs no Secret, no pod and no cluster role."""
    assert rules("role.yaml") == {("batch", "jobs"): {"get", "list", "watch", "create", "delete"}}


def test_the_diagnosis_role_never_creates() -> None:
    """What is optional reads, and deletes pods that are to be stopped by force."""
    verbs = set().union(*rules("role-diagnosis.yaml").values())
    assert verbs == {"get", "list", "watch", "delete"}


def test_the_apis_account_is_the_one_never_given_away() -> None:
    """The service account of the manifests is the one that no workspace may name."""
    account = next(d for d in documents(ROOT / "k8s" / "manifests" / "role.yaml") if d["kind"] == "ServiceAccount")
    assert account["metadata"]["name"] == ShapeRules().api_service_account


@pytest.mark.parametrize("name", ["Dockerfile.api", "Dockerfile.executor"])
def test_an_image_runs_as_our_uid(name: str) -> None:
    """The image's user is numeric, has a passwd entry, and is the one that the Job asks for."""
    text = (ROOT / name).read_text()
    assert f"USER {EXECUTOR_UID}:{EXECUTOR_UID}\n" in text
    assert f"useradd --uid {EXECUTOR_UID} " in text


def test_the_image_starts_what_the_job_starts() -> None:
    """Entry point and command are the same, so that neither is tested alone."""
    found = re.search(r"^ENTRYPOINT (\[.*\])$", (ROOT / "Dockerfile.executor").read_text(), re.MULTILINE)
    assert found is not None
    assert yaml.safe_load(found[1]) == list(job_manifest.COMMAND)
    assert f"install -d -o podform -g podform {job_manifest.WORK_PATH} " in (ROOT / "Dockerfile.executor").read_text()

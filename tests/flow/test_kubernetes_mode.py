"""A run in Kubernetes mode: the real API and the real executor, each step as a Job of the stand-in cluster."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.fakes.kubelet import Fault
from tests.fakes.kubernetes_api import Cluster
from tests.flow.conftest import Started, StartServer
from tests.flow.test_walking_skeleton import HELLO

SECRET = "an-internal-secret-of-flow-tests-0123456789"
ROLE = Path(__file__).parents[2] / "k8s" / "manifests" / "role.yaml"

LOCAL_EXEC = """
resource "terraform_data" "a" {
  provisioner "local-exec" {
    command = "%s"
  }
}
"""


@pytest.fixture(params=["everything allowed", "Jobs alone"])
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A cluster, once with all rights and once with the Role that allows Jobs only."""
    documents = yaml.safe_load_all(ROLE.read_text())
    role = next(document for document in documents if document["kind"] == "Role")
    secrets = {"terrakube-executor-secrets": {"InternalSecret": SECRET}}
    with Cluster(secrets=secrets, role=role if request.param == "Jobs alone" else None) as running:
        yield running


def settings(cluster: Cluster) -> dict[str, str]:
    """The API's settings for a cluster."""
    return {
        "Terraform__KubernetesJobs__Enabled": "true",
        "ExecutorEphemeralNamespace": "terrakube",
        "InternalSecret": SECRET,
        "KUBECONFIG": str(cluster.kubeconfig_path),
    }


def begin(server: Started, files: dict[str, str], scratch: Path) -> tuple[str, str]:
    """A workspace with a configuration, and a run of it."""
    workspace = server.client.make_workspace()
    server.client.upload(workspace, files, scratch)
    return workspace, server.client.run(workspace)


def test_each_step_is_a_job(cluster: Cluster, start_server: StartServer, tmp_path: Path) -> None:
    """Plan and apply are two Jobs with one pod each, and the run is applied."""
    server = start_server(settings(cluster))
    workspace, number = begin(server, HELLO, tmp_path / "hello")

    assert server.client.finished(number)["runStatus"] == "applied"

    plan, apply = server.client.steps(number)
    assert b"Apply complete! Resources: 1 added" in server.client.log(number, apply["id"])
    assert server.client.state(workspace)["outputs"]["greeting"]["value"] == "hello world"
    names = [f"{step['id']}-1" for step in (plan, apply)]
    assert [job["metadata"]["name"] for job in cluster.jobs()] == names
    assert [cluster.pods_started(name) for name in names] == [1, 1]


def test_a_cancel_ends_the_job(cluster: Cluster, start_server: StartServer, tmp_path: Path) -> None:
    """A canceled run stops terraform, and its pod ends."""
    slow = {"main.tf": LOCAL_EXEC % "sleep 300"}
    server = start_server(settings(cluster))
    _, number = begin(server, slow, tmp_path / "slow")
    server.client.wait(number, lambda job: job["runStatus"] == "applying")

    assert server.client.decide(number, "cancelled").is_success

    assert server.client.finished(number)["runStatus"] == "canceled"


def test_a_killed_api_finds_its_jobs_again(cluster: Cluster, start_server: StartServer, tmp_path: Path) -> None:
    """The API dies in the apply; the pod goes on, reports to the restarted API, and is the only one."""
    ledger = tmp_path / "ledger"
    files = {"main.tf": LOCAL_EXEC % f"echo once >> {ledger}; sleep 2"}
    server = start_server(settings(cluster))
    _, number = begin(server, files, tmp_path / "files")
    server.client.wait(number, lambda job: job["runStatus"] == "applying")

    server.api.kill()
    server.api.start()

    assert server.client.finished(number)["runStatus"] == "applied"
    assert ledger.read_text() == "once\n"
    assert len(cluster.jobs()) == 2


def test_a_lost_apply_is_never_repeated(cluster: Cluster, start_server: StartServer, tmp_path: Path) -> None:
    """A node that dies under an apply leaves the run errored with its outcome unknown, and no second pod."""
    files = {"main.tf": LOCAL_EXEC % "sleep 300"}
    server = start_server(settings(cluster))
    _, number = begin(server, files, tmp_path / "files")
    server.client.wait(number, lambda job: job["runStatus"] == "applying")
    apply = server.client.steps(number)[1]
    name = f"{apply['id']}-1"

    cluster.lose_node(cluster.pods(name)[0])

    job = server.client.finished(number)
    assert job["runStatus"] == "errored", job
    assert cluster.pods_started(name) == 1
    assert len(cluster.jobs()) == 2


def test_an_image_that_cannot_be_pulled(start_server: StartServer, tmp_path: Path) -> None:
    """A step whose image comes only after a while still runs, as one pod."""
    secrets = {"terrakube-executor-secrets": {"InternalSecret": SECRET}}
    with Cluster(secrets=secrets) as cluster:
        cluster.switch(Fault.IMAGE_PULL)
        server = start_server(settings(cluster))
        _, number = begin(server, HELLO, tmp_path / "hello")
        server.client.wait(number, lambda _: bool(cluster.pods()))
        cluster.switch(Fault.IMAGE_PULL, on=False)
        assert server.client.finished(number)["runStatus"] == "applied"
        assert len(cluster.jobs()) == 2


def test_an_image_that_never_comes(start_server: StartServer, tmp_path: Path) -> None:
    """A pod that cannot start says why while it waits, ends its run when patience ends, and its Job is deleted."""
    secrets = {"terrakube-executor-secrets": {"InternalSecret": SECRET}}
    with Cluster(secrets=secrets) as cluster:
        cluster.switch(Fault.IMAGE_PULL)
        server = start_server(settings(cluster) | {"PODFORM_START_PATIENCE_SECONDS": "3"})
        _, number = begin(server, HELLO, tmp_path / "hello")
        waiting = server.client.wait(number, lambda job: "image" in job["waitingFor"].lower())
        assert waiting["runStatus"] == "plan_queued"

        job = server.client.finished(number)

        assert (job["runStatus"], job["failureReason"]) == ("errored", "image_pull")
        assert "image" in job["message"].lower()
        until = time.monotonic() + 60
        while cluster.jobs():
            assert time.monotonic() < until
            time.sleep(0.2)


def test_the_toggle_of_a_workspace(start_server: StartServer, tmp_path: Path) -> None:
    """Where Kubernetes is not enabled for all, the workspace's toggle decides by its value."""
    with Cluster(secrets={"terrakube-executor-secrets": {"InternalSecret": SECRET}}) as cluster:
        server = start_server(settings(cluster) | {"Terraform__KubernetesJobs__Enabled": "false"})
        client = server.client
        for name, value, jobs in (("off", "no", 0), ("on", "true", 2)):
            workspace = client.make_workspace(name)
            client.set_variable(workspace, "TERRAKUBE_ENABLE_EPHEMERAL_EXECUTOR", value, category="ENV")
            client.upload(workspace, HELLO, tmp_path / name)
            assert client.finished(client.run(workspace))["runStatus"] == "applied"
            assert len(cluster.jobs()) == jobs

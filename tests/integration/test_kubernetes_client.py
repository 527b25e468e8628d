"""The client: every way that a cluster can fail comes out as one of our errors."""

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from k8s import errors, job_manifest
from k8s.client import KubernetesClient, WatchTimeouts, connect
from k8s.ephemeral_config import PodShape
from k8s.settings import ClusterSettings
from tests.fakes.kube.http import Answer
from tests.fakes.kubernetes_api import Cluster
from tests.fakes.orders import NAMESPACE, SECRETS, job_settings, order

JOB = job_manifest.build(order(), PodShape(), job_settings())
NAME = order().name
TIMEOUTS = WatchTimeouts(2, 0.5)
Call = Callable[[KubernetesClient], Awaitable[object]]


async def first_event(client: KubernetesClient, since: str = "1") -> object:
    """The first event of a watch."""
    async for event in client.watch_jobs(NAMESPACE, "", since, TIMEOUTS):
        return event
    return None


CALLS: dict[str, Call] = {
    "create_job": lambda client: client.create_job(NAMESPACE, JOB),
    "get_job": lambda client: client.get_job(NAMESPACE, NAME),
    "delete_job": lambda client: client.delete_job(NAMESPACE, NAME, "uid"),
    "delete_pod": lambda client: client.delete_pod(NAMESPACE, NAME, "uid", 1),
    "list_jobs": lambda client: client.list_jobs(NAMESPACE, ""),
    "list_pods": lambda client: client.list_pods(NAMESPACE, ""),
    "list_events_of": lambda client: client.list_events_of(NAMESPACE, "Job", NAME),
    "pod_log_tail": lambda client: client.pod_log_tail(NAMESPACE, NAME, lines=1, limit_bytes=1),
    "watch_jobs": first_event,
}


def done(kubeconfig: Path, call: Call) -> object:
    """The result of a call on a fresh client."""

    async def scenario() -> object:
        client = await connect(ClusterSettings(kubeconfig=str(kubeconfig)))
        try:
            return await call(client)
        finally:
            await client.close()

    return asyncio.run(scenario())


@pytest.fixture(scope="module")
def shared() -> Iterator[Cluster]:
    """One cluster for all answers."""
    with Cluster(secrets=SECRETS) as cluster:
        yield cluster


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 413, 418, 422, 429, 500, 503])
def test_no_answer_leaks_an_error_of_the_library(shared: Cluster, status: int) -> None:
    """Whatever the call and the status, the caller sees an error of ours with the cluster's words."""

    async def every_call(client: KubernetesClient) -> None:
        for call in CALLS.values():
            shared.faults.answers[:] = [Answer(times=1, status=status, message="in the cluster's words")]
            with pytest.raises(errors.ClusterError, match="in the cluster's words") as failed:
                await call(client)
            assert failed.value.status == status

    done(shared.kubeconfig_path, every_call)


def other_server(cluster: Cluster, tmp_path: Path, port: int) -> Path:
    """A kubeconfig of something else than the stand-in."""
    path = tmp_path / "kubeconfig"
    path.write_text(cluster.kubeconfig_path.read_text().replace(cluster.url, f"http://127.0.0.1:{port}"))
    return path


def test_a_refused_connection_is_unavailable(shared: Cluster, tmp_path: Path) -> None:
    """Nobody listens: try again later, and the library's error is the cause."""

    async def every_call(client: KubernetesClient) -> None:
        for call in CALLS.values():
            with pytest.raises(errors.UnavailableError, match="cannot be reached") as failed:
                await call(client)
            assert failed.value.__cause__ is not None

    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    done(other_server(shared, tmp_path, port), every_call)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n<p>", b"nonsense\r\n\r\n"])
@pytest.mark.parametrize("call", ["get_job", "list_jobs", "watch_jobs"])
def test_a_broken_answer_is_unavailable(shared: Cluster, call: str, answer: bytes, tmp_path: Path) -> None:
    """A proxy's page, a cut connection and noise are all "try again later"."""

    def serve(server: socket.socket) -> None:
        while True:  # the library asks twice when a connection is cut
            connection, _ = server.accept()
            with connection:
                if not connection.recv(65536):
                    return
                connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(server,), daemon=True)
        thread.start()
        with pytest.raises(errors.UnavailableError):
            done(other_server(shared, tmp_path, server.getsockname()[1]), CALLS[call])
        socket.create_connection(server.getsockname()).close()
        thread.join(5)


def test_an_expired_version_comes_as_its_own_error() -> None:
    """The ERROR event in a 200 is told like a 410."""
    with Cluster() as cluster, pytest.raises(errors.ExpiredError):
        done(cluster.kubeconfig_path, first_event)


def test_a_silent_socket_is_given_up() -> None:
    """A watch that says nothing for too long, not even a bookmark, is a dead one."""
    with Cluster() as cluster, pytest.raises(errors.UnavailableError, match="in time"):
        done(cluster.kubeconfig_path, lambda client: first_event(client, str(cluster.store.version)))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (ClusterSettings(kubeconfig="/nowhere/kubeconfig"), "/nowhere/kubeconfig"),
        (ClusterSettings(context="elsewhere"), "elsewhere"),
    ],
)
def test_a_cluster_that_cannot_be_addressed(
    settings: ClusterSettings, words: str, shared: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing file or context is named, before any request."""
    monkeypatch.setenv("KUBECONFIG", str(shared.kubeconfig_path))
    with pytest.raises(errors.ConfigurationError, match=words):
        asyncio.run(connect(settings))


def test_the_kubeconfig_of_the_environment_is_honoured(shared: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a setting, KUBECONFIG and its context are used."""
    shared.faults.answers.clear()
    monkeypatch.setenv("KUBECONFIG", str(shared.kubeconfig_path))

    async def scenario() -> None:
        client = await connect(ClusterSettings(context="stand-in"))
        try:
            assert (await client.list_jobs(NAMESPACE, "")).items == []
        finally:
            await client.close()

    asyncio.run(scenario())


def test_the_library_is_not_loaded_before_it_is_needed() -> None:
    """An API without Kubernetes mode pays nothing for it."""
    code = "import sys, k8s.launcher; sys.exit('kubernetes' in sys.modules or 'aiohttp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

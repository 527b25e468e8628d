"""A stand-in for a Kubernetes cluster over real HTTP: API server, Job controller, garbage collector, kubelet.

`with Cluster(role=...) as cluster:` serves on loopback in a thread. Its behaviour is held to a real server's
by tests/integration/test_fake_cluster.py.
"""

import asyncio
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import uvicorn
import yaml

from tests.fakes.kube.http import Faults, application
from tests.fakes.kube.job_controller import JobController
from tests.fakes.kube.store import Store, now
from tests.fakes.kubelet import Fault, Kubelet, merge_condition

Json = dict[str, Any]
TICK_SECONDS = 0.02


@dataclass
class Quota:
    """How many Jobs a namespace may hold; None = any number."""

    jobs: int | None = None


class Cluster:
    """A running stand-in. Attributes are for tests: faults to switch, objects to look at."""

    def __init__(
        self,
        role: Json | None = None,
        namespaces: tuple[str, ...] = ("terrakube",),
        secrets: Mapping[str, Mapping[str, str]] | None = None,
        port: int = 0,
    ) -> None:
        self.role = role
        self.namespaces = set(namespaces)
        self.token = "stand-in-token"
        self.quota = Quota()
        self.service_accounts = {"default"}
        self.warnings: list[str] = []  # sent with every create, as Pod Security does
        self.bookmark_seconds = 60.0
        self.store = Store()
        self.controller = JobController(self.store)
        self.faults = Faults()
        self.requests: list[tuple[str, str]] = []  # method and path with query, in order
        self.request_times: list[float] = []  # when each of them arrived, on the monotonic clock
        self._directory = Path(tempfile.mkdtemp(prefix="cluster-"))
        self.kubelet = Kubelet(self.store, self._directory / "pods")
        self._initial_secrets = secrets or {}
        self._socket = socket.create_server(("127.0.0.1", port))
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed = asyncio.Event()
        self._started = threading.Event()
        self._server: uvicorn.Server | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="cluster")

    @property
    def url(self) -> str:
        """Where the API server listens."""
        return f"http://127.0.0.1:{self._socket_port}"

    @property
    def directory(self) -> Path:
        """Below which its pods have their volumes."""
        return self._directory

    def __enter__(self) -> Self:
        self._socket_port = self._socket.getsockname()[1]
        for name, data in self._initial_secrets.items():
            self.add_secret(name, data)
        self.kubeconfig_path = self._write_kubeconfig()
        self._thread.start()
        assert self._started.wait(20), "the stand-in cluster did not start"
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.should_exit = True
        self._server.force_exit = True
        self.faults.closing = True
        self._wake_soon()
        self._thread.join(20)
        self.kubelet.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def add_secret(self, name: str, data: Mapping[str, str], namespace: str = "terrakube") -> None:
        """Put a Secret there (values in clear)."""
        self.store.add("secrets", {"metadata": {"name": name, "namespace": namespace}, "data": dict(data)})

    def install(self, program: str, text: str) -> None:
        """Put a program into the image: it is found before all others (a `python3` that plays the executor)."""
        path = self._directory / "image" / program
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
        self.kubelet.image_path = path.parent

    def switch(self, fault: Fault, *, on: bool = True) -> None:
        """Switch a fault of the kubelet or scheduler; it holds for containers that are not started yet."""
        self._run(lambda: self.kubelet.faults.add(fault) if on else self.kubelet.faults.discard(fault))

    def refuse_pods(self, message: str) -> None:
        """From now on every pod is refused with these words (service account, Pod Security); "" = no more."""
        self.controller.no_pod = message

    def jobs(self) -> list[Json]:
        """All Jobs."""
        return self.store.all("jobs")

    def pods(self, job: str = "") -> list[Json]:
        """All pods, or those of one Job."""
        owned = [(pod, pod["metadata"].get("ownerReferences") or [{}]) for pod in self.store.all("pods")]
        return [pod for pod, owners in owned if job in ("", owners[0].get("name"))]

    def pods_started(self, job: str) -> int:
        """How many pods were ever made for a Job."""
        return len([change for change in self.store.history if change.type == "ADDED" and _is_pod_of(change, job)])

    def log(self, pod: Json) -> str:
        """What a pod's container printed."""
        path = self.kubelet.log_path(pod)
        return path.read_text(errors="replace") if path.exists() else ""

    def delete_pod(self, pod: Json, grace_seconds: int | None = None) -> None:
        """Delete a pod as `kubectl delete pod` does."""
        self._run(lambda: self.controller.delete_pod(pod, grace_seconds))

    def evict(self, pod: Json, grace_seconds: int | None = None) -> None:
        """Evict a pod by the Eviction API."""
        self._disrupt(pod, "EvictionByEvictionAPI", "Eviction API: evicting")
        self.delete_pod(pod, grace_seconds)

    def preempt(self, pod: Json, grace_seconds: int | None = None) -> None:
        """Preempt a pod for one of higher priority."""
        self._disrupt(
            pod, "PreemptionByScheduler", "default-scheduler: preempting to accommodate a higher priority pod"
        )
        self.delete_pod(pod, grace_seconds)

    def lose_node(self, pod: Json) -> None:
        """The node dies and is removed: the pod garbage collector marks the pod and takes it away."""

        def lose() -> None:
            self._disrupt_now(pod, "DeletionByPodGC", "PodGC: node no longer exists")
            self.store.change("pods", pod, lambda pod: pod["status"].update(phase="Failed"))
            self.controller.reconcile()  # a finalizer keeps a real pod until its end has been counted
            self.store.remove("pods", pod)
            self.kubelet.kill(pod, "Error")

        self._run(lose)

    def remove_pod(self, pod: Json) -> None:
        """Take a pod's object away at once, without a trace (`--force --grace-period=0`)."""

        def remove() -> None:
            self.store.remove("pods", pod)
            self.kubelet.kill(pod, "Error")

        self._run(remove)

    def run_out_of_memory(self, pod: Json) -> None:
        """The kernel kills the container for its memory."""
        self._run(lambda: self.kubelet.kill(pod, "OOMKilled"))

    def compact(self) -> None:
        """Forget the history and end all watches: the next one is answered with 410."""
        self._run(self.store.compact)
        self.cut_watches()

    def cut_watches(self) -> None:
        """End every watch that is open."""
        self.faults.watch_generation += 1
        self._wake_soon()

    async def changed(self, seconds: float) -> None:
        """Return at the next change of any object, or after so many seconds; for the cluster's own loop."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            pass  # the caller looks again anyway

    def _disrupt(self, pod: Json, reason: str, message: str) -> None:
        self._run(lambda: self._disrupt_now(pod, reason, message))

    def _disrupt_now(self, pod: Json, reason: str, message: str) -> None:
        condition = {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message}
        self.store.change("pods", pod, lambda pod: merge_condition(pod, {**condition, "lastTransitionTime": now()}))

    def _run(self, act: Callable[[], object]) -> None:
        """Run something inside the cluster's loop, so that nothing of it happens halfway."""
        assert self._loop is not None

        async def call() -> None:
            act()

        asyncio.run_coroutine_threadsafe(call(), self._loop).result(20)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.store.listeners.append(self._wake_soon)
        config = uvicorn.Config(application(self), log_level="warning", lifespan="off", access_log=False)
        self._server = uvicorn.Server(config)
        ticking = asyncio.create_task(self._tick_for_ever())
        try:
            await self._server.serve(sockets=[self._socket])
        finally:
            ticking.cancel()

    async def _tick_for_ever(self) -> None:
        self._started.set()
        while True:
            self.controller.reconcile()
            self.kubelet.tick()
            await self.changed(TICK_SECONDS)

    def _wake_soon(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _write_kubeconfig(self) -> Path:
        path = self._directory / "kubeconfig"
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "stand-in",
            "clusters": [{"name": "stand-in", "cluster": {"server": self.url}}],
            "users": [{"name": "api", "user": {"token": self.token}}],
            "contexts": [
                {"name": "stand-in", "context": {"cluster": "stand-in", "user": "api"}},
            ],
        }
        path.write_text(yaml.safe_dump(document))
        return path


def _is_pod_of(change: Any, job: str) -> bool:
    if change.resource != "pods":
        return False
    owners = change.object["metadata"].get("ownerReferences") or [{}]
    return bool(owners[0].get("name") == job)

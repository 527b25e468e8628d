"""From a run that was accepted to the create of its Job, in Kubernetes mode against a stand-in API server.

No container is ever started; the runs of a round are canceled at its end, so that the stand-in stays small.
"""

import time
from typing import Self

from bench.stage import THREE_RESOURCES, Stage
from bench.table import Row, median, percentile
from tests.fakes.kubelet import Fault
from tests.fakes.kubernetes_api import Cluster

NAMESPACE = "terrakube"
RUNS_PER_ROUND = 16
_IDLE_SECONDS = 0.1
_LONGEST_SECONDS = 20.0


class JobCreate:
    """Each round: a run in each of some new workspaces, one after the other, with a pause in between."""

    name = "job"

    def __init__(self) -> None:
        self._cluster = Cluster(namespaces=(NAMESPACE,))
        self._since_answer: list[float] = []
        self._since_request: list[float] = []

    def __enter__(self) -> Self:
        self._cluster.__enter__()
        self._cluster.switch(Fault.SLOW_START)
        settings = {
            "Terraform__KubernetesJobs__Enabled": "true",
            "ExecutorEphemeralNamespace": NAMESPACE,
            "KUBECONFIG": str(self._cluster.kubeconfig_path),
        }
        self._stage = Stage(settings)
        self._stage.__enter__()
        self._rounds = 0
        self.round()  # connects, and warms up
        self._since_answer.clear()
        self._since_request.clear()
        return self

    def __exit__(self, *_: object) -> None:
        self._stage.__exit__()
        self._cluster.__exit__()

    def round(self) -> None:
        self._rounds += 1
        names = [f"job-{self._rounds}-{number}" for number in range(RUNS_PER_ROUND)]
        workspaces = [self._stage.workspace(name, THREE_RESOURCES) for name in names]
        time.sleep(_IDLE_SECONDS)
        runs = [self._measure(workspace) for workspace in workspaces]
        for run in runs:
            assert self._stage.client.decide(run, "cancelled").is_success
        for run in runs:
            self._stage.client.finished(run)

    def rows(self) -> list[Row]:
        after, requested = self._since_answer, self._since_request
        whole = f"from its request: p50 {median(requested):.1f}, p99 {percentile(requested, 99):.1f} ms"
        return [
            Row(
                figure=f"run accepted -> Job create at the stand-in, idle, {len(after)} runs, p50",
                value=median(after),
                unit="ms",
                bar=20,
                note=whole,
            ),
            Row(figure="the same, p99", value=percentile(after, 99), unit="ms", bar=100),
        ]

    def _measure(self, workspace: str) -> str:
        earlier = len(self._cluster.requests)
        begun = time.monotonic()
        run = self._stage.client.run(workspace)
        answered = time.monotonic()
        arrived = self._arrival(earlier)
        self._since_request.append((arrived - begun) * 1000)
        self._since_answer.append((arrived - answered) * 1000)
        time.sleep(_IDLE_SECONDS)
        return run

    def _arrival(self, earlier: int) -> float:
        """When the first create among the requests after so many earlier ones arrived."""
        until = time.monotonic() + _LONGEST_SECONDS
        while time.monotonic() < until:
            for (method, _), arrived in list(zip(self._cluster.requests, self._cluster.request_times, strict=False))[
                earlier:
            ]:
                if method == "POST":
                    return arrived
            time.sleep(0.002)
        raise AssertionError("no Job was asked for")

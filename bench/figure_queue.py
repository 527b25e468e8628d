"""Ten thousand queued runs in a thousand workspaces: how fast Jobs are created, and what the API is like meanwhile.

Kubernetes mode against the stand-in cluster of bench/load, which carries out all steps itself.
"""

import random
from typing import Self

from bench.crowd import LoadCluster, Requests
from bench.fill import Filling, fill
from bench.stage import Stage, memory_mib
from bench.table import Row, median, percentile

RUNS = 10_000
WORKSPACES = 1_000
#: Plan and apply of every run.
JOBS = 2 * RUNS
READS_PER_SECOND = 20.0
LONGEST_SECONDS = 900.0


class QueuedRuns:
    """Each round: a database with all runs queued, an API that starts on it, until every run has been carried out."""

    name = "queue"

    def __init__(self, runs: int = RUNS, workspaces: int = WORKSPACES) -> None:
        self._runs, self._workspaces = runs, workspaces
        self._rates: list[float] = []
        self._memory: list[float] = []
        self._reads: list[float] = []
        self._notes: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def round(self) -> None:
        stage = Stage()
        with LoadCluster(stage.directory) as cluster:
            stage.api.settings = cluster.settings
            with stage:
                self._measure(stage, cluster)

    def rows(self) -> list[Row]:
        about = f"{self._runs:,} queued runs in {self._workspaces:,} workspaces"
        return [
            Row(
                figure=f"{about}: Jobs created per second",
                value=median(self._rates),
                unit="/s",
                bar=100,
                more_is_better=True,
                note="; ".join(self._notes),
            ),
            Row(figure="the same: the API's memory, at the most (VmHWM)", value=max(self._memory), unit="MiB", bar=400),
            Row(
                figure="the same: GET of a run meanwhile, p99",
                value=percentile(self._reads, 99),
                unit="ms",
                bar=100,
                note=f"p50 {median(self._reads):.1f} ms, {len(self._reads)} reads, {READS_PER_SECOND:.0f}/s",
            ),
        ]

    def _measure(self, stage: Stage, cluster: LoadCluster) -> None:
        stage.api.stop()
        organization = stage.client.organization
        url = f"sqlite+aiosqlite:///{stage.api.data_dir / 'podform.db'}"
        fill(url, Filling(organization_id=organization, workspaces=self._workspaces, runs=self._runs))
        stage.api.start()
        numbers = random.Random(1).sample(range(1, self._runs + 1), min(1000, self._runs))
        targets = [stage.client.path(f"job/{number}") for number in numbers]
        reads = Requests(
            stage.api.url, targets, connections=2, per_second=READS_PER_SECOND, seconds=2 * LONGEST_SECONDS
        )
        jobs = 2 * self._runs
        counts = cluster.wait(lambda counts: counts["ended"] >= jobs, LONGEST_SECONDS)
        result = reads.stop()
        created = cluster.times()["created"]
        self._rates.append((len(created) - 1) / (created[-1] - created[0]))
        self._memory.append(memory_mib(stage.pid, "VmHWM"))
        self._reads += result["milliseconds"]
        assert set(result["statuses"]) == {"200"}, result["statuses"]
        self._notes.append(
            f"{counts['ended']} of {jobs} Jobs in {created[-1] - created[0]:.0f} s, {counts['repeated']} created twice"
        )

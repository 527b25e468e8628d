"""One scheduling decision with ten thousand runs waiting for a slot, against one with a hundred.

Kubernetes mode with a single slot: what is measured is the time from the answer to an executor's report until the
next Job is asked for, seen from the stand-in cluster.
"""

from typing import Self

from bench.crowd import LoadCluster
from bench.figure_http import database_url
from bench.fill import Filling, fill
from bench.stage import Stage
from bench.table import Row, median

FEW, MANY = 100, 10_000
RUNS_PER_WORKSPACE = 10
JOBS = 80
_LONGEST_SECONDS = 120.0


class SchedulingDecision:
    """Each round: a server with few queued runs and one with many, one after the other, in turn first."""

    name = "decision"

    def __init__(self, few: int = FEW, many: int = MANY) -> None:
        self._sizes = (few, many)
        self._rounds = 0
        self._milliseconds: dict[int, list[float]] = {few: [], many: []}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def round(self) -> None:
        self._rounds += 1
        for size in self._sizes if self._rounds % 2 else reversed(self._sizes):
            self._milliseconds[size] += self._measure(size)

    def rows(self) -> list[Row]:
        few, many = self._sizes
        small, large = median(self._milliseconds[few]), median(self._milliseconds[many])
        return [
            Row(
                figure=f"report of a step -> next Job asked for: {many:,} runs queued against {few:,}, one slot",
                value=large / small,
                unit="x",
                bar=1.5,
                note=f"medians {large:.1f} ms and {small:.1f} ms of {len(self._milliseconds[few])} decisions each",
            )
        ]

    def _measure(self, size: int) -> list[float]:
        stage = Stage()
        with LoadCluster(stage.directory) as cluster:
            stage.api.settings = {**cluster.settings, "Terraform__MaxConcurrentRuns": "1"}
            with stage:
                stage.api.stop()
                workspaces = size // RUNS_PER_WORKSPACE
                organization = stage.client.organization
                fill(database_url(stage), Filling(organization_id=organization, workspaces=workspaces, runs=size))
                stage.api.start()
                counts = cluster.wait(lambda counts: counts["created"] > JOBS, _LONGEST_SECONDS)
                assert counts["created"] > JOBS, counts
                times = cluster.times()
        # the first ones warm up; with one slot reports and creates take turns
        pairs = list(zip(times["finished"], times["created"][1:], strict=False))[JOBS // 4 : JOBS]
        return [(created - finished) * 1000 for finished, created in pairs]

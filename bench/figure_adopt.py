"""A killed API starts again: how long until it has taken up everything that is under way.

A thousand Jobs of the stand-in cluster, and a hundred local processes with real executors and a real terraform.
"""

import time
from collections.abc import Callable
from typing import Self

from bench.crowd import LoadCluster
from bench.figure_http import database_url
from bench.fill import Filling, fill
from bench.stage import Stage
from bench.table import Row, median

JOBS = 1_000
PROCESSES = 100
_START_SECONDS = 400.0
_WAITING = """
resource "terraform_data" "waits" {
  triggers_replace = timestamp()
  provisioner "local-exec" {
    interpreter = ["/bin/bash", "-c"]
    command     = "exec {never}<> <(:); until [ -e GATE ]; do read -r -t 0.5 -u $never; done; true"
  }
}
"""


class Adoption:
    """Each round: everything is under way, the API is killed and started; then all is let go, and must end well.

    Adopted means: the newly started API has answered the question of every attempt's executor whether to cancel
    (Jobs), has looked at every carrier (its log says so), and takes all their reports.
    """

    name = "adopt"

    def __init__(self, jobs: int = JOBS, processes: int = PROCESSES) -> None:
        self._counts = {"Jobs": jobs, "local processes": processes}
        self._seconds: dict[str, list[float]] = {"Jobs": [], "local processes": []}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def round(self) -> None:
        self._jobs()
        self._processes()

    def rows(self) -> list[Row]:
        bars = {"Jobs": 15, "local processes": 5}
        return [
            Row(
                figure=f"{self._counts[name]:,} {name} under way, kill -9, start -> all adopted",
                value=median(self._seconds[name]),
                unit="s",
                bar=bar,
                note="from the start of the process; then all were let go and ended well, each once",
            )
            for name, bar in bars.items()
        ]

    def _jobs(self) -> None:
        count, stage = self._counts["Jobs"], Stage()
        with LoadCluster(stage.directory) as cluster:
            stage.api.settings = cluster.settings
            with stage:
                stage.api.stop()
                filling = Filling(organization_id=stage.client.organization, workspaces=count, runs=count)
                fill(database_url(stage), filling)
                cluster.gate(is_open=False)
                stage.api.start()
                counts = cluster.wait(lambda counts: counts["claimed"] >= count, _START_SECONDS)
                assert counts["claimed"] == count, counts
                self._seconds["Jobs"].append(_killed_and_adopted(stage, count))
                cluster.gate(is_open=True)
                counts = cluster.wait(lambda counts: counts["ended"] >= 2 * count, _START_SECONDS)
                assert counts["ended"] == 2 * count, counts

    def _processes(self) -> None:
        count, stage = self._counts["local processes"], Stage()
        gate = stage.directory / "gate"
        with stage:
            files = {"main.tf": _WAITING.replace("GATE", str(gate))}
            runs = [stage.client.run(stage.workspace(f"waits-{number}", files)) for number in range(count)]
            _until(lambda: all(stage.client.job(run)["runStatus"] == "applying" for run in runs))
            self._seconds["local processes"].append(_killed_and_adopted(stage, count))
            gate.touch()
            _until(lambda: all(stage.client.job(run)["runStatus"] == "applied" for run in runs))


def _killed_and_adopted(stage: Stage, count: int) -> float:
    """Seconds from the start of the second process until it says that it has looked at all of them."""
    stage.api.kill()
    begun = time.monotonic()
    stage.api.start()
    output = stage.api.data_dir / f"api-{stage.api.starts}.out"
    _until(lambda: any("carriers_adopted" in line and str(count) in line for line in output.read_text().splitlines()))
    return time.monotonic() - begun


def _until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + _START_SECONDS
    while not condition():
        assert time.monotonic() < until, "it never came to that"
        time.sleep(0.05)

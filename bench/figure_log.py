"""How old a line is when a follower can read it: one run alone, and twenty runs that write at once.

A provisioner prints the wall clock; the follower reads by long-poll and looks at the same clock.
"""

import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Self

from bench.stage import Stage
from bench.table import Row, median, percentile

RUNS = 20
LINES = 40
PAUSE_SECONDS = 0.1  # between two lines of a run
_READY_SECONDS = 120.0

_STAMP = re.compile(rb"stamp (\d+)[.,](\d{6})\r?\n")
_CONFIGURATION = """
resource "terraform_data" "writes" {
  triggers_replace = timestamp()
  provisioner "local-exec" {
    interpreter = ["/bin/bash", "-c"]
    command     = <<-EOT
      exec {never}<> <(:)
      until [ -e GATE ]; do read -r -t 0.05 -u $never; done
      for line in {1..LINES}; do echo "stamp $EPOCHREALTIME"; read -r -t PAUSE -u $never; done
      true
    EOT
  }
}
"""


class LogFollowing:
    """Each round: one run alone, then all runs at once, behind a gate so that all write at the same time."""

    name = "log"

    def __init__(self) -> None:
        self._stage = Stage()
        self._alone: list[float] = []
        self._together: list[float] = []

    def __enter__(self) -> Self:
        self._stage.__enter__()
        self._gate = self._stage.directory / "gate"
        text = (
            _CONFIGURATION.replace("GATE", str(self._gate))
            .replace("LINES", str(LINES))
            .replace("PAUSE", str(PAUSE_SECONDS))
        )
        self._workspaces = [self._stage.workspace(f"writes-{n}", {"main.tf": text}) for n in range(RUNS)]
        return self

    def __exit__(self, *_: object) -> None:
        self._stage.__exit__()

    def round(self) -> None:
        self._alone += self._write(self._workspaces[:1])
        self._together += self._write(self._workspaces)

    def rows(self) -> list[Row]:
        return [
            Row(
                figure="log byte printed -> readable by a follower, one run, p50",
                value=median(self._alone),
                unit="ms",
                bar=300,
                note=f"p99 {percentile(self._alone, 99):.0f} ms, {len(self._alone)} lines",
            ),
            Row(
                figure=f"the same, {RUNS} runs writing, p99",
                value=percentile(self._together, 99),
                unit="ms",
                bar=1000,
                note=f"p50 {median(self._together):.0f} ms, {len(self._together)} lines, "
                f"{RUNS / PAUSE_SECONDS:.0f} lines/s",
            ),
        ]

    def _write(self, workspaces: list[str]) -> list[float]:
        """Ages in milliseconds of all lines of one run in each of these workspaces."""
        self._gate.unlink(missing_ok=True)
        client = self._stage.client
        runs = [client.run(workspace) for workspace in workspaces]
        with ThreadPoolExecutor(len(runs)) as followers:
            following = [followers.submit(self._ages, run, client.steps(run)[1]["id"]) for run in runs]
            for run in runs:
                client.wait(run, lambda job: job["runStatus"] == "applying", _READY_SECONDS)
            time.sleep(1.0)  # by now every provisioner waits at the gate
            self._gate.touch()
            ages = [age for future in following for age in future.result()]
        for run in runs:
            client.finished(run)
        assert len(ages) == LINES * len(runs), f"{len(ages)} of {LINES * len(runs)} lines came"
        return ages

    def _ages(self, run: str, step_id: str) -> list[float]:
        ages: list[float] = []
        rest = b""
        for piece in self._stage.follow(run, step_id):
            now = time.time()
            rest += piece
            ages += [(now - float(f"{whole.decode()}.{part.decode()}")) * 1000 for whole, part in _STAMP.findall(rest)]
            rest = rest[rest.rfind(b"\n") + 1 :]
        return ages

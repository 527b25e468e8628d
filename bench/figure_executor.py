"""An executor seen from outside: how long after its start terraform is started, and its memory beside terraform."""

import json
import time
from pathlib import Path
from typing import Self

from bench.stage import THREE_RESOURCES, Stage, children, memory_mib, started_at
from bench.table import Row, median, percentile

SLEEPING = {
    "main.tf": """
resource "terraform_data" "sleeps" {
  triggers_replace = timestamp()
  provisioner "local-exec" {
    command = "sleep 1"
  }
}
""",
}
_LOOK_SECONDS = 0.002
_LONGEST_SECONDS = 30.0


class ExecutorStart:
    """Each round watches the two executors of one run, then one that sleeps in an apply."""

    name = "executor"

    def __init__(self) -> None:
        self._stage = Stage()
        self._rounds = 0
        self._starts: list[float] = []
        self._reported: list[float] = []
        self._resident: list[float] = []
        self._peak: list[float] = []
        self._seen: set[Path] = set()

    def __enter__(self) -> Self:
        self._stage.__enter__()
        self._stage.run_to_its_end(self._stage.workspace("warm", THREE_RESOURCES))
        self._sleeping = self._stage.workspace("sleeps", SLEEPING)
        self._seen = set(self._processes())
        return self

    def __exit__(self, *_: object) -> None:
        self._stage.__exit__()

    def round(self) -> None:
        self._rounds += 1
        workspace = self._stage.workspace(f"start-{self._rounds}", THREE_RESOURCES)
        run = self._stage.client.run(workspace)
        for _ in range(2):
            executor = self._next_executor()
            self._starts.append((self._first_child(executor) - started_at(executor)) * 1000)
        self._stage.client.finished(run)
        self._measure_memory()

    def rows(self) -> list[Row]:
        return [
            Row(
                figure="executor start -> terraform started, claim included (plan and apply steps)",
                value=median(self._starts),
                unit="ms",
                bar=200,
                note=f"p99 {percentile(self._starts, 99):.0f} ms; start known to 10 ms",
            ),
            Row(
                figure="executor's memory beside a working terraform (VmRSS)",
                value=median(self._resident),
                unit="MiB",
                bar=40,
                note=f"peak so far (VmHWM) {median(self._peak):.1f} MiB",
            ),
        ]

    def _measure_memory(self) -> None:
        run = self._stage.client.run(self._sleeping)
        self._next_executor()
        executor = self._next_executor()
        _, apply = self._stage.client.steps(run)
        for piece in self._stage.follow(run, apply["id"]):
            if b"Provisioning" in piece:
                time.sleep(0.3)  # the state has been shipped once by now
                self._resident.append(memory_mib(executor))
                self._peak.append(memory_mib(executor, "VmHWM"))
        self._stage.client.finished(run)

    def _next_executor(self) -> int:
        """The pid of the next executor that the API starts."""
        until = time.monotonic() + _LONGEST_SECONDS
        while time.monotonic() < until:
            for path in set(self._processes()) - self._seen:
                self._seen.add(path)
                return int(json.loads(path.read_text())["pid"])
            time.sleep(_LOOK_SECONDS)
        raise AssertionError("no executor was started")

    def _first_child(self, executor: int) -> float:
        """When its first child, terraform, was seen: seconds since boot."""
        until = time.monotonic() + _LONGEST_SECONDS
        while time.monotonic() < until:
            if children(executor):
                return time.clock_gettime(time.CLOCK_BOOTTIME)
            time.sleep(_LOOK_SECONDS)
        raise AssertionError("the executor started no terraform")

    def _processes(self) -> list[Path]:
        return list(self._stage.api.data_dir.glob("work/attempts/*/process.json"))

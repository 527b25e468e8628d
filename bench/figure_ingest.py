"""Long logs: how fast the API takes them in, what that does to its memory, and a network that loses answers."""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any, Self

import orjson

from bench.crowd import ROOT, SECRET, LoadCluster
from bench.load.lossy import LossyRelay
from bench.stage import THREE_RESOURCES, Stage, memory_mib
from bench.table import Row, median
from common import environment

MEGABYTE = 1024**2
#: Enough for some seconds, so that it is sustained.
INGESTED = 400 * MEGABYTE
LOSSY = 200 * MEGABYTE
LOST = 0.2


class LogIngest:
    """Each round: a long log straight to the API, then one through a relay that loses every fifth answer.

    The sender is the executor's own log stream (bench/load/log_sender.py) under a step that it has claimed.
    """

    name = "ingest"

    def __init__(self) -> None:
        self._stage = Stage()
        self._cluster = LoadCluster(self._stage.directory, executors=False)
        self._rates: list[float] = []
        self._growth: list[float] = []
        self._lossy: list[float] = []
        self._exact: list[bool] = []
        self._lost = 0
        self._runs = 0

    def __enter__(self) -> Self:
        self._cluster.__enter__()
        self._stage.api.settings = self._cluster.settings
        self._stage.__enter__()
        self._send(16 * MEGABYTE, self._stage.api.url)  # warm: what is loaded and grown once is no growth
        return self

    def __exit__(self, *_: object) -> None:
        self._stage.__exit__()
        self._cluster.__exit__()

    def round(self) -> None:
        before = memory_mib(self._stage.pid)
        result = self._send(INGESTED, self._stage.api.url)
        self._growth.append(memory_mib(self._stage.pid, "VmHWM") - before)
        self._rates.append(result["bytes"] / 1e6 / result["seconds"])
        with LossyRelay(self._stage.api.url, LOST) as relay:
            self._lossy.append(self._send(LOSSY, relay.url)["seconds"])
            self._lost += relay.lost_answers

    def rows(self) -> list[Row]:
        exact = f"{sum(self._exact)} of {len(self._exact)} logs byte-exact by SHA-256"
        return [
            Row(
                figure="log ingest, sustained, one step",
                value=median(self._rates),
                unit="MB/s",
                bar=50,
                more_is_better=True,
                note=f"{INGESTED // MEGABYTE} MiB by the executor's own log stream; {exact}",
            ),
            Row(
                figure="the API's memory meanwhile: growth, at the most",
                value=max(self._growth),
                unit="MiB",
                bar=20,
            ),
            Row(
                figure=f"{LOSSY // MEGABYTE} MiB log, {LOST:.0%} of the answers lost: until delivered",
                value=median(self._lossy),
                unit="s",
                note=f"{self._lost} answers lost; {exact}",
            ),
        ]

    def _send(self, size: int, url: str) -> Mapping[str, Any]:
        """A step whose log of so many bytes is delivered to this URL and compared with what the API has then."""
        self._runs += 1
        stage = self._stage
        workspace = stage.workspace(f"long-{self._runs}", THREE_RESOURCES)
        run = stage.client.run(workspace)
        spool = stage.directory / "spool.log"
        spec = {"job": self._job(), "url": url, "bytes": size, "spool": str(spool)}
        done = subprocess.run(
            [sys.executable, "-m", "bench.load.log_sender"],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], environment.INTERNAL_SECRET: SECRET},
            input=json.dumps(spec).encode(),
            stdout=subprocess.PIPE,
            check=True,
            timeout=600,
        )
        spool.unlink()
        result: Mapping[str, Any] = json.loads(done.stdout)
        stage.client.finished(run)
        digest = hashlib.sha256()
        for piece in stage.follow(run, stage.client.steps(run)[0]["id"]):
            digest.update(piece)
        self._exact.append(digest.hexdigest() == result["sha256"])
        return result

    def _job(self) -> str:
        """The job data of the newest Job, once it has come."""
        until = time.monotonic() + 30
        while time.monotonic() < until:
            jobs = orjson.loads(self._cluster.ask("/apis/batch/v1/namespaces/terrakube/jobs"))["items"]
            if len(jobs) == self._runs:
                variables = jobs[-1]["spec"]["template"]["spec"]["containers"][0]["env"]
                return str(next(entry["value"] for entry in variables if entry["name"] == environment.JOB_DATA))
            time.sleep(0.05)
        raise AssertionError("no Job was created")

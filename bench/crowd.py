"""What the figures about large numbers share: the stand-in cluster, a filled database, programs that make load."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import httpx
import yaml

from bench.load.cluster import GATE_PATH, STATUS_PATH, TIMES_PATH
from tests.flow.server import ADMIN_TOKEN

ROOT = Path(__file__).parents[1]
NAMESPACE = "terrakube"
SECRET = "an-internal-secret-of-the-benchmark-0123456789"  # noqa: S105 - opens nothing but a scratch server


class LoadCluster:
    """The stand-in cluster in a process of its own."""

    def __init__(self, directory: Path, latency: float = 0.005, *, executors: bool = True) -> None:
        self._directory = directory
        self._options = ["--latency", str(latency), *([] if executors else ["--no-executors"])]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.load.cluster", *self._options],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "InternalSecret": SECRET},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"
        self.kubeconfig = self._directory / "kubeconfig"
        self.kubeconfig.write_text(_kubeconfig(self.url))
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    @property
    def settings(self) -> dict[str, str]:
        """The API's settings for this cluster."""
        return {
            "Terraform__KubernetesJobs__Enabled": "true",
            "ExecutorEphemeralNamespace": NAMESPACE,
            "InternalSecret": SECRET,
            "KUBECONFIG": str(self.kubeconfig),
        }

    def counts(self) -> dict[str, int]:
        """Jobs created, claimed, finished, ended so far."""
        counts: dict[str, int] = json.loads(self.ask(STATUS_PATH))
        return counts

    def times(self) -> dict[str, list[float]]:
        """When each Job was created and when each report was answered, on the monotonic clock."""
        times: dict[str, list[float]] = json.loads(self.ask(TIMES_PATH))
        return times

    def gate(self, *, is_open: bool) -> None:
        """Hold executors between claim and report, or let them go on."""
        self.ask(f"{GATE_PATH}?open={int(is_open)}")

    def wait(
        self, condition: Callable[[dict[str, int]], bool], seconds: float, look: Callable[[], None] = lambda: None
    ) -> dict[str, int]:
        """The counts as soon as they satisfy the condition, or after so long; `look` is called in between."""
        until = time.monotonic() + seconds
        while not condition(counts := self.counts()) and time.monotonic() < until:
            look()
            time.sleep(0.25)
        return counts

    def ask(self, path: str) -> bytes:
        """The body of a GET."""
        return httpx.get(f"{self.url}{path}", timeout=60).content


class Requests:
    """A program that sends requests (bench/load/requests.py) while the block lasts, or until its time is over."""

    def __init__(self, url: str, targets: Sequence[str], **options: Any) -> None:
        spec = {"url": url, "token": ADMIN_TOKEN, "targets": list(targets), **options}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.load.requests"],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"]},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(spec).encode())
        self._process.stdin.close()
        self._process.stdin = None

    def stop(self) -> Mapping[str, Any]:
        """End it and get its result."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        return self.result()

    def result(self) -> Mapping[str, Any]:
        """Its result when its time is over."""
        output, _ = self._process.communicate(timeout=300)
        found: Mapping[str, Any] = json.loads(output)
        return found


def _kubeconfig(url: str) -> str:
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "stand-in",
            "clusters": [{"name": "stand-in", "cluster": {"server": url}}],
            "users": [{"name": "api", "user": {"token": "stand-in-token"}}],
            "contexts": [{"name": "stand-in", "context": {"cluster": "stand-in", "user": "api"}}],
        }
    )

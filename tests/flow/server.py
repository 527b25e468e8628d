"""A real API process and a client for it: what flow tests drive. Nothing here knows the API's inside."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx

from common import archive
from tests import databases

ADMIN_TOKEN = "pft-flow-tests-admin-token"
FINAL = {"planned_and_finished", "applied", "discarded", "errored", "canceled", "force_canceled"}


@dataclass
class ApiProcess:
    """`python -m api` on a data directory; it can be killed and started again on the same port."""

    data_dir: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0
    await_ready: bool = True  # False: it only has to answer

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Self:
        """Start it and wait until it is ready."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self.starts += 1
        output = self.data_dir / f"api-{self.starts}.out"
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.data_dir),
            "PODFORM_ADMIN_TOKEN": ADMIN_TOKEN,
            "PODFORM_DATABASE_URL": databases.url_for(self.data_dir),
            **self.settings,
        }
        with output.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "api", "--port", str(self.port), "--data-dir", str(self.data_dir)],
                env=environment,
                cwd=self.data_dir,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        self._await_ready(output)
        return self

    def kill(self) -> None:
        """SIGKILL, as a crash would end it."""
        self._signal(signal.SIGKILL)

    def stop(self) -> None:
        """An orderly end."""
        self._signal(signal.SIGTERM)

    def output(self) -> str:
        """All that it has printed, over all starts."""
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.data_dir.glob("api-*.out")))

    def end(self) -> None:
        """Stop it if it runs, and whatever it left running below its data directory."""
        if self.process is not None and self.process.poll() is None:
            self.stop()
        for path in self.data_dir.glob("work/attempts/*/process.json"):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(json.loads(path.read_text())["pid"], signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(30)

    def _await_ready(self, output: Path) -> None:
        assert self.process is not None
        until = time.monotonic() + 30
        while time.monotonic() < until:
            assert self.process.poll() is None, f"the API ended at start:\n{output.read_text()}"
            if found := re.search(r"serving on http://[\d.]+:(\d+)", output.read_text()):
                self.port = int(found[1])
                try:
                    if httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200 or not self.await_ready:
                        return
                except httpx.TransportError:
                    pass
            time.sleep(0.02)
        raise AssertionError(f"the API did not become ready:\n{output.read_text()}")


class Client:
    """The public API as a user's program sees it; survives outages of the server by trying again."""

    def __init__(self, url: str, token: str = ADMIN_TOKEN) -> None:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/vnd.api+json"}
        self.http = httpx.Client(base_url=url, headers=headers, timeout=40)
        self.organization = ""

    def call(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """One request, repeated while the server is away; the caller sees to it that repeating is harmless."""
        until = time.monotonic() + 60
        while True:
            try:
                return self.http.request(method, path, **arguments)
            except httpx.TransportError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)

    def ok(self, method: str, path: str, **arguments: Any) -> Any:
        """The JSON of a request that must succeed."""
        answer = self.call(method, path, **arguments)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def make_organization(self, name: str = "acme") -> str:
        """An organization; the client uses it from now on."""
        body = {"data": {"type": "organization", "attributes": {"name": name}}}
        self.organization = self.ok("POST", "/api/v1/organization", json=body)["data"]["id"]
        return self.organization

    def make_workspace(self, name: str = "site", **attributes: Any) -> str:
        """A workspace of the organization."""
        body = {"data": {"type": "workspace", "attributes": {"name": name, **attributes}}}
        return str(self.ok("POST", self.path("workspace"), json=body)["data"]["id"])

    def upload(self, workspace_id: str, files: Mapping[str, str], scratch: Path) -> str:
        """A configuration of these files."""
        scratch.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (scratch / name).parent.mkdir(parents=True, exist_ok=True)
            (scratch / name).write_text(text)
        configurations = self.path(f"workspace/{workspace_id}/configuration")
        body = {"data": {"type": "configuration", "attributes": {}}}
        configuration_id = self.ok("POST", configurations, json=body)["data"]["id"]
        content = archive.pack(scratch, sorted(files))
        self.ok("PUT", f"{configurations}/{configuration_id}/content", content=content)
        return str(configuration_id)

    def set_variable(self, workspace_id: str, key: str, value: str, **attributes: Any) -> None:
        """A variable of the workspace; category TERRAFORM unless said otherwise."""
        fields = {"key": key, "value": value, "category": "TERRAFORM", **attributes}
        body = {"data": {"type": "variable", "attributes": fields}}
        self.ok("POST", self.path(f"workspace/{workspace_id}/variable"), json=body)

    def run(self, workspace_id: str, template: str = "Plan and apply", **attributes: Any) -> str:
        """A run; its number."""
        body = {
            "data": {
                "type": "job",
                "attributes": {"templateReference": template, **attributes},
                "relationships": {"workspace": {"data": {"type": "workspace", "id": workspace_id}}},
            }
        }
        return str(self.ok("POST", self.path("job"), json=body)["data"]["id"])

    def job(self, number: str) -> dict[str, Any]:
        """A run's attributes."""
        attributes: dict[str, Any] = self.ok("GET", self.path(f"job/{number}"))["data"]["attributes"]
        return attributes

    def steps(self, number: str) -> list[dict[str, Any]]:
        """A run's steps: their attributes with their ids, by number."""
        document = self.ok("GET", self.path(f"job/{number}/step"))
        steps = [{"id": item["id"], **item["attributes"]} for item in document["data"]]
        return sorted(steps, key=lambda step: int(step["stepNumber"]))

    def decide(self, number: str, status: str, **attributes: Any) -> httpx.Response:
        """approved, rejected or cancelled."""
        body = {"data": {"type": "job", "id": number, "attributes": {"status": status, **attributes}}}
        return self.call("PATCH", self.path(f"job/{number}"), json=body)

    def wait(self, number: str, condition: Callable[[dict[str, Any]], bool], seconds: float = 60) -> dict[str, Any]:
        """The run's attributes as soon as they satisfy the condition."""
        until = time.monotonic() + seconds
        while True:
            job = self.job(number)
            if condition(job):
                return job
            assert job["runStatus"] not in FINAL, f"the run ended: {job}"
            assert time.monotonic() < until, f"the run did not get there in {seconds} s: {job}, {self.steps(number)}"
            time.sleep(0.05)

    def finished(self, number: str, seconds: float = 60) -> dict[str, Any]:
        """The run's attributes once it has ended."""
        return self.wait(number, lambda job: job["runStatus"] in FINAL, seconds)

    def log(self, number: str, step_id: str) -> bytes:
        """A step's whole log."""
        return self.call("GET", self._log_path(number, step_id)).content

    def state(self, workspace_id: str) -> dict[str, Any]:
        """The workspace's current state."""
        path = f"/tfstate/v1/organization/{self.organization}/workspace/{workspace_id}/state/terraform.tfstate"
        state: dict[str, Any] = self.ok("GET", path)
        return state

    def path(self, rest: str) -> str:
        """A path below the organization."""
        return f"/api/v1/organization/{self.organization}/{rest}"

    def _log_path(self, number: str, step_id: str) -> str:
        return f"/tfoutput/v1/organization/{self.organization}/job/{number}/step/{step_id}"

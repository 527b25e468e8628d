"""Upgrade with runs in flight: an old executor speaks to the new API, an old data directory is served by it."""

import asyncio
import shutil
import socket
import stat
import sys
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import uvicorn

from api import app, settings_source
from api.launchers.local_process import LocalProcessLauncher
from common import archive
from common.launcher_port import Launcher
from tests.flow.server import ApiProcess, Client
from tests.integration.api_in_process import bearer, document, to_workspace

OLD = Path(__file__).parent.parent / "old"
ADMIN, SECRET = "admin-token-of-the-upgrade", "internal-secret-of-the-upgrade"
APPLIED = """
resource "terraform_data" "first" { input = "one" }
resource "terraform_data" "second" {
  depends_on = [terraform_data.first]
  provisioner "local-exec" { command = "echo the old one works; sleep 1" }
}
"""
SLOW = """
resource "terraform_data" "slow" {
  provisioner "local-exec" { command = "echo now; sleep 60" }
}
"""


def old_python(directory: Path) -> Path:
    """A `python` that carries out `-I -m executor` with the old packages, whatever is installed."""
    packages = directory / "old"
    with tarfile.open(OLD / "executor-acd3a3f.tar.gz") as packed:
        packed.extractall(packages, filter="data")
    boot = directory / "boot.py"
    boot.write_text(
        f"import runpy, sys\nsys.path.insert(0, {str(packages)!r})\nimport executor\n"
        f"assert executor.__file__.startswith({str(packages)!r})\n"
        "runpy.run_module('executor', run_name='__main__', alter_sys=True)\n"
    )
    shim = directory / "python"
    shim.write_text(f'#!/bin/sh\nexec {sys.executable} -I {boot} "$@"\n')
    shim.chmod(stat.S_IRWXU)
    return shim


@asynccontextmanager
async def new_api(directory: Path) -> AsyncIterator[httpx.AsyncClient]:
    """The new API on a real socket, whose process launcher starts old executors."""
    environment = {"PODFORM_DATA_DIR": str(directory / "data"), "PODFORM_ADMIN_TOKEN": ADMIN, "InternalSecret": SECRET}
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        server = app.build(settings_source.read(environment, {}, None), url)
        cast("dict[str, Launcher]", server.ports.launchers)["process"] = LocalProcessLauncher(
            work_root=directory / "work", internal_secret=SECRET, python=str(old_python(directory))
        )
        http = uvicorn.Server(uvicorn.Config(server.app, log_config=None, lifespan="off", timeout_graceful_shutdown=2))
        async with server.running():
            serving = asyncio.create_task(http.serve(sockets=[listening]))
            async with httpx.AsyncClient(base_url=url, headers=bearer(ADMIN), timeout=60) as client:
                yield client
            http.should_exit = True
            await serving


class Story:
    """A workspace, and runs of it."""

    def __init__(self, client: httpx.AsyncClient, scratch: Path) -> None:
        self._client, self._scratch = client, scratch
        self.base = self.workspace = ""

    async def post(self, path: str, kind: str, attributes: Any = None, **data: Any) -> dict[str, Any]:
        """Create something."""
        answer = await self._client.post(path, json=document(kind, attributes, **data))
        assert answer.is_success, answer.text
        made: dict[str, Any] = answer.json()["data"]
        return made

    async def begin(self) -> None:
        """An organization with a workspace that has a sensitive variable."""
        self.base = (
            f"/api/v1/organization/{(await self.post('/api/v1/organization', 'organization', {'name': 'a'}))['id']}"
        )
        self.workspace = (await self.post(f"{self.base}/workspace", "workspace", {"name": "w"}))["id"]

    async def run(self, text: str) -> str:
        """A run of this configuration; its path."""
        self._scratch.mkdir(exist_ok=True)
        (self._scratch / "main.tf").write_text(text)
        configurations = f"{self.base}/workspace/{self.workspace}/configuration"
        configuration = (await self.post(configurations, "configuration"))["id"]
        content = archive.pack(self._scratch, ["main.tf"])
        assert (await self._client.put(f"{configurations}/{configuration}/content", content=content)).is_success
        job = await self.post(f"{self.base}/job", "job", {}, relationships=to_workspace(self.workspace))
        return f"{self.base}/job/{job['id']}"

    async def log(self, run: str, index: int) -> bytes:
        """The log of a step of a run."""
        steps = (await self._client.get(f"{run}/step")).json()["data"]
        path = f"{run.replace('/api/v1/', '/tfoutput/v1/')}/step/{steps[index]['id']}"
        return (await self._client.get(path)).content

    async def reaches(self, run: str, *statuses: str) -> dict[str, Any]:
        """The run's attributes once it has one of these statuses."""
        async with asyncio.timeout(60):
            while True:
                attributes: dict[str, Any] = (await self._client.get(run)).json()["data"]["attributes"]
                if attributes["runStatus"] in statuses:
                    return attributes
                assert attributes["runStatus"] not in {"errored", "canceled"}, attributes
                await asyncio.sleep(0.1)

    async def says(self, run: str, text: bytes) -> None:
        """Wait until the log of the run's last step says so."""
        async with asyncio.timeout(60):
            while text not in await self.log(run, -1):  # noqa: ASYNC110 - over HTTP there is nothing else to wait for
                await asyncio.sleep(0.1)

    async def cancel(self, run: str) -> None:
        """Cancel a run."""
        body = document("job", {"status": "cancelled"}, id=run.rsplit("/", 1)[1])
        assert (await self._client.patch(run, json=body)).is_success

    async def state(self) -> dict[str, Any]:
        """The workspace's state."""
        base = self.base.replace("/api/v1/", "/tfstate/v1/")
        state: dict[str, Any] = (
            await self._client.get(f"{base}/workspace/{self.workspace}/state/terraform.tfstate")
        ).json()
        return state


def test_an_old_executor_carries_out_whole_steps_for_the_new_api(tmp_path: Path, terraform: str) -> None:
    """Claim, configuration, log, plan, states, heartbeat, cancel and report, as that version does them."""

    async def scenario() -> None:
        async with new_api(tmp_path) as client:
            story = Story(client, tmp_path / "tf")
            await story.begin()
            applied = await story.run(APPLIED)
            await story.reaches(applied, "applied")
            assert b"the old one works" in await story.log(applied, -1)
            assert len((await story.state())["resources"]) == 2
            canceled = await story.run(SLOW)
            await story.reaches(canceled, "applying")
            await story.says(canceled, b"now")
            await story.cancel(canceled)
            await story.reaches(canceled, "canceled")

    asyncio.run(scenario())


def test_an_old_data_directory_is_served_with_its_runs(tmp_path: Path, terraform: str) -> None:
    """What waited for approval is approved and applied, what waited behind it follows, what applied is not known."""
    data = tmp_path / "data"
    with tarfile.open(OLD / "data-acd3a3f.tar.gz") as packed:
        packed.extractall(data, filter="data")
    api = ApiProcess(data).start()
    client = Client(api.url)
    try:
        (organization,) = client.ok("GET", "/api/v1/organization")["data"]
        client.organization = organization["id"]
        workspaces = {
            item["attributes"]["name"]: item["id"] for item in client.ok("GET", client.path("workspace"))["data"]
        }
        lost = client.finished("3")
        assert client.job("1")["runStatus"] == "planned"
        assert client.decide("1", "approved").is_success
        assert client.finished("1")["runStatus"] == "applied"
        followed = client.finished("2")
    finally:
        client.http.close()
        api.end()
        shutil.rmtree(data / "work", ignore_errors=True)

    assert (lost["runStatus"], lost["failureReason"]) == ("errored", "outcome_unknown")
    assert followed["runStatus"] == "planned_and_finished", followed
    assert set(workspaces) == {"waits", "busy"}

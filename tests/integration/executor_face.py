"""The whole API in this process with a carrier that only takes note, and an executor written by hand.

What a real executor would say is said here request by request, so that a test can say the wrong thing.
"""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import httpx

from api import app, settings_source
from api.services.ports import Ports
from common import executor_api, step_report
from common.executor_api import ClaimRequest
from common.job_data import JobData
from common.launcher_port import Carried, CarrierObservation, CarrierObserver, CarrierPhase, Launcher, LaunchOrder
from common.step_report import Outcome, PlanFacts, StepReport
from tests import databases
from tests.integration.api_in_process import archive, bearer, document, to_workspace

ADMIN = "admin-token-of-the-face"
SECRET = "internal-secret-of-the-face"
LINEAGE = "2a1cc4d2-0000-0000-0000-000000000001"
NONCE = "nonce-of-sixteen-or-more"


@dataclass
class NotedCarrier:
    """A carrier that starts nothing: tests play what it carries and say what became of it."""

    orders: asyncio.Queue[LaunchOrder] = field(default_factory=asyncio.Queue)
    stopped: list[tuple[str, bool]] = field(default_factory=list)
    observer: CarrierObserver | None = None
    kind = "process"

    async def start(self, observer: CarrierObserver) -> None:
        """Remember whom to tell."""
        self.observer = observer

    async def launch(self, order: LaunchOrder) -> Carried:
        """Take note of the order."""
        self.orders.put_nowait(order)
        return Carried(uid=f"uid-of-{order.name}")

    async def stop(self, name: str, *, force: bool) -> None:
        """Take note."""
        self.stopped.append((name, force))

    async def look(self, names: Sequence[str]) -> Mapping[str, CarrierObservation]:
        """All of them run."""
        return {name: CarrierObservation(name=name, phase=CarrierPhase.RUNNING) for name in names}

    async def close(self) -> None:
        """Nothing to close."""

    async def lose(self, name: str) -> None:
        """Tell that an attempt is gone without a report."""
        assert self.observer is not None
        await self.observer.observed(CarrierObservation(name=name, phase=CarrierPhase.ENDED, exit_code=-9))


@dataclass
class Executor:
    """The executor of one attempt."""

    http: httpx.AsyncClient
    job: JobData
    token: str = ""

    @property
    def name(self) -> str:
        """The attempt's name."""
        return f"{self.job.step_id}-{self.job.attempt}"

    async def call(self, method: str, endpoint: str, **arguments: Any) -> httpx.Response:
        """One request with this attempt's token."""
        headers = {**(bearer(self.token) if self.token else {}), **arguments.pop("headers", {})}
        path = executor_api.step_path(arguments.pop("step_id", self.job.step_id), endpoint)
        return await self.http.request(method, path, headers=headers, **arguments)

    async def claim(self, *, secret: str = SECRET, nonce: str = NONCE, **wrong: Any) -> httpx.Response:
        """Claim; `wrong` replaces what the job data says (claim, attempt, step_id)."""
        step_id = wrong.get("step_id", self.job.step_id)
        attempt, claim = wrong.get("attempt", self.job.attempt), wrong.get("claim", self.job.claim)
        request = ClaimRequest(attempt=attempt, claim=claim, nonce=nonce)
        proof = executor_api.claim_proof(secret, step_id=step_id, attempt=attempt, claim=claim, nonce=nonce)
        answer = await self.http.post(
            executor_api.step_path(step_id, executor_api.CLAIM),
            json=request.to_json(),
            headers={executor_api.PROOF_HEADER: proof},
        )
        if answer.is_success:
            self.token = answer.json()["token"]
        return answer

    async def put_state(
        self, serial: int, *, lineage: str = LINEAGE, final: bool = False, **wrong: Any
    ) -> httpx.Response:
        """Ship a state; `wrong` replaces its content, md5 or the announced serial."""
        content = wrong.get("content", state(serial, lineage=lineage))
        headers = {
            executor_api.SERIAL_HEADER: str(wrong.get("announced", serial)),
            executor_api.LINEAGE_HEADER: lineage,
            executor_api.MD5_HEADER: wrong.get("md5", hashlib.md5(content, usedforsecurity=False).hexdigest()),
            **({executor_api.FINAL_HEADER: "true"} if final else {}),
        }
        return await self.call("PUT", executor_api.STATE, content=content, headers=headers)

    async def log(self, offset: int, content: bytes) -> httpx.Response:
        """Append to the log."""
        return await self.call("POST", executor_api.LOG, params={"offset": offset}, content=content)

    async def heartbeat(self, wait: int = 0) -> httpx.Response:
        """Ask for a cancel."""
        return await self.call("GET", executor_api.HEARTBEAT, params={"wait": wait})

    async def put_artifact(self, name: str, content: bytes, sha256: str = "") -> httpx.Response:
        """Leave an artifact."""
        headers = {executor_api.SHA256_HEADER: sha256 or hashlib.sha256(content).hexdigest()}
        return await self.call("PUT", f"{executor_api.ARTIFACTS}/{name}", content=content, headers=headers)

    async def get_artifact(self, name: str) -> httpx.Response:
        """Read an artifact."""
        return await self.call("GET", f"{executor_api.ARTIFACTS}/{name}")

    async def finish(self, report: StepReport) -> httpx.Response:
        """Report."""
        return await self.call("POST", executor_api.FINISH, json=step_report.to_json(report))


@dataclass
class Face:
    """The API, its admin's client and its carrier."""

    http: httpx.AsyncClient
    ports: Ports
    carrier: NotedCarrier
    workspace: str = ""  # its path

    async def make_workspace(self, name: str = "site") -> str:
        """An organization with a workspace and a configuration; the workspace's path."""
        made = await self.post("/api/v1/organization", "organization", {"name": f"acme-{name}"})
        path = f"/api/v1/organization/{made['id']}/workspace"
        self.workspace = f"{path}/{(await self.post(path, 'workspace', {'name': name}))['id']}"
        configuration = await self.post(f"{self.workspace}/configuration", "configuration", {})
        answer = await self.http.put(
            f"{self.workspace}/configuration/{configuration['id']}/content", content=archive(), headers=bearer(ADMIN)
        )
        assert answer.is_success, answer.text
        return self.workspace

    async def post(self, path: str, kind: str, attributes: Mapping[str, Any], **data: Any) -> dict[str, Any]:
        """Create something."""
        answer = await self.http.post(path, json=document(kind, attributes, **data), headers=bearer(ADMIN))
        assert answer.is_success, answer.text
        created: dict[str, Any] = answer.json()["data"]
        return created

    async def run(self, template: str = "Plan and apply") -> str:
        """A run of the workspace; its path."""
        jobs = self.workspace.split("/workspace/")[0] + "/job"
        relationships = to_workspace(self.workspace.rsplit("/", 1)[1])
        job = await self.post(jobs, "job", {"templateReference": template}, relationships=relationships)
        return f"{jobs}/{job['id']}"

    async def executor(self) -> Executor:
        """The executor of the next attempt that the scheduler launches."""
        order = await asyncio.wait_for(self.carrier.orders.get(), 10)
        return Executor(self.http, order.job_data)

    async def claimed(self) -> Executor:
        """The same, with its step claimed."""
        executor = await self.executor()
        answer = await executor.claim()
        assert answer.is_success, answer.text
        return executor

    async def applying(self) -> tuple[str, Executor]:
        """A run whose plan is done and whose apply is claimed: its path, and the apply's executor."""
        run = await self.run()
        plan = await self.claimed()
        assert (await plan.put_artifact(executor_api.PLAN_FILE, b"the plan")).is_success
        assert (await plan.finish(planned())).is_success
        return run, await self.claimed()

    async def attributes(self, path: str) -> dict[str, Any]:
        """The attributes of a resource."""
        answer = await self.http.get(path, headers=bearer(ADMIN))
        assert answer.is_success, answer.text
        found: dict[str, Any] = answer.json()["data"]["attributes"]
        return found

    async def cancel(self, run: str, **attributes: Any) -> httpx.Response:
        """Cancel a run."""
        body = document("job", {"status": "cancelled", **attributes}, id=run.rsplit("/", 1)[1])
        return await self.http.patch(run, json=body, headers=bearer(ADMIN))

    async def step_log(self, run: str, step_id: str) -> bytes:
        """A step's log as people read it."""
        path = run.replace("/api/v1/", "/tfoutput/v1/") + f"/step/{step_id}"
        answer = await self.http.get(path, headers=bearer(ADMIN))
        assert answer.is_success, answer.text
        return answer.content


def state(serial: int, *, lineage: str = LINEAGE, note: str = "") -> bytes:
    """A small state file."""
    return json.dumps({"version": 4, "serial": serial, "lineage": lineage, "outputs": {}, "note": note}).encode()


def planned() -> StepReport:
    """The report of a plan with changes."""
    facts = PlanFacts(
        plan_sha256="p" * 64,
        configuration_sha256="c" * 64,
        lock_file_sha256="",
        engine="terraform",
        engine_version="1.11.4",
        platform="linux_amd64",
    )
    return StepReport(outcome=Outcome.FINISHED, has_changes=True, plan=facts, message="planned")


def done() -> StepReport:
    """The report of an apply."""
    return StepReport(outcome=Outcome.FINISHED, message="applied")


def code(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of a refusal; its message is a sentence."""
    body = answer.json()
    assert body["message"], body
    return answer.status_code, body["code"]


@asynccontextmanager
async def face_in(directory: Path, **environment: str) -> AsyncIterator[Face]:
    """A face on a data directory."""
    url = await asyncio.to_thread(databases.url_for, directory)
    read = settings_source.read(
        {
            "PODFORM_DATABASE_URL": url,
            "PODFORM_DATA_DIR": str(directory),
            "PODFORM_ADMIN_TOKEN": ADMIN,
            "InternalSecret": SECRET,
            **environment,
        },
        {},
        None,
    )
    server = app.build(read, "http://podform")
    carrier = NotedCarrier()
    cast("dict[str, Launcher]", server.ports.launchers)["process"] = carrier
    transport = httpx.ASGITransport(server.app)
    async with server.running(), httpx.AsyncClient(transport=transport, base_url="http://podform", timeout=60) as http:
        face = Face(http, server.ports, carrier)
        yield face


def tell(directory: Path, story: Callable[[Face], Awaitable[None]], **environment: str) -> None:
    """Run a story on a fresh face that has a workspace."""

    async def whole() -> None:
        async with face_in(directory, **environment) as face:
            await face.make_workspace()
            await story(face)

    asyncio.run(whole())

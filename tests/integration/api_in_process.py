"""The API's HTTP side in this process on a real SQLite database, for tests of the public faces.

Nothing launches: tests move runs by the same pure functions and queries that the services use.
"""

import asyncio
import io
import socket
import tarfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette

from api.bells import LocalBells
from api.domain import run_transitions
from api.domain.entities import RunRecord
from api.persistence.artifacts import SealedArtifacts
from api.persistence.codes import DerivedCodes
from api.persistence.database import SqliteDatabase
from api.persistence.logs import FileLogs
from api.persistence.postgres import PostgresDatabase
from api.persistence.rotation import KeyRotation
from api.persistence.sealing import Sealer
from api.routes import public
from api.services import tokens, transitions
from api.services.ports import Ports, Rules
from common.ids import new_id
from common.step_report import StepReport
from tests import databases

ADMIN = "admin-token-of-the-tests"


@dataclass(frozen=True, slots=True)
class Api:
    """A composed API and a client of its admin."""

    app: Starlette
    ports: Ports
    client: httpx.AsyncClient

    async def create(self, path: str, kind: str, attributes: Any = None, **data: Any) -> dict[str, Any]:
        """Create a resource that must be acceptable; the resource object."""
        answer = await self.client.post(path, json=document(kind, attributes, **data))
        assert answer.status_code == 201, answer.text
        created: dict[str, Any] = answer.json()["data"]
        return created

    async def workspace(self, name: str = "w") -> str:
        """A fresh organization with a workspace; the workspace's path."""
        organization = await self.create("/api/v1/organization", "organization", {"name": new_id("organization")})
        path = f"/api/v1/organization/{organization['id']}/workspace"
        return f"{path}/{(await self.create(path, 'workspace', {'name': name}))['id']}"

    async def uploaded(self, workspace: str) -> str:
        """A configuration of the workspace with its content; its id."""
        configuration = await self.create(f"{workspace}/configuration", "configuration", {})
        answer = await self.client.put(f"{workspace}/configuration/{configuration['id']}/content", content=archive())
        assert answer.status_code == 200, answer.text
        return str(configuration["id"])

    async def job(self, workspace: str, **attributes: Any) -> dict[str, Any]:
        """A new job of the workspace, which has a configuration; the resource object."""
        base, _, workspace_id = workspace.partition("/workspace/")
        return await self.create(f"{base}/job", "job", attributes, relationships=to_workspace(workspace_id))

    async def move(self, run_id: str, *moves: Callable[[RunRecord, datetime], RunRecord]) -> None:
        """Move a run as the services would."""
        for move in moves:
            now = self.ports.clock()
            async with self.ports.database.writing() as tx:
                record = await tx.record(run_id)
                assert record is not None
                moved = move(record, now)
                await transitions.save(tx, record, moved, now)
            transitions.tell(self.ports, moved)

    async def running_step(self, job: Mapping[str, Any]) -> str:
        """Let the job's first step run; its id."""
        step_id = str(job["relationships"]["step"]["data"][0]["id"])
        await self.move(
            job["attributes"]["runId"],
            run_transitions.begin,
            lambda record, now: run_transitions.launching(record, step_id, now),
            lambda record, now: run_transitions.claimed(record, step_id, now),
        )
        return step_id

    async def finish(self, job: Mapping[str, Any], step_id: str, report: StepReport) -> None:
        """End the job's step with a report."""
        await self.move(
            job["attributes"]["runId"], lambda record, now: run_transitions.reported(record, step_id, report, now)
        )


def document(kind: str, attributes: Any = None, **data: Any) -> dict[str, Any]:
    """A JSON:API document."""
    return {"data": {"type": kind, "attributes": attributes or {}, **data}}


def to_workspace(workspace_id: str) -> dict[str, Any]:
    """The relationships of a new job."""
    return {"workspace": {"data": {"type": "workspace", "id": workspace_id}}}


def archive() -> bytes:
    """A small configuration."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as packed:
        content = b'resource "terraform_data" "x" {}\n'
        member = tarfile.TarInfo("main.tf")
        member.size = len(content)
        packed.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def bearer(token: str) -> dict[str, str]:
    """The header of a token."""
    return {"Authorization": f"Bearer {token}"}


@asynccontextmanager
async def api_in(directory: Path, **rules: Any) -> AsyncIterator[Api]:
    """A composed API on a database of its own below the directory."""
    sealer = Sealer(bytes(32))
    url = await asyncio.to_thread(databases.url_for, directory)
    database = PostgresDatabase(url, sealer) if url else SqliteDatabase(directory / "podform.db", sealer)
    artifacts = SealedArtifacts(directory / "artifacts", sealer)
    ports = Ports(
        database=database,
        keys=KeyRotation(database, artifacts, sealer),
        artifacts=artifacts,
        logs=FileLogs(directory / "logs"),
        bells=LocalBells(),
        codes=DerivedCodes(sealer),
        clock=lambda: datetime.now(UTC),
        launchers={},
        rules=Rules(internal_secret="secret-of-the-tests", api_url="http://127.0.0.1:1", **rules),
    )
    await database.prepare()
    await tokens.ensure_admin_token(ports, ADMIN)
    app = Starlette(
        routes=public.routes(ports),
        middleware=public.middleware(ports),
        exception_handlers=public.exception_handlers(),
    )
    transport = httpx.ASGITransport(app)
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://podform", headers=bearer(ADMIN)) as client:
            yield Api(app, ports, client)
    finally:
        await database.close()


@asynccontextmanager
async def listening(app: Starlette) -> AsyncIterator[str]:
    """The application behind a real HTTP server on loopback; its URL."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=2))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:  # noqa: ASYNC110 - uvicorn offers nothing else to wait for
            await asyncio.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving

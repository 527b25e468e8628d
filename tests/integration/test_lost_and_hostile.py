"""What hostile or lost executors must not be able to do to the API, on real services and a real SQLite file."""

import asyncio
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from api.domain.entities import Attempt, AttemptState, Run, Workspace
from api.domain.permissions import Principal
from api.routes import executor
from api.services import claim_step, receive_state, settle_lost_steps, start_next_step, workspaces
from api.services.errors import RefusedError
from api.services.ports import Ports
from api.services.receive_state import ShippedState
from api.services.workspaces import LockChange
from common import executor_api
from common.executor_api import ClaimRequest, Refusal
from common.ids import attempt_name, new_id
from common.launcher_port import CarrierObservation, CarrierPhase
from common.statuses import RunStatus
from tests.integration.api_in_process import Api, api_in

NONCE = "a-nonce-of-an-executor"


@dataclass(frozen=True)
class Claimed:
    """A claimed apply."""

    step_id: str
    token: str
    run_id: str
    workspace_id: str


async def claimed(api: Api, workspace: str) -> Claimed:
    """A run that destroys in one step, begun and claimed."""
    job = await api.job(workspace, templateReference="Destroy")
    workspace_id = workspace.rpartition("/")[2]
    (order,) = await start_next_step.start_next_step(api.ports, workspace_id)
    data = order.job_data
    proof = executor_api.claim_proof(
        api.ports.rules.internal_secret, step_id=data.step_id, attempt=1, claim=data.claim, nonce=NONCE
    )
    request = ClaimRequest(attempt=1, claim=data.claim, nonce=NONCE)
    answer = await claim_step.claim_step(api.ports, data.step_id, request, proof)
    return Claimed(data.step_id, answer.token, job["attributes"]["runId"], workspace_id)


def shipped(serial: int, resources: object = ()) -> ShippedState:
    """A state as an executor ships it."""
    document = {"version": 4, "serial": serial, "lineage": "l-1", "resources": resources}
    content = json.dumps(document).encode()
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return ShippedState(content=content, serial=serial, lineage="l-1", md5=md5, final=False)


async def vanish(ports: Ports, one: Claimed) -> None:
    """The carrier says that the executor is gone."""
    seen = CarrierObservation(name=attempt_name(one.step_id, 1), phase=CarrierPhase.ENDED)
    await settle_lost_steps.settle(ports, seen)


async def run_of(ports: Ports, one: Claimed) -> Run:
    """The run as it stands."""
    async with ports.database.reading() as tx:
        run = await tx.get(Run, one.run_id)
    assert run is not None
    return run


def test_a_state_of_odd_shape_does_not_hold_up_its_runs_end(tmp_path: Path) -> None:
    """Code in a configuration can write anything into the state: a vanished apply is settled all the same."""

    async def scenario() -> None:
        async with api_in(tmp_path) as api:
            workspace = await api.workspace()
            await api.uploaded(workspace)
            one = await claimed(api, workspace)
            await receive_state.receive_state(api.ports, one.step_id, one.token, shipped(1, [1, {"instances": 3}]))
            await vanish(api.ports, one)
            run = await run_of(api.ports, one)
            assert (run.status, run.failure_reason) == (RunStatus.ERRORED, "outcome_unknown")

    asyncio.run(scenario())


def test_a_missing_state_content_does_not_hold_up_its_runs_end(tmp_path: Path) -> None:
    """Where the artifact of the last state cannot be opened, a vanished apply is settled all the same."""

    async def scenario() -> None:
        async with api_in(tmp_path) as api:
            workspace = await api.workspace()
            await api.uploaded(workspace)
            one = await claimed(api, workspace)
            version = await receive_state.receive_state(api.ports, one.step_id, one.token, shipped(1))
            damaged = tmp_path / "artifacts" / receive_state.state_key(one.workspace_id, version.id)
            damaged.write_bytes(b"no seal of ours")
            await vanish(api.ports, one)
            assert (await run_of(api.ports, one)).failure_reason == "outcome_unknown"

    asyncio.run(scenario())


def test_a_lost_executor_writes_no_state_once_another_run_has_the_workspace(tmp_path: Path) -> None:
    """Until a person goes on, what a lost apply still delivers is welcome; from the next run's beginning it is not."""

    async def scenario() -> None:
        async with api_in(tmp_path) as api:
            workspace = await api.workspace()
            await api.uploaded(workspace)
            one = await claimed(api, workspace)
            await vanish(api.ports, one)
            await receive_state.receive_state(api.ports, one.step_id, one.token, shipped(1))
            organization_id = workspace.split("/")[4]
            change = LockChange(locked=False, force=True)
            admin = Principal("admin", admin=True)
            await workspaces.change_workspace(api.ports, admin, organization_id, one.workspace_id, {}, change)
            other = await claimed(api, workspace)
            with pytest.raises(RefusedError) as refused:
                await receive_state.receive_state(api.ports, one.step_id, one.token, shipped(2))
            assert refused.value.refusal is Refusal.SUPERSEDED
            await receive_state.receive_state(api.ports, other.step_id, other.token, shipped(2, [{}]))
            async with api.ports.database.reading() as tx:
                fenced = await tx.get(Attempt, attempt_name(one.step_id, 1))
                place = await tx.get(Workspace, one.workspace_id)
            assert fenced is not None
            assert fenced.state is AttemptState.FENCED
            assert place is not None
            assert place.taken_by == other.run_id

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("method", "endpoint"),
    [("PUT", "state"), ("PUT", "artifacts/plan")],
)
def test_no_body_is_read_for_a_token_that_does_not_fit(tmp_path: Path, method: str, endpoint: str) -> None:
    """Nobody fills the API's memory with a gigabyte that an unknown token announces."""
    read: list[int] = []

    async def endless() -> object:
        while True:
            read.append(1)
            yield bytes(1024)

    async def scenario() -> None:
        async with api_in(tmp_path) as api:
            app = Starlette(routes=executor.routes(api.ports))
            transport = httpx.ASGITransport(app)
            headers = {
                "Authorization": "Bearer pfa-nobody",
                executor_api.SERIAL_HEADER: "1",
                executor_api.LINEAGE_HEADER: "l",
            }
            async with httpx.AsyncClient(transport=transport, base_url="http://podform", headers=headers) as client:
                path = executor_api.step_path(new_id("step"), endpoint)
                answer = await client.request(method, path, content=endless())  # type: ignore[arg-type] # an iterator of bytes
            assert answer.status_code == 404
            assert answer.json()["code"] == Refusal.UNKNOWN
            assert not read

    asyncio.run(scenario())

"""Rolling a state back over HTTP: against runs that hold the workspace, other people's locks, and another rollback."""

import asyncio
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api.domain.entities import StateVersion, Workspace
from api.services.receive_state import state_key
from common.ids import new_id
from tests.integration.api_in_process import Api, api_in, bearer, document


async def _state(api: Api, workspace: str, serial: int, lineage: str = "l", **more: Any) -> str:
    """A state version of the workspace; its id."""
    content = json.dumps({"version": 4, "serial": serial, "lineage": lineage, **more}).encode()
    workspace_id = workspace.rpartition("/")[2]
    version = StateVersion(
        id=new_id("state_version"),
        workspace_id=workspace_id,
        serial=serial,
        lineage=lineage,
        md5=hashlib.md5(content, usedforsecurity=False).hexdigest(),
        size=len(content),
        created_at=api.ports.clock(),
    )
    await api.ports.artifacts.put(state_key(workspace_id, version.id), content)
    async with api.ports.database.writing() as tx:
        await tx.add(version)
    return version.id


async def _rollback(api: Api, workspace: str, version: str, **arguments: Any) -> Any:
    return await api.client.post(f"{workspace}/history", json=document("history", {"rollbackTo": version}), **arguments)


def test_many_at_once_make_one_new_version(tmp_path: Path) -> None:
    """Of rollbacks that come together each is answered or refused, and one new version is there."""

    async def test() -> None:
        async with api_in(tmp_path) as api:
            workspace = await api.workspace()
            old = await _state(api, workspace, 3, outputs={"a": 1})
            await _state(api, workspace, 5, outputs={"a": 2})
            answers = await asyncio.gather(*(_rollback(api, workspace, old) for _ in range(8)))
            assert {answer.status_code for answer in answers} <= {201, 409}
            made = {answer.json()["data"]["id"] for answer in answers if answer.status_code == 201}
            assert len(made) == 1
            history = (await api.client.get(f"{workspace}/history")).json()["data"]
            assert [each["attributes"]["serial"] for each in history] == [6, 5, 3]

    asyncio.run(test())


def test_it_is_refused_while_a_run_has_the_workspace(tmp_path: Path) -> None:
    """A run under way refuses it; a waiting one does not, and finds the state that was rolled back to."""

    async def test() -> None:
        async with api_in(tmp_path) as api:
            workspace = await api.workspace()
            await api.uploaded(workspace)
            old = await _state(api, workspace, 1)
            await _state(api, workspace, 2, outputs={})
            job = await api.job(workspace)
            assert (await _rollback(api, workspace, old)).status_code == 201
            async with api.ports.database.writing() as tx:  # as the scheduler does when it begins the run
                held = await tx.get(Workspace, workspace.rpartition("/")[2])
                assert held is not None
                await tx.save(replace(held, taken_by=job["attributes"]["runId"]))
            answer = await _rollback(api, workspace, old)
            assert answer.status_code == 409
            assert "run under way" in answer.text

    asyncio.run(test())


@pytest.mark.parametrize("case", ["another lineage", "locked by another", "unknown version", "another organization"])
def test_what_must_not_be_rolled_back(tmp_path: Path, case: str) -> None:
    """Another state's version, a locked workspace and an unknown version are refused; strangers find nothing."""

    async def test() -> None:
        async with api_in(tmp_path) as api:
            workspace = await api.workspace()
            old = await _state(api, workspace, 1, lineage="other" if case == "another lineage" else "l")
            await _state(api, workspace, 2, outputs={})
            other = (await api.client.post("/pat/v1", json={"description": "other"})).json()["token"]
            arguments: dict[str, Any] = {}
            if case == "locked by another":
                locked = document("workspace", {"locked": True, "lockDescription": "mine"})
                assert (await api.client.patch(workspace, json=locked, headers=bearer(other))).status_code == 200
            if case == "another organization":
                foreign = (await api.workspace()).split("/")[4]
                wanted = {"description": "stranger", "organizationId": foreign}
                stranger = (await api.client.post("/pat/v1", json=wanted)).json()["token"]
                arguments["headers"] = bearer(stranger)
            version = new_id("state_version") if case == "unknown version" else old
            answer = await _rollback(api, workspace, version, **arguments)
            expected = {"unknown version": 422, "another organization": 404}.get(case, 409)
            assert answer.status_code == expected, answer.text
            assert len((await api.client.get(f"{workspace}/history")).json()["data"]) == 2

    asyncio.run(test())

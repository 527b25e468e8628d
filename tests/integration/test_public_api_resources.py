"""Every resource of the Terrakube-style API over HTTP on a real database: made, read, changed, listed, deleted."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from api.domain import run_transitions
from common.ids import new_id
from common.step_report import Outcome, ResourceCounts, StepReport
from tests.integration.api_in_process import ADMIN, Api, api_in, archive, bearer, document, to_workspace

Run = Callable[[Callable[[Api], Awaitable[None]]], None]

PLANNED = StepReport(
    outcome=Outcome.FINISHED,
    exit_code=0,
    has_changes=True,
    counts=ResourceCounts(add=1, change=2, destroy=3),
    log_bytes=7,
    timings={"plan": 0.5},
)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs one async test against a fresh API."""

    def _run(test: Callable[[Api], Awaitable[None]]) -> None:
        async def _with_api() -> None:
            async with api_in(tmp_path) as api:
                await test(api)

        asyncio.run(_with_api())

    return _run


def _base(workspace: str) -> str:
    return workspace.partition("/workspace/")[0]


def test_an_organization_has_templates_and_can_be_changed(run: Run) -> None:
    """It starts with the default templates, takes a new description, and goes when nothing is in it."""

    async def test(api: Api) -> None:
        made = await api.create("/api/v1/organization", "organization", {"name": "acme"})
        path = f"/api/v1/organization/{made['id']}"
        changed = await api.client.patch(path, json=document("organization", {"description": "d"}, id=made["id"]))
        assert changed.json()["data"]["attributes"] == {
            "name": "acme",
            "description": "d",
            "executionMode": "remote",
            "disabled": False,
        }
        templates = (await api.client.get(f"{path}/template")).json()
        assert "Plan and apply" in [item["attributes"]["name"] for item in templates["data"]]
        flow = await api.client.get(templates["data"][0]["links"]["self"])
        assert base64.b64decode(flow.json()["data"]["attributes"]["tcl"]).startswith(b"flow:")
        assert (await api.client.delete(path)).status_code == 204
        assert (await api.client.get(path)).status_code == 404

    run(test)


def test_workspace_attributes_come_back_as_they_were_written(run: Run) -> None:
    """Each JSON name stands for its own field, and null clears a text."""

    async def test(api: Api) -> None:
        workspace = await api.workspace()
        written = {
            "name": "other",
            "description": "d",
            "iacType": "tofu",
            "terraformVersion": "~> 1.9",
            "folder": "modules/a",
            "source": "https://git.example/x.git",
            "branch": "main",
            "executionMode": "local",
            "defaultTemplate": "Plan",
            "autoApply": True,
        }
        changed = (await api.client.patch(workspace, json=document("workspace", written))).json()["data"]["attributes"]
        assert {name: changed[name] for name in written} == written
        cleared = {"defaultTemplate": None, "terraformVersion": None, "autoApply": None, "branch": None}
        changed = (await api.client.patch(workspace, json=document("workspace", cleared))).json()["data"]["attributes"]
        assert {name: changed[name] for name in cleared} == {**dict.fromkeys(cleared, ""), "autoApply": None}

    run(test)


def test_a_lock_is_broken_by_force_only(run: Run) -> None:
    """Somebody else's lock answers 409 until force is given; what stands beside a lock needs `locked`."""

    async def test(api: Api) -> None:
        workspace = await api.workspace()
        made = await api.client.post(
            "/pat/v1", json={"description": "bob", "organizationId": workspace.split("/")[4], "days": 1}
        )
        bob = bearer(made.json()["token"])
        lock = document("workspace", {"locked": True, "lockDescription": "mine"})
        locked = (await api.client.patch(workspace, json=lock, headers=bob)).json()["data"]["attributes"]
        assert (locked["locked"], locked["lockDescription"], locked["lockedBy"]) == (True, "mine", "bob")
        unlock = document("workspace", {"locked": False})
        assert (await api.client.patch(workspace, json=unlock)).status_code == 409
        forced = await api.client.patch(workspace, json=document("workspace", {"locked": False, "force": True}))
        assert forced.json()["data"]["attributes"]["locked"] is False
        lonely = await api.client.patch(workspace, json=document("workspace", {"lockDescription": "x"}))
        assert lonely.json()["errors"][0]["source"] == {"pointer": "/data/attributes/lockDescription"}

    run(test)


def test_a_large_variable_with_every_hostile_character_survives(run: Run) -> None:
    """One MB with line breaks, quotes and `$(X)` comes back byte for byte."""

    async def test(api: Api) -> None:
        workspace = await api.workspace()
        value = ("a\nb\r\n\"'$(X)`${y}\\ \u20ac\U0001f600\t" * 50_000)[: 1024**2]
        made = await api.create(f"{workspace}/variable", "variable", {"key": "big", "value": value})
        read = await api.client.get(made["links"]["self"])
        assert read.json()["data"]["attributes"]["value"] == value

    run(test)


def test_a_sensitive_value_is_never_answered(run: Run) -> None:
    """Not on creation, reading or in a list, nor in the error about another field or the value itself."""

    async def test(api: Api) -> None:
        workspace = await api.workspace()
        secret = "s3cr3t-value"
        made = await api.client.post(
            f"{workspace}/variable", json=document("variable", {"key": "k", "value": secret, "sensitive": True})
        )
        path = made.json()["data"]["links"]["self"]
        answers = [
            made,
            await api.client.get(path),
            await api.client.get(f"{workspace}/variable"),
            await api.client.patch(path, json=document("variable", {"value": secret, "category": "X"})),
            await api.client.patch(path, json=document("variable", {"value": [secret]})),
            await api.client.patch(path, json=document("variable", {"value": secret, "category": "ENV", "hcl": True})),
            await api.client.patch(path, json=document("variable", {"sensitive": False})),
        ]
        assert [answer.status_code for answer in answers] == [201, 200, 200, 422, 422, 422, 422]
        assert all(secret not in answer.text for answer in answers)
        assert answers[1].json()["data"]["attributes"]["value"] is None
        assert (await api.client.delete(path)).status_code == 204

    run(test)


def test_a_job_goes_from_its_request_to_an_approval(run: Run) -> None:
    """Its words, steps and figures are those of the run; a rejection after the approval is 409."""

    async def test(api: Api) -> None:
        workspace = await api.workspace()
        configuration = await api.uploaded(workspace)
        job = await api.job(workspace, autoApply=False, comments="c", targetAddrs=["a.b"], requestId="r1")
        assert job["attributes"]["status"] == "pending"
        assert job["attributes"]["configuration"] == configuration
        path = f"{_base(workspace)}/job/{job['id']}"
        step_id = await api.running_step(job)
        await api.finish(job, step_id, PLANNED)
        read = (await api.client.get(f"{path}?include=step")).json()
        attributes = read["data"]["attributes"]
        assert (attributes["status"], attributes["runStatus"]) == ("waitingApproval", "planned")
        assert [attributes[f"resource{word}"] for word in ("Additions", "Changes", "Destructions")] == [1, 2, 3]
        assert attributes["planChanges"] is True
        first = read["included"][0]["attributes"]
        assert (first["status"], first["exitCode"], first["logBytes"], first["timings"]) == (
            "completed",
            0,
            7,
            {"plan": 0.5},
        )
        assert [item["attributes"]["stepNumber"] for item in read["included"]] == [100, 150, 200]
        approved = await api.client.patch(path, json=document("job", {"status": "approved"}, id=job["id"]))
        assert approved.json()["data"]["attributes"]["runStatus"] == "confirmed"
        rejected = await api.client.patch(path, json=document("job", {"status": "rejected"}))
        assert (rejected.status_code, rejected.json()["errors"][0]["code"]) == (409, "conflict")
        by_run_id = await api.client.get(f"{_base(workspace)}/job/{attributes['runId']}")
        assert by_run_id.json()["data"]["id"] == job["id"]
        last = await api.client.get(workspace)
        assert last.json()["data"]["attributes"]["lastJobStatus"] == "approved"

    run(test)


def test_a_job_is_canceled_and_then_killed(run: Run) -> None:
    """Force comes only after a cancel, and only with it."""

    async def test(api: Api) -> None:
        workspace = await api.workspace()
        await api.uploaded(workspace)
        job = await api.job(workspace)
        await api.running_step(job)
        path = f"{_base(workspace)}/job/{job['id']}"
        wanted: list[dict[str, Any]] = [
            {"status": "approved", "force": True},
            {"status": "cancelled", "force": True},
            {"status": "cancelled"},
            {"status": "cancelled", "force": True},
            {"status": "running"},
        ]
        answers = [await api.client.patch(path, json=document("job", attributes)) for attributes in wanted]
        assert [answer.status_code for answer in answers] == [422, 409, 200, 200, 422]

    run(test)


def test_a_repeated_request_answers_with_what_the_first_one_made(run: Run) -> None:
    """The same id, or a job's requestId, never makes a second thing."""

    async def test(api: Api) -> None:
        workspace = await api.workspace()
        await api.uploaded(workspace)
        wanted = new_id("variable")
        for _ in range(2):
            made = await api.create(f"{workspace}/variable", "variable", {"key": "k"}, id=wanted)
            assert made["id"] == wanted
        assert (await api.job(workspace, requestId="x"))["id"] == (await api.job(workspace, requestId="x"))["id"]
        wrong = await api.client.post(f"{workspace}/variable", json=document("variable", {"key": "j"}, id="var-1"))
        assert wrong.json()["errors"][0]["source"] == {"pointer": "/data/id"}

    run(test)


def test_a_waiting_job_says_what_it_waits_for(run: Run) -> None:
    """The second run of a workspace waits for the first, in a sentence."""

    async def test(api: Api) -> None:
        workspace = await api.workspace()
        await api.uploaded(workspace)
        first = await api.job(workspace)
        second = await api.job(workspace)
        read = await api.client.get(f"{_base(workspace)}/job/{second['id']}")
        assert read.json()["data"]["attributes"]["waitingFor"] == f"waiting for run {first['id']}"

    run(test)


def test_lists_come_in_pages_and_by_name(run: Run) -> None:
    """`meta.page` counts them all; a filter finds one; jobs come newest first, or one workspace's."""

    async def test(api: Api) -> None:
        workspace = await api.workspace("first")
        base = _base(workspace)
        for name in ("b\u00fcro", "third"):
            await api.create(f"{base}/workspace", "workspace", {"name": name})
        page = (await api.client.get(f"{base}/workspace", params={"page[number]": 2, "page[size]": 2})).json()
        assert page["meta"]["page"] == {"number": 2, "limit": 2, "totalRecords": 3, "totalPages": 2}
        assert [item["attributes"]["name"] for item in page["data"]] == ["third"]
        found = (await api.client.get(f"{base}/workspace", params={"filter[workspace]": "name=='b\u00fcro'"})).json()
        assert [item["attributes"]["name"] for item in found["data"]] == ["b\u00fcro"]
        await api.uploaded(workspace)
        numbers = [(await api.job(workspace))["id"] for _ in range(2)]
        for params in ({}, {"filter[job]": f"workspace.id=={workspace.rpartition('/')[2]}"}):
            jobs = (await api.client.get(f"{base}/job", params=params)).json()
            assert [item["id"] for item in jobs["data"]] == numbers[::-1]
        other = {"filter[job]": f"workspace.id=={new_id('workspace')}"}
        assert (await api.client.get(f"{base}/job", params=other)).json()["data"] == []

    run(test)


@pytest.mark.parametrize(
    "query",
    [
        "page[number]=0",
        "page[number]=x",
        "page[number]=99999999999999999999",
        "page[size]=101",
        "page[limit]=1",
        "sort=name",
        "include=history",
        "fields[workspace]=name",
        "filter[workspace]=folder==x",
        "filter[workspace]=name==x%00",
        "filter[organization]=name==x",
    ],
)
def test_a_query_that_is_not_offered_is_refused(run: Run, query: str) -> None:
    """422 names the parameter."""

    async def test(api: Api) -> None:
        workspace = await api.workspace()
        answer = await api.client.get(f"{_base(workspace)}/workspace?{query}")
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["source"] == {"parameter": query.partition("=")[0]}

    run(test)


def test_a_deleted_workspace_is_gone_with_all_that_was_in_it(run: Run) -> None:
    """Not while a run is unfinished: that is 409."""

    async def test(api: Api) -> None:
        workspace = await api.workspace()
        await api.uploaded(workspace)
        job = await api.job(workspace)
        assert (await api.client.delete(workspace)).status_code == 409
        await api.move(job["attributes"]["runId"], run_transitions.discarded)
        assert (await api.client.delete(workspace)).status_code == 204
        for path in (workspace, f"{workspace}/variable", f"{_base(workspace)}/job/{job['id']}"):
            assert (await api.client.get(path)).status_code == 404

    run(test)


def test_tokens_open_what_they_are_for(run: Run) -> None:
    """Another organization's token sees nothing of this one; a revoked one opens nothing; texts come once."""

    async def test(api: Api) -> None:
        ours, theirs = await api.workspace(), await api.workspace()
        await api.uploaded(ours)
        job = await api.job(ours)
        step = job["relationships"]["step"]["data"][0]["id"]
        made = (
            await api.client.post("/pat/v1", json={"description": "t", "organizationId": theirs.split("/")[4]})
        ).json()
        foreign = bearer(made["token"])
        base, variable = _base(ours), await api.create(f"{ours}/variable", "variable", {"key": "k"})
        paths = [base, ours, f"{base}/workspace", f"{base}/template", f"{base}/job", f"{base}/job/{job['id']}"]
        paths += [f"{ours}/{kind}" for kind in ("variable", "configuration", "history")]
        paths += [variable["links"]["self"], f"{base}/job/{job['id']}/step", f"{base}/job/{job['id']}/step/{step}"]
        log = f"/tfoutput/v1{base.removeprefix('/api/v1')}/job/{job['id']}/step/{step}"
        paths += [log, f"{log}/stream", f"/tfstate/v1{ours.removeprefix('/api/v1')}/state/terraform.tfstate", "/pat/v1"]
        for path in paths:
            assert (await api.client.get(path, headers=foreign)).status_code == 404, path
        # the same through a path of its own organization
        crossed = f"{_base(theirs)}/workspace/{ours.rpartition('/')[2]}"
        assert (await api.client.get(crossed, headers=foreign)).status_code == 404
        asked = document("job", relationships=to_workspace(ours.rpartition("/")[2]))
        assert (await api.client.post(f"{_base(theirs)}/job", json=asked, headers=foreign)).status_code == 404
        seen = (await api.client.get("/api/v1/organization", headers=foreign)).json()["data"]
        assert [item["id"] for item in seen] == [theirs.split("/")[4]]
        listed = await api.client.get("/pat/v1")
        assert made["token"] not in listed.text
        assert ADMIN not in listed.text
        assert (await api.client.delete(f"/pat/v1/{made['id']}")).status_code == 204
        assert (await api.client.get(theirs, headers=foreign)).status_code == 401

    run(test)


def test_a_configuration_is_immutable_once_uploaded(run: Run) -> None:
    """The same content again is harmless, another one 409, a broken one 422, and a job needs one."""

    async def test(api: Api) -> None:
        workspace = await api.workspace()
        asked = document("job", relationships=to_workspace(workspace.rpartition("/")[2]))
        assert (await api.client.post(f"{_base(workspace)}/job", json=asked)).status_code == 409
        fresh = await api.create(f"{workspace}/configuration", "configuration")
        content = f"{fresh['links']['self']}/content"
        bodies = (b"no tar", b"", archive()[:-30], archive(), archive(), b"other")
        answers = [await api.client.put(content, content=body) for body in bodies]
        assert [answer.status_code for answer in answers] == [422, 422, 422, 200, 200, 409]
        read = (await api.client.get(fresh["links"]["self"])).json()["data"]["attributes"]
        assert (read["status"], read["size"]) == ("uploaded", len(archive()))

    run(test)

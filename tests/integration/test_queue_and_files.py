"""What a long queue costs the scheduler, and who may read the database's files."""

import asyncio
import stat
from pathlib import Path

import pytest

from api.domain import run_transitions
from api.domain.entities import Workspace
from api.services import start_next_step
from common.step_report import Outcome, StepReport
from tests.integration.api_in_process import api_in


def test_who_must_wait_is_no_work(tmp_path: Path) -> None:
    """A workspace whose runs all wait for one under way is not looked at again; a plan-only run of it is."""

    async def scenario() -> None:
        async with api_in(tmp_path) as api:
            workspace = await api.workspace()
            await api.uploaded(workspace)
            workspace_id = workspace.rpartition("/")[2]
            owner = workspace.partition("/workspace/")[0].rpartition("/")[2]
            first = await api.job(workspace)
            for _ in range(3):
                await api.job(workspace)
            async with api.ports.database.reading() as tx:
                assert await tx.workspaces_with_work() == ((owner, workspace_id),)
                startable = await tx.startable_runs(workspace_id, 9)
                assert [run.id for run in startable] == [first["attributes"]["runId"]]
            assert len(await start_next_step.start_next_step(api.ports, workspace_id)) == 1
            async with api.ports.database.reading() as tx:
                assert await tx.workspaces_with_work() == ()
                place = await tx.get(Workspace, workspace_id)
            assert place is not None
            assert place.taken_by == first["attributes"]["runId"]
            await api.job(workspace, templateReference="Plan")
            async with api.ports.database.reading() as tx:
                assert await tx.workspaces_with_work() == ((owner, workspace_id),)
            assert len(await start_next_step.start_next_step(api.ports, workspace_id)) == 1

    asyncio.run(scenario())


def test_a_run_waits_for_a_free_slot_and_says_so(tmp_path: Path) -> None:
    """With one slot the second workspace's run waits, whoever asks to begin it, until the first step has ended."""

    async def scenario() -> None:
        async with api_in(tmp_path, max_concurrent_runs=1) as api:
            one = await api.workspace("one")
            base = one.partition("/workspace/")[0]
            other_id = (await api.create(f"{base}/workspace", "workspace", {"name": "two"}))["id"]
            two = f"{base}/workspace/{other_id}"
            jobs = []
            for workspace in (one, two):
                await api.uploaded(workspace)
                jobs.append(await api.job(workspace, templateReference="Plan"))

            async def reason() -> str:
                answer = await api.client.get(f"{base}/job/{jobs[1]['id']}")
                return str(answer.json()["data"]["attributes"]["waitingFor"])

            assert await reason() == ""
            (order,) = await start_next_step.start_next_step(api.ports, one.rpartition("/")[2])
            assert await start_next_step.start_next_step(api.ports, other_id) == ()
            assert (await reason()).startswith("waiting for a free slot: 1 of 1 runs are under way (position ")
            step_id = order.job_data.step_id
            await api.move(
                jobs[0]["attributes"]["runId"], lambda record, now: run_transitions.claimed(record, step_id, now)
            )
            await api.finish(jobs[0], step_id, StepReport(outcome=Outcome.FINISHED, has_changes=False))
            assert await reason() == ""
            assert len(await start_next_step.start_next_step(api.ports, other_id)) == 1

    asyncio.run(scenario())


def test_a_full_pool_holds_up_no_other_workspace(tmp_path: Path) -> None:
    """The second workspace of a pool with one slot waits and says so; one of no pool begins."""

    async def scenario() -> None:
        async with api_in(tmp_path, max_concurrent_runs_per_pool={"small": 1}) as api:
            one = await api.workspace("one")
            base = one.partition("/workspace/")[0]
            places = [one]
            for name, pool in (("two", "small"), ("three", "")):
                made = await api.create(f"{base}/workspace", "workspace", {"name": name, "pool": pool})
                assert made["attributes"]["pool"] == pool
                places.append(f"{base}/workspace/{made['id']}")
            body = {"data": {"type": "workspace", "attributes": {"pool": "small"}}}
            assert (await api.client.patch(one, json=body)).status_code == 200
            bad = {"data": {"type": "workspace", "attributes": {"pool": "no/pool"}}}
            assert (await api.client.patch(one, json=bad)).status_code == 422
            jobs = []
            for place in places:
                await api.uploaded(place)
                jobs.append(await api.job(place, templateReference="Plan"))
            begun = [
                len(await start_next_step.start_next_step(api.ports, place.rpartition("/")[2])) for place in places
            ]
            assert begun == [1, 0, 1]
            answer = (await api.client.get(f"{base}/job/{jobs[1]['id']}")).json()["data"]["attributes"]
            assert answer["waitingFor"].startswith("waiting for a free slot: 1 of 1 runs of pool small are under way")

    asyncio.run(scenario())


@pytest.mark.sqlite
def test_the_database_is_its_owners(tmp_path: Path) -> None:
    """Whatever umask and directory it is given: nobody else can read the database's files."""
    tmp_path.chmod(0o755)
    (tmp_path / "podform.db").touch(mode=0o644)

    modes: dict[str, int] = {}

    def files() -> list[Path]:
        return list(tmp_path.glob("podform.db*"))

    async def scenario() -> None:
        async with api_in(tmp_path) as api:
            await api.workspace()
            modes.update({path.name: stat.S_IMODE(path.stat().st_mode) for path in files()})

    asyncio.run(scenario())
    assert len(modes) > 2
    assert set(modes.values()) == {0o600}

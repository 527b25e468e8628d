"""What goes with a run or a workspace, and what stays: never a state's content silently."""

import json
from pathlib import Path

import pytest

from api.domain.entities import StateVersion
from api.services.receive_state import state_key
from common import executor_api
from common.failure_reasons import FailureReason
from common.step_report import Outcome, StepReport
from tests.integration.api_in_process import bearer
from tests.integration.executor_face import ADMIN, Face, done, planned, state, tell


def files(directory: Path, kind: str) -> list[Path]:
    """The contents of a kind in the data directory."""
    return [path for path in (directory / kind).rglob("*") if path.is_file()]


async def applied(face: Face, serial: int = 1) -> str:
    """A run that planned and applied, with artifacts, logs and a state of one resource; its job's path."""
    path = await face.run()
    plan = await face.claimed()
    assert (await plan.log(0, b"plan")).is_success
    assert (await plan.put_artifact(executor_api.PLAN_FILE, b"plan")).is_success
    assert (await plan.finish(planned())).is_success
    apply = await face.claimed()
    assert (await apply.log(0, b"apply")).is_success
    document = json.loads(state(serial)) | {"resources": [{"type": "terraform_data"}]}
    assert (await apply.put_state(serial, content=json.dumps(document).encode(), final=True)).is_success
    assert (await apply.finish(done())).is_success
    return path


def test_a_run_goes_with_its_artifacts_and_logs(tmp_path: Path) -> None:
    """Only an ended one; its states stay, and so does everything of other runs."""

    async def story(face: Face) -> None:
        first = await applied(face)
        second = await applied(face, 2)
        assert (len(files(tmp_path, "artifacts/runs")), len(files(tmp_path, "logs"))) == (2, 4)
        assert (await face.http.delete(first, headers=bearer("pft-nobody"))).status_code == 401
        assert (await face.http.delete(first, headers=bearer(ADMIN))).status_code == 204
        assert (await face.http.get(first, headers=bearer(ADMIN))).status_code == 404
        assert (await face.http.delete(first, headers=bearer(ADMIN))).status_code == 404
        assert (await face.http.get(second, headers=bearer(ADMIN))).status_code == 200
        assert (len(files(tmp_path, "artifacts/runs")), len(files(tmp_path, "logs"))) == (1, 2)
        async with face.ports.database.reading() as tx:
            versions = await tx.all(StateVersion)
        assert [version.serial for version in versions] == [1, 2]
        for version in versions:
            assert await face.ports.artifacts.get(state_key(version.workspace_id, version.id))

    tell(tmp_path, story)


def test_a_run_under_way_is_not_deleted(tmp_path: Path) -> None:
    """409 that says what to do; nothing is removed."""

    async def story(face: Face) -> None:
        run, _ = await face.applying()
        refused = await face.http.delete(run, headers=bearer(ADMIN))
        assert refused.status_code == 409
        assert "cancel it first" in refused.text
        assert (await face.http.get(run, headers=bearer(ADMIN))).status_code == 200

    tell(tmp_path, story)


def test_a_plan_that_was_begun_goes_with_the_run_that_began_it(tmp_path: Path) -> None:
    """A retry begins to apply the plan of an earlier run and is deleted: nobody can apply that plan once more."""

    async def story(face: Face) -> None:
        first = await face.run()
        plan = await face.claimed()
        assert (await plan.put_artifact(executor_api.PLAN_FILE, b"plan")).is_success
        assert (await plan.finish(planned())).is_success
        apply = await face.claimed()
        assert (await apply.finish(failed(FailureReason.ENGINE_UNAVAILABLE))).is_success
        retry = {"data": {"type": "job", "attributes": {"fromStep": 200}}}
        again = await face.http.post(f"{first}/retry", json=retry, headers=bearer(ADMIN))
        assert again.status_code == 201, again.text
        begun = await face.claimed()
        assert (await begun.get_artifact(executor_api.PLAN_FILE)).content == b"plan"
        assert (await begun.finish(failed(FailureReason.TERRAFORM_FAILED))).is_success
        second = f"{first.rpartition('/')[0]}/{again.json()['data']['id']}"
        assert (await face.http.delete(second, headers=bearer(ADMIN))).status_code == 204
        assert not files(tmp_path, "artifacts/runs")

    tell(tmp_path, story)


def failed(reason: FailureReason) -> StepReport:
    """A report of a failure."""
    return StepReport(outcome=Outcome.ERRORED, failure_reason=reason, message="it failed")


def test_a_deletion_that_was_cut_short_is_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Contents went, the row is still there: the run can be read, and deleted once more."""

    async def story(face: Face) -> None:
        run = await applied(face)

        async def crash(_name: str) -> None:
            raise RuntimeError("the process ends")

        with monkeypatch.context() as patch:
            patch.setattr(face.ports.logs, "remove", crash)
            with pytest.raises(RuntimeError):
                await face.http.delete(run, headers=bearer(ADMIN))
        assert (await face.http.get(run, headers=bearer(ADMIN))).status_code == 200
        assert (await face.http.delete(run, headers=bearer(ADMIN))).status_code == 204
        assert files(tmp_path, "logs") == files(tmp_path, "artifacts/runs") == []

    tell(tmp_path, story)


def test_a_workspace_with_resources_is_deleted_by_force_only(tmp_path: Path) -> None:
    """Then its runs and configurations go; the sealed content of its state is left in the store."""

    async def story(face: Face) -> None:
        await applied(face)
        kept = files(tmp_path, "artifacts/states")
        refused = await face.http.delete(face.workspace, headers=bearer(ADMIN))
        assert refused.status_code == 409
        assert "names 1 resources" in refused.text
        assert len(files(tmp_path, "artifacts/runs")) == 1
        assert (
            await face.http.delete(face.workspace, params={"force": "maybe"}, headers=bearer(ADMIN))
        ).status_code == 422
        gone = await face.http.delete(face.workspace, params={"force": "true"}, headers=bearer(ADMIN))
        assert gone.status_code == 204
        for kind in ("artifacts/runs", "artifacts/configurations", "logs"):
            assert files(tmp_path, kind) == []
        assert files(tmp_path, "artifacts/states") == kept != []

    tell(tmp_path, story)

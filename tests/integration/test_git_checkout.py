"""What the API makes of a checkout: one commit and one configuration for a run, whatever happens to its executors."""

import hashlib
from pathlib import Path
from typing import Any

from common import executor_api
from tests.integration.api_in_process import archive, bearer
from tests.integration.executor_face import ADMIN, Executor, Face, done, planned, tell

CONTENT = archive()  # bears the time: one for all
COMMIT = {"commitId": "a" * 40, "author": "Ann <ann@git.example>", "message": "say it\n\nat length"}


async def put_commit(executor: Executor, **change: str) -> int:
    """Tell the commit; the status of the answer."""
    return (await executor.call("PUT", executor_api.COMMIT, json=COMMIT | change)).status_code


async def put_checkout(executor: Executor, content: bytes, sha256: str = "") -> int:
    """Upload a checkout; the status of the answer."""
    headers = {executor_api.SHA256_HEADER: sha256 or hashlib.sha256(content).hexdigest()}
    answer = await executor.call("PUT", executor_api.CONFIGURATION, content=content, headers=headers)
    return answer.status_code


async def claim_answer(face: Face) -> tuple[Executor, dict[str, Any]]:
    """The next executor and the answer to its claim."""
    executor = await face.executor()
    answer = await executor.claim()
    assert answer.is_success, answer.text
    return executor, answer.json()


async def from_git(face: Face) -> str:
    """A run of a workspace with a git source; its path."""
    attributes = {"source": "https://git.example/infra.git", "branch": "main"}
    document = {"data": {"type": "workspace", "id": face.workspace.rsplit("/", 1)[1], "attributes": attributes}}
    answer = await face.http.patch(face.workspace, json=document, headers=bearer(ADMIN))
    assert answer.is_success, answer.text
    return await face.run()


def test_a_plan_that_starts_again_keeps_its_commit(tmp_path: Path) -> None:
    """Lost after its commit: that commit again. Lost after its upload: those bytes, and for the apply too."""

    async def story(face: Face) -> None:
        run = await from_git(face)
        first, claim = await claim_answer(face)
        assert (claim["source"]["reference"], claim["source"]["commit"]) == ("main", "")
        assert await put_commit(first) == 200
        await face.carrier.lose(first.name)
        second, claim = await claim_answer(face)
        assert claim["source"]["commit"] == COMMIT["commitId"]
        assert await put_commit(second) == 200
        assert await put_commit(second, commitId="b" * 40) == 422
        assert await put_commit(first) == 409
        assert await put_checkout(second, CONTENT) == 200
        await face.carrier.lose(second.name)
        third, claim = await claim_answer(face)
        assert claim["source"] is None
        assert claim["configurationSha256"] == hashlib.sha256(CONTENT).hexdigest()
        assert (await third.call("GET", executor_api.CONFIGURATION)).content == CONTENT
        assert (await third.finish(planned())).is_success
        applying, claim = await claim_answer(face)
        assert claim["source"] is None
        assert (await applying.call("GET", executor_api.CONFIGURATION)).content == CONTENT
        assert (await applying.finish(done())).is_success
        job = (await face.http.get(run, headers=bearer(ADMIN))).json()["data"]["attributes"]
        assert (job["commitId"], job["commitAuthor"]) == (COMMIT["commitId"], COMMIT["author"])
        assert job["commitMessage"] == COMMIT["message"]

    tell(tmp_path, story)


def test_a_checkout_is_kept_once(tmp_path: Path) -> None:
    """The same bytes again are harmless; others, broken ones, and those of a run that is not from git are refused."""

    async def story(face: Face) -> None:
        await from_git(face)
        executor, _ = await claim_answer(face)
        assert await put_checkout(executor, b"no archive") == 422
        assert await put_checkout(executor, CONTENT, "0" * 64) == 422
        assert await put_checkout(executor, CONTENT) == 200
        assert await put_checkout(executor, CONTENT) == 200
        assert await put_checkout(executor, CONTENT + b"\0") == 422
        listed = await face.http.get(f"{face.workspace}/configuration", headers=bearer(ADMIN))
        assert listed.is_success

    tell(tmp_path, story)


def test_an_uploaded_configuration_stays(tmp_path: Path) -> None:
    """The executor of a run that does not come from git cannot change what it works on."""

    async def story(face: Face) -> None:
        await face.run()
        executor, claim = await claim_answer(face)
        assert claim["source"] is None
        assert await put_commit(executor) == 422
        assert await put_checkout(executor, CONTENT) == 422

    tell(tmp_path, story)

"""What executors may say, and what they may not: repeated, late, foreign and malformed requests change nothing."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from api.domain.entities import Attempt, AttemptState, StateVersion
from common import executor_api, step_report
from common.executor_api import Refusal
from common.failure_reasons import FailureReason
from common.step_report import Outcome, ResourceCounts, StepReport
from tests.integration.api_in_process import bearer
from tests.integration.executor_face import LINEAGE, NONCE, SECRET, Executor, Face, code, done, planned, state, tell

UNKNOWN = (404, Refusal.UNKNOWN)
REJECTED = (422, Refusal.BAD_REQUEST)
CONFLICT = (409, Refusal.STATE_CONFLICT)

# -- the claim ------------------------------------------------------------------------------------------------------


def test_a_claim_needs_the_secret_and_the_code_of_its_attempt(tmp_path: Path) -> None:
    """Whatever does not fit gets one and the same answer, and the attempt stays unclaimed."""

    async def story(face: Face) -> None:
        await face.run()
        executor = await face.executor()
        other = f"step-{'0' * 26}"
        wrong: list[dict[str, Any]] = [
            {"secret": "another-secret-of-length"},
            {"secret": ""},
            {"claim": "x" * 43},
            {"claim": ""},
            {"attempt": 2},
            {"attempt": 0},
            {"attempt": -1},
            {"step_id": other},
            {"step_id": "step"},
            {"nonce": "short"},
            {"nonce": ""},
        ]
        answers = [await executor.claim(**fields) for fields in wrong]
        assert {code(answer) for answer in answers} == {UNKNOWN}
        assert len({answer.text for answer in answers}) == 1
        assert SECRET not in answers[0].text
        attempt = await read(face, executor)
        assert attempt.state in {AttemptState.LAUNCHING, AttemptState.LAUNCHED}
        assert (await executor.claim()).is_success

    tell(tmp_path, story)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"attempt": 1}',
        b'{"attempt": "1", "claim": "c", "nonce": "n"}',
        b'{"attempt": true, "claim": "c", "nonce": "n"}',
        b'{"attempt": 18446744073709551615, "claim": "c", "nonce": "n"}',
        b'{"attempt": 1, "claim": null, "nonce": "n"}',
        b'{"attempt": 1, "claim": "\xff", "nonce": "n"}',
    ],
)
def test_a_malformed_claim_is_told_what_is_wrong(tmp_path: Path, body: bytes) -> None:
    """422 that names the field."""

    async def story(face: Face) -> None:
        await face.run()
        executor = await face.executor()
        answer = await executor.call("POST", executor_api.CLAIM, content=body)
        assert code(answer) == REJECTED
        assert ":" in answer.json()["message"]

    tell(tmp_path, story)


def test_a_claim_is_given_once_and_repeated_to_the_same_executor(tmp_path: Path) -> None:
    """The answer may have been lost: the same nonce gets it again; another nonce is another executor."""

    async def story(face: Face) -> None:
        await face.run()
        executor = await face.executor()
        first = await executor.claim()
        assert (await executor.claim()).json() == first.json()
        assert code(await executor.claim(nonce="another-nonce-of-16")) == (409, Refusal.CLAIMED)
        assert first.json()["token"] not in (await read(face, executor)).token_hash
        assert (await executor.finish(planned())).is_success
        assert code(await executor.claim()) == (409, Refusal.SETTLED)

    tell(tmp_path, story)


def test_of_many_claims_at_once_one_wins(tmp_path: Path) -> None:
    """Kubernetes may start a pod twice: the claim is the fence."""

    async def story(face: Face) -> None:
        await face.run()
        job = (await face.executor()).job
        executors = [Executor(face.http, job) for _ in range(8)]
        answers = await asyncio.gather(*(one.claim(nonce=f"{NONCE}-{i}") for i, one in enumerate(executors)))
        assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7

    tell(tmp_path, story)


def test_a_canceled_attempt_cannot_be_claimed(tmp_path: Path) -> None:
    """The cancel came first."""

    async def story(face: Face) -> None:
        run = await face.run()
        executor = await face.executor()
        assert (await face.cancel(run)).is_success
        assert code(await executor.claim()) == (409, Refusal.CANCELED)
        await face.carrier.lose(executor.name)
        assert (await face.attributes(run))["runStatus"] == "canceled"

    tell(tmp_path, story)


# -- whose token ----------------------------------------------------------------------------------------------------


async def everything(executor: Executor, step_id: str | None = None) -> set[tuple[int, str]]:
    """The refusals of every endpoint."""
    place = {} if step_id is None else {"step_id": step_id}
    digest = {executor_api.SHA256_HEADER: hashlib.sha256(b"x").hexdigest()}
    content = state(9)
    shipped = {
        executor_api.SERIAL_HEADER: "9",
        executor_api.LINEAGE_HEADER: LINEAGE,
        executor_api.MD5_HEADER: hashlib.md5(content, usedforsecurity=False).hexdigest(),
    }
    report = step_report.to_json(done())
    answers = [
        await executor.call("GET", executor_api.CONFIGURATION, **place),
        await executor.call("GET", executor_api.STATE, **place),
        await executor.call("PUT", executor_api.STATE, content=content, headers=shipped, **place),
        await executor.call("POST", executor_api.LOG, content=b"x", **place),
        await executor.call("GET", executor_api.HEARTBEAT, **place),
        await executor.call("GET", f"{executor_api.ARTIFACTS}/plan", **place),
        await executor.call("PUT", f"{executor_api.ARTIFACTS}/plan", content=b"x", headers=digest, **place),
        await executor.call("POST", executor_api.FINISH, json=report, **place),
    ]
    return {code(answer) for answer in answers}


def test_a_token_opens_its_own_step_only(tmp_path: Path) -> None:
    """Another step's token, an admin's, an invented one and none at all are refused alike, and nothing moves."""

    async def story(face: Face) -> None:
        first = face.workspace
        await face.run()
        mine = await face.claimed()
        await face.make_workspace("other")
        run = await face.run()
        theirs = await face.claimed()
        before = await face.attributes(run)
        assert await everything(mine, theirs.job.step_id) == {UNKNOWN}
        for token in ("", "pfa-invented", "admin-token-of-the-face", " "):
            assert await everything(Executor(face.http, theirs.job, token)) == {UNKNOWN}
        assert await face.attributes(run) == before
        assert await face.step_log(run, theirs.job.step_id) == b""
        for workspace in (first, face.workspace):
            assert (await face.http.get(f"{workspace}/history", headers=bearer("admin-token-of-the-face"))).json()[
                "data"
            ] == []
        assert (await theirs.heartbeat()).is_success

    tell(tmp_path, story)


def test_a_superseded_attempt_changes_nothing(tmp_path: Path) -> None:
    """Its executor comes back late, after the next attempt has begun: every word of it is refused."""

    async def story(face: Face) -> None:
        run = await face.run()
        late = await face.claimed()
        assert (await late.log(0, b"first attempt\n")).json() == {"next": 14}
        await face.carrier.lose(late.name)
        current = await face.executor()
        assert current.job.attempt == 2
        assert await everything(late) == {(409, Refusal.SUPERSEDED)}
        assert code(await late.claim()) == (409, Refusal.SUPERSEDED)
        assert (await current.claim()).is_success
        assert await everything(late) == {(409, Refusal.SUPERSEDED)}
        # each attempt counts its log from 0: nothing of the second one is taken for a repeat of the first
        assert (await current.log(0, b"second\n")).json() == {"next": 7}
        assert await face.step_log(run, current.job.step_id) == b"first attempt\nsecond\n"
        assert (await current.finish(planned())).is_success
        assert (await face.attributes(run))["runStatus"] in {"confirmed", "apply_queued"}

    tell(tmp_path, story)


def test_a_token_dies_with_its_attempt(tmp_path: Path) -> None:
    """As soon as the report is in, only its repeat is taken."""

    async def story(face: Face) -> None:
        run, executor = await face.applying()
        waiting = asyncio.create_task(executor.heartbeat(30))
        await asyncio.sleep(0.05)
        assert (await executor.put_state(1, final=True)).is_success
        assert (await executor.finish(done())).is_success
        assert code(await asyncio.wait_for(waiting, 5)) == (409, Refusal.SETTLED)
        assert code(await executor.put_state(2)) == (409, Refusal.SETTLED)
        assert code(await executor.call("GET", executor_api.STATE)) == (409, Refusal.SETTLED)
        assert code(await executor.call("GET", executor_api.CONFIGURATION)) == (409, Refusal.SETTLED)
        assert code(await executor.put_artifact("plan", b"x")) == (409, Refusal.SETTLED)
        assert code(await executor.get_artifact("plan")) == (409, Refusal.SETTLED)
        assert code(await executor.heartbeat()) == (409, Refusal.SETTLED)
        assert code(await executor.log(0, b"more")) == (409, Refusal.SETTLED)
        assert (await face.attributes(run))["runStatus"] == "applied"

    tell(tmp_path, story)


def test_nothing_large_is_read_for_a_stranger(tmp_path: Path) -> None:
    """Without a token that fits, a state or plan is refused before its body is taken."""
    read_bytes = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal read_bytes
        for _ in range(64):
            read_bytes += 1024**2
            yield bytes(1024**2)

    async def story(face: Face) -> None:
        await face.run()
        stranger = Executor(face.http, (await face.executor()).job, "pfa-invented")
        headers = {executor_api.SERIAL_HEADER: "1"}
        assert code(await stranger.call("PUT", executor_api.STATE, content=body(), headers=headers)) == UNKNOWN
        assert code(await stranger.call("PUT", f"{executor_api.ARTIFACTS}/plan", content=body())) == UNKNOWN
        assert read_bytes <= 2 * 1024**2

    tell(tmp_path, story)


# -- the report -----------------------------------------------------------------------------------------------------


def test_a_report_is_recorded_once(tmp_path: Path) -> None:
    """The same one again is fine however often; another one is refused."""

    async def story(face: Face) -> None:
        run, executor = await face.applying()
        answers = await asyncio.gather(*(executor.finish(done()) for _ in range(5)))
        assert {answer.status_code for answer in answers} == {200}
        contrary = StepReport(outcome=Outcome.ERRORED, failure_reason=FailureReason.TERRAFORM_FAILED, message="no")
        assert code(await executor.finish(contrary)) == (409, Refusal.SETTLED)
        assert (await face.attributes(run))["runStatus"] == "applied"
        assert (await face.attributes(face.workspace))["locked"] is False

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("report", "status"),
    [
        (done(), "applied"),
        (StepReport(outcome=Outcome.ERRORED, failure_reason=FailureReason.TERRAFORM_FAILED, message="no"), "errored"),
    ],
    ids=["finished", "errored"],
)
def test_a_late_report_settles_an_unknown_outcome(tmp_path: Path, report: StepReport, status: str) -> None:
    """The executor was thought lost and was not: what it says counts, and the workspace is free."""

    async def story(face: Face) -> None:
        run, executor = await face.applying()
        assert (await executor.put_state(1)).is_success
        await face.carrier.lose(executor.name)
        lost = await face.attributes(run)
        assert (lost["runStatus"], lost["failureReason"]) == ("errored", "outcome_unknown")
        assert (await face.attributes(face.workspace))["locked"] is True
        waiting = await face.run()
        assert (await face.attributes(waiting))["runStatus"] == "pending"

        assert (await executor.put_state(2, final=True)).is_success
        assert (await executor.finish(report)).is_success

        settled = await face.attributes(run)
        assert (settled["runStatus"], settled["failureReason"]) == (
            status,
            report.failure_reason.value if report.failure_reason else None,
        )
        assert (await face.attributes(face.workspace))["locked"] is False
        assert (await face.claimed()).job.run_number == int(waiting.rsplit("/", 1)[1])

    tell(tmp_path, story)


def test_a_late_cancel_settles_an_unknown_outcome(tmp_path: Path) -> None:
    """Canceled, thought lost, and then it says that it was canceled: so it was, and the workspace is free."""

    async def story(face: Face) -> None:
        run, executor = await face.applying()
        assert (await face.cancel(run)).is_success
        await face.carrier.lose(executor.name)
        assert (await face.attributes(run))["failureReason"] == "outcome_unknown"
        assert (await executor.finish(StepReport(outcome=Outcome.CANCELED, message="interrupted"))).is_success
        settled = await face.attributes(run)
        assert (settled["runStatus"], settled["failureReason"]) == ("canceled", None)
        assert (await face.attributes(face.workspace))["locked"] is False

    tell(tmp_path, story)


@pytest.mark.parametrize(
    "report",
    [
        {"outcome": "great"},
        {},
        {"outcome": "finished", "exitCode": "1"},
        {"outcome": "finished", "counts": {"add": 2**63}},
        {"outcome": "finished", "logBytes": 2**64 - 1},
        {"outcome": "finished", "counts": [1]},
        {"outcome": "finished", "plan": {"planSha256": 1}},
        {"outcome": "finished", "timings": {"init": "fast"}},
    ],
)
def test_a_malformed_report_is_refused_and_changes_nothing(tmp_path: Path, report: dict[str, Any]) -> None:
    """422 that names the field; the good report that follows is taken."""

    async def story(face: Face) -> None:
        run, executor = await face.applying()
        assert code(await executor.call("POST", executor_api.FINISH, json=report)) == REJECTED
        assert (await face.attributes(run))["runStatus"] == "applying"
        good = StepReport(outcome=Outcome.FINISHED, message="m" * 5000, counts=ResourceCounts(add=2**31 - 1))
        assert (await executor.finish(good)).is_success

    tell(tmp_path, story)


def test_a_report_of_any_size_is_bounded(tmp_path: Path) -> None:
    """413, and the step goes on."""

    async def story(face: Face) -> None:
        run, executor = await face.applying()
        body = {"outcome": "finished", "message": "m" * 300_000}
        answer = await executor.call("POST", executor_api.FINISH, json=body)
        assert code(answer) == (413, Refusal.BAD_REQUEST)
        assert (await face.attributes(run))["runStatus"] == "applying"

    tell(tmp_path, story)


# -- states ---------------------------------------------------------------------------------------------------------


def test_a_state_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    """Lower serial, other content, other lineage, wrong checksum, no state at all: the newest one stays."""

    async def story(face: Face) -> None:
        _, executor = await face.applying()
        assert (await executor.put_state(5)).json()["serial"] == 5
        conflicts = [
            await executor.put_state(4),
            await executor.put_state(5, content=state(5, note="other")),
            await executor.put_state(6, lineage="another"),
            await executor.put_state(6, md5="0" * 32),
            await executor.put_state(6, md5=""),
            await executor.put_state(6, announced=7),
        ]
        assert [code(answer) for answer in conflicts] == [CONFLICT] * 6
        rejected = [
            await executor.put_state(6, content=b"no JSON"),
            await executor.put_state(6, content=b""),
            await executor.put_state(6, content=b"[]"),
            await executor.put_state(6, content=b"[" * 100_000),
            await executor.put_state(6, content=b'{"serial": "6", "lineage": "a"}'),
            await executor.put_state(1, content=b'{"serial": true, "lineage": "%s"}' % LINEAGE.encode()),
            await executor.put_state(6, announced="6x"),
            await executor.put_state(6, announced="-6"),
            await executor.put_state(6, announced="9" * 30),
            await executor.put_state(6, lineage="l" * 256),
        ]
        assert [code(answer) for answer in rejected] == [REJECTED] * 10
        current = await executor.call("GET", executor_api.STATE)
        assert current.content == state(5)
        assert (await executor.put_state(6)).is_success

    tell(tmp_path, story)


def test_a_repeated_state_is_harmless(tmp_path: Path) -> None:
    """One version, whose `final` is taken up when it comes later."""

    async def story(face: Face) -> None:
        _, executor = await face.applying()
        first = (await executor.put_state(1)).json()
        assert (await executor.put_state(1)).json() == first
        assert (await executor.put_state(1, final=True)).json() == first
        async with face.ports.database.reading() as tx:
            versions = await tx.all(StateVersion)
        assert [(version.id, version.final) for version in versions] == [(first["stateVersionId"], True)]

    tell(tmp_path, story)


def test_of_states_at_once_one_wins(tmp_path: Path) -> None:
    """Two different states of one serial would mean that one of them is lost."""

    async def story(face: Face) -> None:
        _, executor = await face.applying()
        answers = await asyncio.gather(
            *(executor.put_state(1, content=state(1, note=str(number))) for number in range(6))
        )
        assert sorted(answer.status_code for answer in answers) == [200] + [409] * 5
        same = await asyncio.gather(*(executor.put_state(2) for _ in range(6)))
        assert len({answer.json()["stateVersionId"] for answer in same}) == 1

    tell(tmp_path, story)


def test_a_plan_writes_no_state(tmp_path: Path) -> None:
    """It may read it."""

    async def story(face: Face) -> None:
        await face.run()
        executor = await face.claimed()
        assert (await executor.call("GET", executor_api.STATE)).status_code == 204
        assert code(await executor.put_state(1)) == CONFLICT

    tell(tmp_path, story)


def test_a_state_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    """413; the limit is a setting."""

    async def story(face: Face) -> None:
        _, executor = await face.applying()
        assert code(await executor.put_state(1, content=state(1, note="x" * 5000))) == (413, Refusal.BAD_REQUEST)
        assert (await executor.put_state(1)).is_success

    tell(tmp_path, story, PODFORM_MAX_STATE_BYTES="2048")


# -- the log --------------------------------------------------------------------------------------------------------


def test_a_log_takes_repeats_and_overlaps_and_refuses_gaps(tmp_path: Path) -> None:
    """Every byte once and in its place, whatever was sent twice; NUL and invalid UTF-8 come back as they are."""

    async def story(face: Face) -> None:
        run, executor = await face.applying()
        content = b"a\0b\xff\xfe\x1b[31m\r\n\xc3"
        assert (await executor.log(0, content)).json() == {"next": len(content)}
        assert (await executor.log(0, content)).json() == {"next": len(content)}
        assert (await executor.log(2, content[2:] + b"more")).json() == {"next": len(content) + 4}
        assert (await executor.log(1, b"")).json() == {"next": len(content) + 4}
        gap = await executor.log(100, b"later")
        assert code(gap) == (409, Refusal.GAP)
        assert gap.json()["expected"] == len(content) + 4
        assert await face.step_log(run, executor.job.step_id) == content + b"more"

    tell(tmp_path, story)


@pytest.mark.parametrize("offset", ["-1", "x", "1e3", "9" * 18, "9" * 400, "\u0661"])
def test_a_malformed_offset_is_refused(tmp_path: Path, offset: str) -> None:
    """422 that names it."""

    async def story(face: Face) -> None:
        _, executor = await face.applying()
        answer = await executor.call("POST", executor_api.LOG, params={"offset": offset}, content=b"x")
        assert code(answer) == REJECTED
        assert "offset" in answer.json()["message"]

    tell(tmp_path, story)


def test_a_chunk_of_a_log_is_bounded(tmp_path: Path) -> None:
    """413 for more than the contract allows, announced or not."""

    async def story(face: Face) -> None:
        run, executor = await face.applying()
        most = executor_api.MAX_LOG_CHUNK_BYTES
        assert code(await executor.log(0, bytes(most + 1))) == (413, Refusal.BAD_REQUEST)

        async def unannounced() -> AsyncIterator[bytes]:
            for _ in range(3):
                yield bytes(most // 2)

        answer = await executor.call("POST", executor_api.LOG, content=unannounced())
        assert code(answer) == (413, Refusal.BAD_REQUEST)
        assert (await executor.log(0, bytes(most))).is_success
        assert len(await face.step_log(run, executor.job.step_id)) == most

    tell(tmp_path, story)


# -- the heartbeat --------------------------------------------------------------------------------------------------


def test_a_cancel_reaches_a_waiting_heartbeat_at_once(tmp_path: Path) -> None:
    """It is held while there is nothing to say, and answered by the cancel; force is said on top of it."""

    async def story(face: Face) -> None:
        run, executor = await face.applying()
        assert (await executor.heartbeat()).json() == {"cancel": None}
        waiting = asyncio.create_task(executor.heartbeat(25))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        assert (await face.cancel(run)).is_success
        assert (await asyncio.wait_for(waiting, 5)).json() == {"cancel": "graceful"}
        assert (await face.cancel(run, force=True)).is_success
        assert (await executor.heartbeat(25)).json() == {"cancel": "force"}
        assert code(await executor.call("GET", executor_api.HEARTBEAT, params={"wait": "3600"})) == REJECTED

    tell(tmp_path, story)


# -- artifacts ------------------------------------------------------------------------------------------------------


def test_artifacts_are_named_checked_and_read_by_the_apply(tmp_path: Path) -> None:
    """Unknown names and wrong checksums are refused; the apply reads what its plan has left."""

    async def story(face: Face) -> None:
        _, executor = await face.applying()
        assert code(await executor.put_artifact("other", b"x")) == REJECTED
        assert code(await executor.put_artifact("plan", b"x", sha256="0" * 64)) == REJECTED
        assert (await executor.get_artifact("plan")).content == b"the plan"
        assert code(await executor.get_artifact("plan.json")) == UNKNOWN
        assert code(await executor.get_artifact("other")) == UNKNOWN
        assert (await executor.call("GET", "artifacts/..%2f..%2fstate")).status_code == 404
        assert (await executor.put_artifact("errored.tfstate", b"salvaged")).is_success

    tell(tmp_path, story)


async def read(face: Face, executor: Executor) -> Attempt:
    """The attempt's row."""
    async with face.ports.database.reading() as tx:
        attempt = await tx.get(Attempt, executor.name)
    assert attempt is not None
    return attempt

"""The wire formats between API and executor, held to committed goldens: an old peer must always be understood."""

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from common import executor_api, job_data, step_report
from common.errors import BadInputError
from common.executor_api import CancelKind, ClaimAnswer, ClaimRequest, HeartbeatAnswer, HeartbeatRequest, StepVariable
from common.failure_reasons import FailureReason
from common.git_source import GitSource
from common.job_data import JobData
from common.statuses import StepKind
from common.step_report import Outcome, PlanFacts, ResourceCounts, StepReport

GOLDEN = Path(__file__).parent / "golden"

JOB_DATA = JobData(
    kind=StepKind.PLAN,
    organization_id="org-01k00000000000000000000000",
    workspace_id="ws-01k00000000000000000000000",
    run_id="run-01k00000000000000000000000",
    run_number=41,
    step_id="step-01k00000000000000000000000",
    attempt=2,
    claim="one-time",
    api_url="http://podform-api:8080",
    engine="tofu",
    engine_version="~> 1.9",
    folder="envs/prod",
    refresh=False,
    refresh_only=True,
)
FACTS = PlanFacts(
    plan_sha256="p" * 64,
    configuration_sha256="c" * 64,
    lock_file_sha256="",
    engine="terraform",
    engine_version="1.11.4",
    platform="linux_amd64",
)
REPORT = StepReport(
    outcome=Outcome.ERRORED,
    failure_reason=FailureReason.TERRAFORM_FAILED,
    message="Error: Invalid reference",
    exit_code=1,
    has_changes=True,
    counts=ResourceCounts(add=1, change=2, destroy=3, imported=4),
    plan=FACTS,
    state_serial=7,
    log_bytes=1234,
    engine_version="1.11.4",
    timings={"init": 0.5},
)
ANSWER = ClaimAnswer(
    token="pfa-x",
    variables=(StepVariable(key="a", value='"$(X)"\n', category="TERRAFORM", sensitive=True, hcl=True),),
    environment={"TF_X": "1"},
    redact=("secret",),
    target_addrs=("a.b",),
    replace_addrs=("c.d",),
    configuration_sha256="c" * 64,
    plan=FACTS,
    source=GitSource(
        url="https://git.example/infra.git",
        reference="main",
        commit="0" * 40,
        timeout_seconds=300,
        max_bytes=1024,
        protocols=("https",),
        user_name="oauth2",
        token="t",
    ),
    timeout_seconds=60,
    idle_timeout_seconds=30,
)


def golden(name: str) -> dict[str, Any]:
    """A committed document."""
    document: dict[str, Any] = json.loads((GOLDEN / name).read_text())
    return document


def encoded(document: Any) -> str:
    """A document as it stands in EphemeralJobData."""
    return base64.b64encode(json.dumps(document).encode()).decode()


def test_job_data_is_the_golden() -> None:
    """Job data of version 1 is written as the golden and read back from it."""
    assert json.loads(base64.b64decode(JOB_DATA.encoded())) == golden("job_data.v1.json")
    assert job_data.decode(encoded(golden("job_data.v1.json"))) == JOB_DATA


def test_job_data_ignores_what_it_does_not_know() -> None:
    """Unknown fields of a newer API, and Terrakube's own, are ignored."""
    newer = golden("job_data.v1.json") | {"version": 9, "variables": {}, "somethingNew": [1]}

    assert job_data.decode(encoded(newer)) == JOB_DATA


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"type": "terraformDance"}, "type"),
        ({"jobId": "x"}, "jobId"),
        ({"jobId": 41}, "jobId"),
        ({"version": 0}, "version"),
        ({"attempt": "2"}, "attempt"),
        ({"attempt": True}, "attempt"),
        ({"tofu": "yes"}, "tofu"),
        ({"claim": None}, "claim"),
    ],
)
def test_bad_job_data_names_the_field(change: dict[str, Any], field: str) -> None:
    """What is wrong with job data is said with the field's name."""
    with pytest.raises(BadInputError) as caught:
        job_data.decode(encoded(golden("job_data.v1.json") | change))

    assert caught.value.field == field


def test_a_missing_field_of_job_data_is_named() -> None:
    """A field that is not there is named too."""
    document = golden("job_data.v1.json")
    del document["stepId"]

    with pytest.raises(BadInputError, match="stepId: is missing"):
        job_data.decode(encoded(document))


@pytest.mark.parametrize("text", ["", "%%%", base64.b64encode(b"{").decode(), encoded([1])])
def test_what_is_no_job_data_is_refused(text: str) -> None:
    """Anything but base64 of a JSON object is refused in one sentence."""
    with pytest.raises(BadInputError, match="EphemeralJobData"):
        job_data.decode(text)


def test_job_data_stays_far_below_the_limit_of_an_environment_string() -> None:
    """What would not fit is refused before it reaches a manifest."""
    assert len(JOB_DATA.encoded()) < 2048
    with pytest.raises(BadInputError, match="at most 16384"):
        replace(JOB_DATA, folder="x" * 20_000).encoded()


def test_a_report_is_the_golden() -> None:
    """A report of version 1 is written as the golden and read back from it."""
    assert step_report.to_json(REPORT) == golden("step_report.v1.json")
    assert step_report.from_json(golden("step_report.v1.json")) == REPORT


def test_a_bare_report_is_enough() -> None:
    """Only the outcome is required; a newer executor's reason becomes executor_failed."""
    assert step_report.from_json({"outcome": "finished"}) == StepReport(outcome=Outcome.FINISHED)
    newer = step_report.from_json({"outcome": "errored", "failureReason": "cosmic_ray", "new": 1})
    assert newer.failure_reason is FailureReason.EXECUTOR_FAILED
    assert step_report.from_json(step_report.to_json(newer)) == newer


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({}, "outcome"),
        ({"outcome": "great"}, "outcome"),
        ({"outcome": "finished", "counts": {"add": "1"}}, "add"),
        ({"outcome": "finished", "counts": [1]}, "counts"),
        ({"outcome": "finished", "plan": {"planSha256": "x"}}, "configurationSha256"),
        ({"outcome": "finished", "timings": {"init": "long"}}, "init"),
        ({"outcome": "finished", "hasChanges": 1}, "hasChanges"),
    ],
)
def test_bad_reports_name_the_field(document: dict[str, Any], field: str) -> None:
    """What is wrong with a report is said with the field's name."""
    with pytest.raises(BadInputError) as caught:
        step_report.from_json(document)

    assert caught.value.field == field


def test_timings_may_be_whole_numbers() -> None:
    """JSON has one kind of number; a timing of 1 is a timing of 1.0."""
    assert step_report.from_json({"outcome": "finished", "timings": {"init": 1}}).timings == {"init": 1.0}


def test_a_long_message_is_cut() -> None:
    """A message is a sentence, not a log."""
    assert len(step_report.to_json(replace(REPORT, message="x" * 9000))["message"]) == 4000


def test_the_claim_is_the_golden() -> None:
    """A claim and its answer are written as the goldens and read back from them."""
    request = ClaimRequest(attempt=2, claim="one-time", nonce="n" * 32, executor_version="0.1.0")

    assert request.to_json() == golden("claim_request.v1.json")
    assert executor_api.claim_request_from_json(golden("claim_request.v1.json")) == request
    assert ANSWER.to_json() == golden("claim_answer.v1.json")
    assert executor_api.claim_answer_from_json(golden("claim_answer.v1.json")) == ANSWER


def test_a_bare_claim_answer_is_enough() -> None:
    """Only the token is required."""
    assert executor_api.claim_answer_from_json({"token": "t"}) == ClaimAnswer(token="t")
    assert executor_api.claim_answer_from_json(ClaimAnswer(token="t").to_json()) == ClaimAnswer(token="t")


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({}, "token"),
        ({"token": "t", "variables": ["x"]}, "variables"),
        ({"token": "t", "redact": "x"}, "redact"),
        ({"token": "t", "redact": [1]}, "redact[0]"),
        ({"token": "t", "environment": {"A": 1}}, "A"),
    ],
)
def test_bad_claim_answers_name_the_field(document: dict[str, Any], field: str) -> None:
    """What is wrong with an answer is said with the field's name."""
    with pytest.raises(BadInputError) as caught:
        executor_api.claim_answer_from_json(document)

    assert caught.value.field == field


def test_a_heartbeat_is_the_golden() -> None:
    """A heartbeat's query is written as the golden and read back; older executors send only `wait`, or nothing."""
    request = HeartbeatRequest(wait_seconds=25, undelivered_seconds=90)

    assert request.to_query() == golden("heartbeat_query.v1.json")
    assert executor_api.heartbeat_request_from_query(golden("heartbeat_query.v1.json") | {"new": "x"}) == request
    assert HeartbeatRequest(wait_seconds=25).to_query() == {"wait": "25"}
    assert executor_api.heartbeat_request_from_query({}) == HeartbeatRequest()


@pytest.mark.parametrize("name", ["wait", "undelivered"])
@pytest.mark.parametrize("text", ["-1", "x", "", "1.5", "9" * 12, "9" * 30, "\u0663"])
def test_bad_heartbeats_name_the_parameter(name: str, text: str) -> None:
    """Only whole numbers within their bounds."""
    with pytest.raises(BadInputError) as caught:
        executor_api.heartbeat_request_from_query({name: text})

    assert caught.value.field == name


@pytest.mark.parametrize("cancel", [None, *CancelKind])
def test_heartbeat_answers_travel(cancel: CancelKind | None) -> None:
    """Every answer to a heartbeat survives the way."""
    answer = HeartbeatAnswer(cancel=cancel)

    assert executor_api.heartbeat_answer_from_json(answer.to_json()) == answer


def test_the_proof_depends_on_every_part() -> None:
    """Another secret, step, attempt, claim or nonce gives another proof."""
    parts: dict[str, Any] = {"step_id": "s", "attempt": 1, "claim": "c", "nonce": "n"}
    proofs = {executor_api.claim_proof("secret", **parts), executor_api.claim_proof("other", **parts)}
    for name, value in {"step_id": "t", "attempt": 2, "claim": "d", "nonce": "o"}.items():
        proofs.add(executor_api.claim_proof("secret", **(parts | {name: value})))

    assert len(proofs) == 6


def test_paths_are_below_the_prefix() -> None:
    """Endpoints of a step lie below its id."""
    assert executor_api.step_path("step-1", executor_api.CLAIM) == "/executor/v1/steps/step-1/claim"
    assert executor_api.artifact_path("step-1", "plan") == "/executor/v1/steps/step-1/artifacts/plan"

"""The command line's rules: what it asks for, what it does next, what it says and how it exits."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli import exit_codes, target
from cli.documents import Job, Named, Step, job_of
from cli.errors import ApiRefusedError, CommandError
from cli.exit_codes import ExitCode
from cli.follow import Ended, Move, NeedsApproval, Pause, StreamLog, next_move
from cli.run import RunOptions, approval_hint, check_options, job_attributes, stands_as_asked, summary
from common.statuses import FINAL_RUN_STATUSES, RunStatus, StepKind, TerrakubeStatus

_PLAN, _APPROVAL, _APPLY = StepKind.PLAN, StepKind.APPROVAL, StepKind.APPLY


def _job(status: str, *steps: tuple[StepKind, str], **attributes: str) -> Job:
    made = tuple(
        Step(id=f"step-{n}", number=n * 100, name=kind.value, kind=kind, status=word)
        for n, (kind, word) in enumerate(steps, start=1)
    )
    return Job(number="7", run_id="run-1", run_status=RunStatus(status), steps=made, **attributes)  # type: ignore[arg-type] # texts only


def _kind(move: Move) -> str:
    return f"stream {move.step.id}" if isinstance(move, StreamLog) else type(move).__name__


@pytest.mark.parametrize(
    ("job", "written", "expected"),
    [
        (_job("pending", (_PLAN, "pending"), (_APPLY, "pending")), set(), "stream step-1"),
        (_job("planning", (_PLAN, "running"), (_APPLY, "pending")), set(), "stream step-1"),
        (_job("planning", (_PLAN, "completed"), (_APPLY, "pending")), {"step-1"}, "stream step-2"),
        (_job("planning", (_PLAN, "completed"), (_APPROVAL, "pending")), {"step-1"}, "Pause"),
        (_job("planned", (_PLAN, "completed"), (_APPROVAL, "waitingApproval")), set(), "stream step-1"),
        (_job("planned", (_PLAN, "completed"), (_APPROVAL, "waitingApproval")), {"step-1"}, "NeedsApproval"),
        (_job("confirmed", (_APPROVAL, "completed"), (_APPLY, "pending")), set(), "stream step-2"),
        (_job("applied", (_PLAN, "completed"), (_APPLY, "completed")), {"step-1"}, "stream step-2"),
        (_job("applied", (_PLAN, "completed"), (_APPLY, "completed")), {"step-1", "step-2"}, "Ended"),
        (_job("discarded", (_APPROVAL, "notExecuted"), (_APPLY, "notExecuted")), set(), "Ended"),
        (_job("canceled", (_PLAN, "pending"), (_APPROVAL, "pending")), set(), "Ended"),
        (_job("errored", (_PLAN, "failed"), (_APPLY, "notExecuted")), set(), "stream step-1"),
        (_job("pending"), set(), "Pause"),
        (_job("errored"), set(), "Ended"),
    ],
)
def test_next_move(job: Job, written: set[str], expected: str) -> None:
    """Logs come in the order of the steps; an approval is asked for only behind the logs before it."""
    assert _kind(next_move(job, written)) == expected


_STEPS = st.lists(st.tuples(st.sampled_from(StepKind), st.sampled_from(TerrakubeStatus)), max_size=4)


@given(status=st.sampled_from(RunStatus), steps=_STEPS)
def test_a_run_that_has_ended_is_followed_to_its_end(status: RunStatus, steps: list[tuple[StepKind, str]]) -> None:
    """However a run ended, writing the logs that are left leads to the end, unless an approval still waits."""
    job, written = _job(status.value, *steps), set[str]()
    for _ in range(len(steps) + 1):
        move = next_move(job, written)
        if isinstance(move, StreamLog):
            written.add(move.step.id)
    waits = any(step.is_approval and step.status == TerrakubeStatus.WAITING_APPROVAL for step in job.steps)
    if job.has_ended and not waits:
        assert isinstance(move, Ended)
    if not job.has_ended:
        assert isinstance(move, StreamLog | NeedsApproval | Pause)


@pytest.mark.parametrize("status", FINAL_RUN_STATUSES)
def test_every_final_status_has_its_exit_code(status: RunStatus) -> None:
    """A run that has ended never exits as one that needs approval."""
    assert exit_codes.for_run(status) is not ExitCode.NEEDS_APPROVAL


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("applied", 0),
        ("planned_and_finished", 0),
        ("errored", 1),
        ("discarded", 3),
        ("canceled", 4),
        ("force_canceled", 4),
        ("planned", 5),
    ],
)
def test_exit_codes_of_runs(status: str, code: int) -> None:
    """Each outcome of a run has the documented number."""
    assert exit_codes.for_run(RunStatus(status)) == code


@pytest.mark.parametrize(("status", "code"), [(400, 2), (422, 2), (413, 2), (401, 7), (404, 7), (409, 7), (500, 6)])
def test_exit_codes_of_refusals(status: int, code: int) -> None:
    """A refused value is a usage error, a missing thing a refusal, the API's own failure an API failure."""
    assert ApiRefusedError("", status).exit_code == code


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (RunOptions(), {"templateReference": "Plan and apply", "autoApply": False}),
        (RunOptions(auto_approve=True), {"templateReference": "Plan and apply", "autoApply": True}),
        (RunOptions(plan_only=True), {"templateReference": "Plan"}),
        (RunOptions(destroy=True), {"templateReference": "Terraform-Plan/Destroy-Cli", "autoApply": False}),
        (
            RunOptions(refresh_only=True, message="why", targets=("a.b",), replace=()),
            {
                "templateReference": "Plan and apply",
                "autoApply": False,
                "refreshOnly": True,
                "comments": "why",
                "targetAddrs": ["a.b"],
            },
        ),
    ],
)
def test_what_a_run_asks_for(options: RunOptions, expected: dict[str, object]) -> None:
    """Options become attributes of the job; what was not given is not sent."""
    assert job_attributes(options, "cv-1", "once") == {"configuration": "cv-1", "requestId": "once"} | expected


@pytest.mark.parametrize(
    "options",
    [
        RunOptions(refresh_only=True, destroy=True),
        RunOptions(refresh_only=True, replace=("a.b",)),
        RunOptions(destroy=True, replace=("a.b",)),
    ],
)
def test_options_that_exclude_each_other_are_refused(options: RunOptions) -> None:
    """Contradicting options are refused before anything is sent, by their names."""
    with pytest.raises(CommandError, match="--"):
        check_options(options)


@pytest.mark.parametrize(
    ("asked", "status", "stands"),
    [
        ("approved", "applying", True),
        ("approved", "applied", True),
        ("approved", "discarded", False),
        ("approved", "errored", False),
        ("rejected", "discarded", True),
        ("rejected", "applied", False),
        ("cancelled", "canceled", True),
        ("cancelled", "applying", True),
        ("cancelled", "applied", False),
    ],
)
def test_a_repeated_request_that_was_carried_out(asked: str, status: str, stands: bool) -> None:
    """A refusal of a repeated request is none when the run stands where the request wanted it."""
    assert stands_as_asked(asked, RunStatus(status)) is stands


@pytest.mark.parametrize(
    ("job", "line"),
    [
        (_job("applied"), "run 7 applied: 0 added, 0 changed, 0 destroyed"),
        (_job("planned_and_finished"), "run 7: no changes"),
        (_job("errored", message="why", failure_reason="timed_out"), "run 7 errored (timed_out): why"),
        (_job("errored"), "run 7 errored: see its log"),
        (_job("canceled", message="by hand"), "run 7 is canceled: by hand"),
        (_job("plan_queued"), "run 7 is plan queued"),
    ],
)
def test_summary(job: Job, line: str) -> None:
    """One line says how a run stands, with its reason when it failed."""
    assert summary(job) == line


def test_a_plan_with_changes_is_summed_up() -> None:
    """A plan-only run tells what an apply would do."""
    job = Job(number="7", run_id="", run_status=RunStatus.PLANNED_AND_FINISHED, added=1, changed=2, destroyed=3)
    assert summary(job) == "run 7 planned: 1 to add, 2 to change, 3 to destroy"


def test_the_hint_is_a_command_that_can_be_pasted() -> None:
    """Without a terminal the command that approves is named with the organization that was given."""
    assert "podform approve 7 --organization acme" in approval_hint(_job("planned"), "acme")
    assert "--organization" not in approval_hint(_job("planned"), "")


@pytest.mark.parametrize(
    ("directory", "name"), [("net", "net"), ("my net", "my-net"), ("büro", "b-ro"), ("a" * 100, "a" * 90)]
)
def test_a_directory_gives_a_valid_workspace_name(tmp_path: Path, directory: str, name: str) -> None:
    """The default name holds only what the API accepts."""
    (tmp_path / directory).mkdir()
    assert target.workspace_name(None, tmp_path / directory) == name


@given(st.text(min_size=1).filter(lambda text: "/" not in text and "\0" not in text and text not in {".", ".."}))
def test_no_directory_gives_an_invalid_name(text: str) -> None:
    """A default name is valid or there is none and the option is named."""
    try:
        name = target.workspace_name(None, Path("/tmp") / text)  # noqa: S108 - a path that is never opened
    except CommandError:
        name = "given-by-a-person"
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,90}", name)


def test_a_given_name_is_left_to_the_api() -> None:
    """What a person wrote is never bent into something else."""
    assert target.workspace_name("büro/../x", Path()) == "büro/../x"


def test_settings_have_defaults_and_are_read() -> None:
    """URL and patience have defaults; each variable is read."""
    chosen = target.settings({"PODFORM_TOKEN": "t"})
    assert (chosen.url, chosen.organization, chosen.patience_seconds) == ("http://127.0.0.1:8080", "", 86_400)
    names = ("URL", "ORGANIZATION", "TOKEN", "API_WAIT_SECONDS")
    chosen = target.settings({f"PODFORM_{name}": "5" for name in names})
    assert (chosen.url, chosen.organization, chosen.token, chosen.patience_seconds) == ("5", "5", "5", 5)


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({}, "PODFORM_TOKEN"),
        ({"PODFORM_TOKEN": "a b"}, "PODFORM_TOKEN"),
        ({"PODFORM_TOKEN": "t", "PODFORM_API_WAIT_SECONDS": "soon"}, "PODFORM_API_WAIT_SECONDS"),
        ({"PODFORM_TOKEN": "t", "PODFORM_API_WAIT_SECONDS": "inf"}, "PODFORM_API_WAIT_SECONDS"),
        ({"PODFORM_TOKEN": "t", "PODFORM_API_WAIT_SECONDS": "-1"}, "PODFORM_API_WAIT_SECONDS"),
    ],
)
def test_bad_settings_are_named(environment: dict[str, str], named: str) -> None:
    """The error names the variable; a token is never repeated in it."""
    with pytest.raises(CommandError, match=named) as raised:
        target.settings(environment)
    assert "a b" not in str(raised.value)


_ACME, _BETA = Named("org-1", "acme"), Named("org-2", "beta")


@pytest.mark.parametrize(
    ("existing", "name", "chosen"),
    [([_ACME], "", _ACME), ([], "", None), ([_ACME, _BETA], "beta", _BETA), ([_ACME], "beta", None)],
)
def test_choosing_an_organization(existing: list[Named], name: str, chosen: Named | None) -> None:
    """The named organization, or the only one."""
    assert target.choose_organization(existing, name) == chosen


def test_an_ambiguous_organization_is_asked_for() -> None:
    """With several organizations and no name the error lists them."""
    with pytest.raises(CommandError, match="acme, beta"):
        target.choose_organization([_BETA, _ACME], "")


def test_an_unknown_run_status_says_so() -> None:
    """A status of a newer API is an error that names it, not a traceback."""
    with pytest.raises(CommandError, match="dreaming"):
        job_of({"id": "1", "attributes": {"runStatus": "dreaming"}})


def test_an_answer_of_something_else_says_so() -> None:
    """JSON that is not the API's is an error that doubts the URL."""
    with pytest.raises(CommandError, match="really Podform"):
        job_of({"hello": "world"})

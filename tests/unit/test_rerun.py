"""What may be tried again, from where, and what is refused with which reason."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from api.domain import rerun, run_transitions
from api.domain.entities import Run, RunRecord
from api.domain.entities import Step as RunStep
from api.domain.rerun import Circumstances
from api.domain.retry import Verdict
from common import ids
from common.executor_api import CancelKind
from common.failure_reasons import FailureReason
from common.statuses import RunStatus, StepKind, StepStatus
from common.step_report import Outcome, StepReport

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KINDS = {100: StepKind.PLAN, 150: StepKind.APPROVAL, 200: StepKind.APPLY}
Move = Callable[[RunRecord], RunRecord]


def _new() -> RunRecord:
    run = Run(
        id="run-1",
        number=41,
        organization_id="org-1",
        workspace_id="ws-1",
        configuration_id="cv-1",
        template_name="any",
        created_at=NOW,
        updated_at=NOW,
    )
    steps = (
        RunStep(id=ids.new_id("step"), run_id=run.id, number=number, kind=kind, name=kind.value)
        for number, kind in KINDS.items()
    )
    return RunRecord(run=run, steps=tuple(steps))


def _launched(record: RunRecord) -> RunRecord:
    queued = run_transitions.queued_step(record)
    assert queued is not None
    return run_transitions.launching(record, queued.id, NOW)


def _claimed(record: RunRecord) -> RunRecord:
    step = run_transitions.step_under_way(record)
    assert step is not None
    return run_transitions.claimed(record, step.id, NOW)


def _reported(record: RunRecord, outcome: Outcome, reason: FailureReason | None = None) -> RunRecord:
    step = run_transitions.step_under_way(record)
    assert step is not None
    changes = True if step.kind is StepKind.PLAN else None
    report = StepReport(outcome=outcome, failure_reason=reason, has_changes=changes)
    return run_transitions.reported(record, step.id, report, NOW)


def _errored(record: RunRecord, reason: FailureReason) -> RunRecord:
    step = run_transitions.step_under_way(record)
    assert step is not None
    return run_transitions.errored(record, step.id, reason, "so", NOW)


def _lost(record: RunRecord) -> RunRecord:
    step = run_transitions.step_under_way(record)
    assert step is not None
    return run_transitions.lost(record, step.id, Verdict.OUTCOME_UNKNOWN, FailureReason.EXECUTOR_LOST, "so", NOW)


def _planned() -> RunRecord:
    begun = run_transitions.begin(_new(), NOW)
    return _reported(_claimed(_launched(begun)), Outcome.FINISHED)


def _applying() -> RunRecord:
    return _launched(run_transitions.approved(_planned(), NOW))


def _plan_failed() -> RunRecord:
    begun = run_transitions.begin(_new(), NOW)
    return _reported(_claimed(_launched(begun)), Outcome.ERRORED, FailureReason.TERRAFORM_FAILED)


def _canceled_while_applying() -> RunRecord:
    asked = run_transitions.cancel_requested(_claimed(_applying()), CancelKind.GRACEFUL, NOW)
    return _reported(asked, Outcome.CANCELED)


CASES: dict[str, tuple[RunRecord, str, str, str]] = {
    # what became of the run -> words of the refusal for the whole, from 150, from 200; empty = allowed
    "pending": (_new(), "has ended", "has ended", "has ended"),
    "applying": (_applying(), "has ended", "has ended", "has ended"),
    "applied": (_reported(_claimed(_applying()), Outcome.FINISHED), "ask for a new", "ask for a new", "ask for a new"),
    "plan failed": (_plan_failed(), "", "step 100", "step 100"),
    "discarded": (run_transitions.discarded(_planned(), NOW), "", "", "step 150"),
    "canceled while it waited": (
        run_transitions.cancel_requested(_planned(), CancelKind.GRACEFUL, NOW),
        "",
        "",
        "step 150",
    ),
    "no image for the apply": (_errored(_applying(), FailureReason.IMAGE_PULL), "", "", ""),
    "no engine for the apply": (
        _reported(_claimed(_applying()), Outcome.ERRORED, FailureReason.ENGINE_UNAVAILABLE),
        "",
        "",
        "",
    ),
    "the apply failed": (
        _reported(_claimed(_applying()), Outcome.ERRORED, FailureReason.TERRAFORM_FAILED),
        "",
        "applied once",
        "applied once",
    ),
    "the apply was canceled": (_canceled_while_applying(), "", "applied once", "applied once"),
    "the apply is lost": (_lost(_claimed(_applying())), "", "applied once", "applied once"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_may_be_tried_again(case: str) -> None:
    """Kind of step x ending: a plan always anew, a saved plan only when nobody has begun to apply it."""
    record, *expected = CASES[case]
    for from_step, words in zip((None, 150, 200), expected, strict=True):
        reason = rerun.refusal(record, from_step, Circumstances())
        assert words in reason
        assert bool(reason) is bool(words)
    assert rerun.refusal(record, 100, Circumstances()) == rerun.refusal(record, None, Circumstances())


def test_an_unknown_outcome_is_seen_to_first() -> None:
    """While the run holds the lock that its unknown outcome has left, nothing of it is tried again."""
    record = _lost(_claimed(_applying()))
    for from_step in (None, 100, 200):
        assert "not fully known" in rerun.refusal(record, from_step, Circumstances(locked_by_it=True))


@pytest.mark.parametrize(
    ("move", "words"),
    [
        (lambda again: again, "taken over the same plan"),
        (lambda again: run_transitions.begin(again, NOW), "taken over the same plan"),
        (lambda again: _errored(_launched(run_transitions.begin(again, NOW)), FailureReason.IMAGE_PULL), ""),
        (
            lambda again: _reported(
                _claimed(_launched(run_transitions.begin(again, NOW))), Outcome.ERRORED, FailureReason.TERRAFORM_FAILED
            ),
            "begun to apply",
        ),
    ],
)
def test_of_all_who_share_a_plan_one_applies_it(move: Move, words: str) -> None:
    """A plan that another run has taken over is free again only when that run ended without beginning to apply it."""
    record = _errored(_applying(), FailureReason.IMAGE_PULL)
    other = move(rerun.again(record, 200, ids.new_id, NOW))
    reason = rerun.refusal(record, 200, Circumstances(sharing=(other,)))
    assert words in reason
    assert bool(reason) is bool(words)
    assert rerun.refusal(record, None, Circumstances(sharing=(other,))) == ""


def test_the_new_run_is_linked_and_fresh() -> None:
    """The whole anew: the same steps, none of them done, nothing of the old one's end."""
    record = _plan_failed()
    again = rerun.again(record, None, ids.new_id, NOW)
    assert (again.run.status, again.run.retry_of, again.run.plan_run_id) == (RunStatus.PENDING, 41, "")
    assert (again.run.failure_reason, again.run.message, again.run.finished_at) == (None, "", None)
    assert [(step.number, step.kind) for step in again.steps] == list(KINDS.items())
    assert {step.status for step in again.steps} == {StepStatus.PENDING}
    assert not {step.id for step in again.steps} & {step.id for step in record.steps}


def test_a_chain_of_retries_leads_to_the_first_plan() -> None:
    """What was taken over twice still names the attempt and the run that did it."""
    record = _errored(_applying(), FailureReason.IMAGE_PULL)
    second = rerun.again(record, 150, ids.new_id, NOW)
    waiting = run_transitions.begin(second, NOW)
    assert waiting.run.status is RunStatus.PLANNED
    applying = _launched(run_transitions.approved(waiting, NOW))
    third = rerun.again(_errored(applying, FailureReason.IMAGE_PULL), 200, ids.new_id, NOW)
    assert third.run.plan_run_id == record.run.id
    assert third.steps[0].taken_over_from == ids.attempt_name(record.steps[0].id, 1)
    assert third.steps[0].report == record.steps[0].report
    assert third.steps[1].taken_over_from == ids.attempt_name(second.steps[1].id, 0)
    assert run_transitions.begin(third, NOW).steps[2].status is StepStatus.QUEUED


def test_only_the_approval_is_ever_asked_again_of_a_decided_run() -> None:
    """A run whose options changed nothing keeps them: the new run has the old one's configuration and addresses."""
    record = run_transitions.discarded(_planned(), NOW)
    record = replace(record, run=replace(record.run, target_addrs=("a.b",), comments="why"))
    again = rerun.again(record, 150, ids.new_id, NOW)
    assert (again.run.target_addrs, again.run.comments, again.run.configuration_id) == (("a.b",), "why", "cv-1")
    assert again.run.has_changes is True

"""Every move of a run and its steps, one by one: what follows, and what is refused."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from api.domain import run_transitions, timeouts
from api.domain.entities import Run, RunRecord
from api.domain.entities import Step as RunStep
from api.domain.retry import Verdict
from common.executor_api import CancelKind
from common.failure_reasons import FailureReason
from common.launcher_port import CarrierUnavailableError, LaunchRejectedError
from common.statuses import IllegalTransitionError, RunStatus, StepKind, StepStatus
from common.step_report import Outcome, ResourceCounts, StepReport

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = datetime(2026, 1, 2, tzinfo=UTC)
GRACEFUL, FORCE = CancelKind.GRACEFUL, CancelKind.FORCE
OUTCOME_UNKNOWN = FailureReason.OUTCOME_UNKNOWN


def _record(*kinds: StepKind) -> RunRecord:
    run = Run(
        id="run-1",
        number=1,
        organization_id="org-1",
        workspace_id="ws-1",
        configuration_id="cv-1",
        template_name="any",
        plan_only=False,
        created_at=NOW,
        updated_at=NOW,
    )
    steps = (RunStep(id=f"s{n}", run_id=run.id, number=n, kind=kind, name=kind.value) for n, kind in enumerate(kinds))
    return RunRecord(run=run, steps=tuple(steps))


def _whole() -> RunRecord:
    return _record(StepKind.PLAN, StepKind.APPROVAL, StepKind.APPLY)


def _running(record: RunRecord, step_id: str = "s0") -> RunRecord:
    """The record with that step claimed; the first one begins the run."""
    if record.run.status is RunStatus.PENDING:
        record = run_transitions.begin(record, NOW)
    return run_transitions.claimed(run_transitions.launching(record, step_id, NOW), step_id, NOW)


def _report(outcome: Outcome = Outcome.FINISHED, **facts: object) -> StepReport:
    # has_changes and the like; every other field has a default
    return replace(StepReport(outcome=outcome), **facts)  # type: ignore[arg-type] # names fields of the report


def _planned(record: RunRecord, has_changes: bool | None = True) -> RunRecord:
    return run_transitions.reported(_running(record), "s0", _report(has_changes=has_changes), LATER)


def _statuses(record: RunRecord) -> tuple[str, ...]:
    return (record.run.status.value, *(step.status.value for step in record.steps))


def test_the_way_of_an_approved_run() -> None:
    """Plan, approval, apply: each end queues the next, and the counts of the last report stay."""
    waiting = _planned(_whole())
    assert _statuses(waiting) == ("planned", "finished", "waiting_approval", "pending")
    confirmed = run_transitions.approved(waiting, LATER)
    assert _statuses(confirmed) == ("confirmed", "finished", "finished", "queued")
    assert run_transitions.queued_step(confirmed) == confirmed.step("s2")
    applying = _running(confirmed, "s2")
    assert run_transitions.step_under_way(applying) == applying.step("s2")
    counts = ResourceCounts(add=1, change=2, destroy=3)
    applied = run_transitions.reported(applying, "s2", _report(counts=counts), LATER)
    assert _statuses(applied) == ("applied", "finished", "finished", "finished")
    assert (applied.run.additions, applied.run.changes, applied.run.destructions) == (1, 2, 3)
    assert run_transitions.queued_step(applied) is None
    assert run_transitions.step_under_way(applied) is None


def test_without_changes_nothing_is_applied() -> None:
    """A plan without changes ends the run; the steps behind it are skipped."""
    assert _statuses(_planned(_whole(), has_changes=False)) == (
        "planned_and_finished",
        "finished",
        "skipped",
        "skipped",
    )  # fmt: skip - one line reads as one state


def test_an_automatic_apply_is_queued_at_once() -> None:
    """Without an approval the apply follows the plan."""
    assert _statuses(_planned(_record(StepKind.PLAN, StepKind.APPLY))) == ("confirmed", "finished", "queued")


def test_an_approval_at_the_end_finishes_the_run() -> None:
    """A flow that ends with an approval has nothing more to do."""
    approved = run_transitions.approved(_planned(_record(StepKind.PLAN, StepKind.APPROVAL)), LATER)
    assert approved.run.status is RunStatus.PLANNED_AND_FINISHED


@pytest.mark.parametrize("record", [_record(), replace(_whole(), run=replace(_whole().run, status=RunStatus.APPLIED))])
def test_only_a_pending_run_with_steps_begins(record: RunRecord) -> None:
    """A run without steps, or one that has begun, cannot begin."""
    with pytest.raises(IllegalTransitionError, match="only a pending one can begin"):
        run_transitions.begin(record, NOW)


def test_what_a_launched_step_waits_for_is_noted() -> None:
    """The sentence is kept while the step is being launched, and gone once it is claimed."""
    launched = run_transitions.launching(run_transitions.begin(_whole(), NOW), "s0", NOW)
    noted = run_transitions.waits(launched, "s0", "an image", LATER)
    assert (noted.step("s0").message, noted.run.updated_at) == ("an image", LATER)
    assert run_transitions.waits(noted, "s0", "an image", LATER) is noted
    claimed = run_transitions.claimed(noted, "s0", LATER)
    assert run_transitions.waits(claimed, "s0", "a node", LATER) is claimed
    assert claimed.step("s0").message == ""


@pytest.mark.parametrize(
    ("report", "reason"),
    [
        (_report(Outcome.ERRORED, failure_reason=FailureReason.TERRAFORM_FAILED), FailureReason.TERRAFORM_FAILED),
        (_report(Outcome.ERRORED), FailureReason.EXECUTOR_FAILED),
        (_report(Outcome.CANCELED), FailureReason.EVICTED),
    ],
)
def test_a_failed_step_fails_the_run(report: StepReport, reason: FailureReason) -> None:
    """The run errors with the step's reason; stopped without a cancel means stopped by the carrier."""
    failed = run_transitions.reported(_running(_whole()), "s0", replace(report, message="why"), LATER)
    assert _statuses(failed) == ("errored", "errored", "skipped", "skipped")
    assert (failed.run.failure_reason, failed.run.message) == (reason, "why")


def test_a_canceled_step_cancels_the_run() -> None:
    """A step that ends by a cancel that was asked for ends the run canceled."""
    asked = run_transitions.cancel_requested(_running(_whole()), GRACEFUL, NOW)
    assert asked.run.status is RunStatus.PLANNING
    ended = run_transitions.reported(asked, "s0", _report(Outcome.CANCELED), LATER)
    assert _statuses(ended) == ("canceled", "canceled", "skipped", "skipped")


def test_a_step_that_finished_before_the_cancel_reached_it_counts() -> None:
    """The plan is kept, nothing further starts; a last step's end makes the run applied all the same."""
    asked = run_transitions.cancel_requested(_running(_whole()), GRACEFUL, NOW)
    assert _statuses(run_transitions.reported(asked, "s0", _report(has_changes=True), LATER))[:2] == (
        "canceled",
        "finished",
    )  # fmt: skip - as above
    asked = run_transitions.cancel_requested(_running(_record(StepKind.APPLY)), GRACEFUL, NOW)
    assert run_transitions.reported(asked, "s0", _report(), LATER).run.status is RunStatus.APPLIED


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (Verdict.AGAIN, ("planning", "queued", "pending", "pending")),
        (Verdict.CANCELED, ("canceled", "canceled", "skipped", "skipped")),
        (Verdict.OUTCOME_UNKNOWN, ("errored", "errored", "skipped", "skipped")),
        (Verdict.ERRORED, ("errored", "errored", "skipped", "skipped")),
    ],
)
def test_a_lost_carrier(verdict: Verdict, expected: tuple[str, ...]) -> None:
    """A step whose carrier is gone is queued again, canceled or errored, as the verdict says."""
    lost = run_transitions.lost(_running(_whole()), "s0", verdict, FailureReason.NODE_LOST, "gone", LATER)
    assert _statuses(lost) == expected
    unknown = verdict is Verdict.OUTCOME_UNKNOWN
    if verdict in {Verdict.ERRORED, Verdict.OUTCOME_UNKNOWN}:
        assert lost.run.failure_reason is (OUTCOME_UNKNOWN if unknown else FailureReason.NODE_LOST)


def test_a_lost_carrier_after_a_forced_cancel() -> None:
    """A run whose executor was killed on demand is force-canceled."""
    asked = run_transitions.cancel_requested(_running(_whole()), GRACEFUL, NOW)
    asked = run_transitions.cancel_requested(asked, FORCE, NOW)
    lost = run_transitions.lost(asked, "s0", Verdict.FORCE_CANCELED, FailureReason.EXECUTOR_LOST, "", LATER)
    assert lost.run.status is RunStatus.FORCE_CANCELED


def _unknown() -> RunRecord:
    applying = _running(_record(StepKind.APPLY))
    return run_transitions.lost(applying, "s0", Verdict.OUTCOME_UNKNOWN, FailureReason.EXECUTOR_LOST, "gone", NOW)


def test_a_late_report_settles_an_unknown_outcome() -> None:
    """The report of the attempt that was thought lost makes the run applied, or gives the true reason."""
    assert run_transitions.reported(_unknown(), "s0", _report(), LATER).run.status is RunStatus.APPLIED
    failed = _report(Outcome.ERRORED, failure_reason=FailureReason.TERRAFORM_FAILED)
    settled = run_transitions.reported(_unknown(), "s0", failed, LATER)
    assert (settled.run.status, settled.run.failure_reason) == (RunStatus.ERRORED, FailureReason.TERRAFORM_FAILED)
    assert settled.step("s0").failure_reason is FailureReason.TERRAFORM_FAILED


@pytest.mark.parametrize("outcome", [Outcome.FINISHED, Outcome.ERRORED])
def test_a_settled_failure_stays(outcome: Outcome) -> None:
    """A step that errored for a known reason is not changed by another report."""
    failed = run_transitions.errored(_running(_whole()), "s0", FailureReason.TIMED_OUT, "", NOW)
    with pytest.raises(IllegalTransitionError, match="timed_out"):
        run_transitions.reported(failed, "s0", _report(outcome), LATER)


def test_a_discard() -> None:
    """A waiting plan and a run that has not begun can be discarded; a running one cannot."""
    assert _statuses(run_transitions.discarded(_planned(_whole()), LATER)) == (
        "discarded",
        "finished",
        "skipped",
        "skipped",
    )  # fmt: skip - as above
    assert run_transitions.discarded(_whole(), LATER).run.status is RunStatus.DISCARDED
    with pytest.raises(IllegalTransitionError, match="cannot be discarded now"):
        run_transitions.discarded(_running(_whole()), LATER)


def test_an_approval_needs_a_waiting_plan() -> None:
    """A run that is planning cannot be approved, nor one whose waiting step is no approval."""
    with pytest.raises(IllegalTransitionError, match="cannot be approved now"):
        run_transitions.approved(_running(_whole()), LATER)
    odd = _record(StepKind.PLAN)
    odd = replace(odd, steps=(replace(odd.steps[0], status=StepStatus.WAITING_APPROVAL),))
    with pytest.raises(IllegalTransitionError, match="cannot be approved now"):
        run_transitions.approved(odd, LATER)


def test_cancels() -> None:
    """A cancel ends what has no executor at once, is harmless when repeated, and comes before force."""
    assert run_transitions.cancel_requested(_planned(_whole()), GRACEFUL, LATER).run.status is RunStatus.CANCELED
    queued = run_transitions.begin(_whole(), NOW)
    assert _statuses(run_transitions.cancel_requested(queued, GRACEFUL, LATER))[:2] == ("canceled", "canceled")
    running = _running(_whole())
    with pytest.raises(IllegalTransitionError, match="only after one"):
        run_transitions.cancel_requested(running, FORCE, LATER)
    asked = run_transitions.cancel_requested(running, GRACEFUL, NOW)
    assert run_transitions.cancel_requested(asked, GRACEFUL, LATER) is asked
    forced = run_transitions.cancel_requested(asked, FORCE, NOW)
    assert run_transitions.cancel_requested(forced, GRACEFUL, LATER) is forced
    ended = run_transitions.cancel_requested(_whole(), GRACEFUL, NOW)
    with pytest.raises(IllegalTransitionError, match="cannot be canceled any more"):
        run_transitions.cancel_requested(ended, GRACEFUL, LATER)


def test_which_runs_take_their_workspace() -> None:
    """Unfinished runs that may change something do."""
    run = _whole().run
    assert run_transitions.takes_workspace(run)
    assert not run_transitions.takes_workspace(replace(run, plan_only=True))
    assert not run_transitions.takes_workspace(replace(run, status=RunStatus.APPLIED))


def test_a_step_of_another_run_is_unknown() -> None:
    """A record knows its own steps only."""
    with pytest.raises(KeyError):
        _whole().step("s9")
    with pytest.raises(KeyError):
        _record().step("s0")


def test_errors_of_carriers_carry_their_facts() -> None:
    """A rejection brings its reason, an unavailability how long to wait."""
    assert LaunchRejectedError(FailureReason.START_FAILED, "why").reason is FailureReason.START_FAILED
    assert CarrierUnavailableError("why", 2.5).retry_after_seconds == 2.5


def test_a_step_lost_before_its_claim_is_launched_as_the_next_attempt() -> None:
    """The run stays where it is while the second attempt is launched."""
    launched = run_transitions.launching(run_transitions.begin(_whole(), NOW), "s0", NOW)
    lost = run_transitions.lost(launched, "s0", Verdict.AGAIN, FailureReason.START_FAILED, "gone", NOW)
    again = run_transitions.launching(lost, "s0", LATER)
    assert (again.run.status, again.step("s0").attempt) == (RunStatus.PLAN_QUEUED, 2)


def test_an_approval_expires_once_its_time_has_come() -> None:
    """Not before, not without a time, and never what somebody has decided."""
    for_ever = _planned(_whole())
    assert run_transitions.expired(for_ever, LATER + timedelta(days=999)) is for_ever
    record = _whole()
    record = replace(record, run=replace(record.run, approval_expiry_seconds=60))
    waiting = _planned(record)
    assert waiting.step("s1").expires_at == LATER + timedelta(seconds=60)
    assert run_transitions.expired(waiting, LATER + timedelta(seconds=59)) is waiting
    ended = run_transitions.expired(waiting, LATER + timedelta(seconds=60))
    assert (ended.run.status, ended.run.message) == (
        RunStatus.DISCARDED,
        "nobody approved the plan within 60 s: it was discarded",
    )
    approved = run_transitions.approved(waiting, LATER)
    assert run_transitions.expired(approved, LATER + timedelta(days=1)) is approved


@pytest.mark.parametrize(("of_workspace", "setting", "expected"), [(None, 5, 5), (0, 5, 0), (7, 5, 7), (None, 0, 0)])
def test_a_workspace_has_the_last_word_on_timeouts(of_workspace: int | None, setting: int, expected: int) -> None:
    """Its own value counts, none being one."""
    assert timeouts.effective(of_workspace, setting) == expected

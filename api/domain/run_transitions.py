"""How a run and its steps move: every transition as a pure function from a record to a record.

Services load a record, call one of these, save what it answers. What is not allowed raises
IllegalTransitionError and changes nothing.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from api.domain import step_sequence
from api.domain.entities import Run, RunRecord, Step
from api.domain.retry import Verdict
from api.domain.step_sequence import Continuation
from common import statuses
from common.executor_api import CancelKind
from common.failure_reasons import FailureReason
from common.statuses import (
    FINAL_RUN_STATUSES,
    FINAL_STEP_STATUSES,
    IllegalTransitionError,
    RunStatus,
    StepKind,
    StepStatus,
)
from common.step_report import Outcome, StepReport

#: An errored step with this reason may still be settled by the report of its current attempt.
UNSETTLED = frozenset({FailureReason.OUTCOME_UNKNOWN})


def begin(record: RunRecord, now: datetime) -> RunRecord:
    """A pending run gets its turn: its first step that was not taken over becomes queued, or waits for a person."""
    first = next((step for step in record.steps if step.status is StepStatus.PENDING), None)
    if record.run.status is not RunStatus.PENDING or first is None:
        raise IllegalTransitionError(f"run {record.run.number} is {record.run.status}; only a pending one can begin")
    if first.kind is StepKind.APPROVAL:
        waiting = _waiting(record.run, first, now)
        return _run_while(_with_step(record, waiting), waiting, now)
    return _queue(record, first, now)


def launching(record: RunRecord, step_id: str, now: datetime) -> RunRecord:
    """A queued step is about to be launched as its next attempt: the intent."""
    step = record.step(step_id)
    moved = _step_to(step, StepStatus.LAUNCHING)
    moved = replace(moved, attempt=step.attempt + 1, message="")
    return _run_while(_with_step(record, moved), moved, now)


def claimed(record: RunRecord, step_id: str, now: datetime) -> RunRecord:
    """The executor of the current attempt has claimed the step."""
    moved = replace(_step_to(record.step(step_id), StepStatus.RUNNING), started_at=now, message="")
    return _run_while(_with_step(record, moved), moved, now)


def waits(record: RunRecord, step_id: str, message: str, now: datetime) -> RunRecord:
    """Note what a launched step waits for (an image, a node): a sentence for people, no transition."""
    step = record.step(step_id)
    if step.status is not StepStatus.LAUNCHING or step.message == message:
        return record
    record = _with_step(record, replace(step, message=message))
    return _touch(record, now)


def reported(record: RunRecord, step_id: str, report: StepReport, now: datetime) -> RunRecord:
    """The finish report of the step's current attempt: the step ends and the run moves on."""
    step = record.step(step_id)
    if report.outcome is Outcome.FINISHED:
        return _finished(record, step, report, now)
    if report.outcome is Outcome.CANCELED and record.run.cancel is not None:
        ended = replace(_step_to(step, StepStatus.CANCELED), report=report, message=report.message, finished_at=now)
        return _canceled(_with_step(record, ended), now)
    reason = report.failure_reason or _default_reason(report)
    ended = replace(step, report=report)
    return errored(_with_step(record, ended), step_id, reason, report.message, now)


def errored(record: RunRecord, step_id: str, reason: FailureReason, message: str, now: datetime) -> RunRecord:
    """The step failed, and the run with it."""
    step = record.step(step_id)
    if step.status is StepStatus.ERRORED:  # an unknown outcome that turned out to be a failure
        _refuse_unless_unsettled(step)
        step = replace(step, failure_reason=reason, message=message, finished_at=now)
        run = replace(record.run, failure_reason=reason, message=message, updated_at=now, finished_at=now)
        return replace(_with_step(record, step), run=run)
    step = replace(_step_to(step, StepStatus.ERRORED), failure_reason=reason, message=message, finished_at=now)
    record = _skip_following(_with_step(record, step), now)
    return _end(record, RunStatus.ERRORED, now, reason=reason, message=message)


def lost(
    record: RunRecord, step_id: str, verdict: Verdict, reason: FailureReason, message: str, now: datetime
) -> RunRecord:
    """The carrier of the step's attempt is gone without a report; `verdict` is retry.verdict's."""
    step = record.step(step_id)
    if verdict is Verdict.AGAIN:
        again = replace(_step_to(step, StepStatus.QUEUED), message=message, queued_at=now, started_at=None)
        return _touch(_with_step(record, again), now)
    if verdict in {Verdict.CANCELED, Verdict.FORCE_CANCELED}:
        ended = replace(_step_to(step, StepStatus.CANCELED), message=message, finished_at=now)
        return _canceled(_with_step(record, ended), now)
    if verdict is Verdict.OUTCOME_UNKNOWN:
        reason = FailureReason.OUTCOME_UNKNOWN
    return errored(record, step_id, reason, message, now)


def approved(record: RunRecord, now: datetime) -> RunRecord:
    """Somebody approves the plan: what follows the approval is queued."""
    step = _waiting_step(record, "approved")
    record = _with_step(record, replace(_step_to(step, StepStatus.FINISHED), finished_at=now))
    record = _run_to(record, RunStatus.CONFIRMED, now)
    _, following = step_sequence.after(record.steps, step, None)
    if following is None:  # a flow that ends with an approval has nothing more to do
        return _end(record, RunStatus.PLANNED_AND_FINISHED, now)
    return _queue(record, following, now)


def expired(record: RunRecord, now: datetime) -> RunRecord:
    """Nobody approved the plan in time: it is discarded. The record itself before the time, or once it has moved on."""
    for step in record.steps:
        if step.status is StepStatus.WAITING_APPROVAL and step.expires_at is not None and step.expires_at <= now:
            seconds = record.run.approval_expiry_seconds
            ended = discarded(record, now)
            message = f"nobody approved the plan within {seconds} s: it was discarded"
            return replace(ended, run=replace(ended.run, message=message))
    return record


def discarded(record: RunRecord, now: datetime) -> RunRecord:
    """Somebody rejects the plan; a run that has not begun can be discarded too."""
    if record.run.status is RunStatus.PENDING:
        return _end(_skip_following(record, now), RunStatus.DISCARDED, now)
    step = _waiting_step(record, "discarded")
    record = _with_step(record, replace(_step_to(step, StepStatus.SKIPPED), finished_at=now))
    return _end(_skip_following(record, now), RunStatus.DISCARDED, now)


def cancel_requested(record: RunRecord, kind: CancelKind, now: datetime) -> RunRecord:
    """Somebody cancels. A step under way keeps the run where it is until it has ended; else it ends here."""
    run = record.run
    if run.status in FINAL_RUN_STATUSES:
        raise IllegalTransitionError(f"run {run.number} is {run.status}; it cannot be canceled any more")
    if kind is CancelKind.FORCE and run.cancel is None:
        raise IllegalTransitionError(f"run {run.number} has not been canceled; a forced cancel comes only after one")
    if run.cancel is CancelKind.FORCE or run.cancel is kind:
        return record
    record = replace(record, run=replace(run, cancel=kind, updated_at=now))
    return record if step_under_way(record) else _canceled(record, now)


def step_under_way(record: RunRecord) -> Step | None:
    """The step that has (or may have) an executor right now."""
    for step in record.steps:
        if step.status in {StepStatus.LAUNCHING, StepStatus.RUNNING}:
            return step
    return None


def queued_step(record: RunRecord) -> Step | None:
    """The step that is ready to be launched."""
    for step in record.steps:
        if step.status is StepStatus.QUEUED:
            return step
    return None


def _finished(record: RunRecord, step: Step, report: StepReport, now: datetime) -> RunRecord:
    if step.status is StepStatus.ERRORED:
        _refuse_unless_unsettled(step)
    ended = replace(
        _step_to(step, StepStatus.FINISHED),
        report=report,
        failure_reason=None,
        message=report.message,
        finished_at=now,
    )
    record = _with_facts(_with_step(record, ended), report)
    how, following = step_sequence.after(record.steps, ended, report.has_changes)
    if record.run.cancel is not None and following is not None:
        return _canceled(record, now)  # it finished before the cancel reached it; nothing further starts
    if how is Continuation.WAIT_FOR_APPROVAL and following is not None:
        waiting = _waiting(record.run, following, now)
        return _run_while(_with_step(record, waiting), waiting, now)
    if how is Continuation.NEXT_STEP and following is not None:
        return _queue(_run_to(record, RunStatus.CONFIRMED, now), following, now)
    return _completed(record, ended, now)


def _completed(record: RunRecord, last: Step, now: datetime) -> RunRecord:
    record = _skip_following(record, now)
    done = RunStatus.PLANNED_AND_FINISHED if last.kind in statuses.PLAN_KINDS else RunStatus.APPLIED
    return _end(record, done, now)


def _with_facts(record: RunRecord, report: StepReport) -> RunRecord:
    run = record.run
    if report.has_changes is not None:
        run = replace(run, has_changes=report.has_changes)
    if report.counts is not None:
        counts = report.counts
        run = replace(run, additions=counts.add, changes=counts.change, destructions=counts.destroy)
    return replace(record, run=run)


def _canceled(record: RunRecord, now: datetime) -> RunRecord:
    """End the run as canceled; whatever of it has not ended is canceled (the next step) or skipped (the rest)."""
    for step in record.steps:
        if step.status in {StepStatus.QUEUED, StepStatus.WAITING_APPROVAL}:
            record = _with_step(record, replace(_step_to(step, StepStatus.CANCELED), finished_at=now))
    forced = record.run.cancel is CancelKind.FORCE
    return _end(_skip_following(record, now), RunStatus.FORCE_CANCELED if forced else RunStatus.CANCELED, now)


def _end(
    record: RunRecord, status: RunStatus, now: datetime, *, reason: FailureReason | None = None, message: str = ""
) -> RunRecord:
    record = _run_to(record, status, now)
    return replace(record, run=replace(record.run, failure_reason=reason, message=message, finished_at=now))


def _queue(record: RunRecord, step: Step, now: datetime) -> RunRecord:
    return _touch(_with_step(record, replace(_step_to(step, StepStatus.QUEUED), queued_at=now)), now)


def _skip_following(record: RunRecord, now: datetime) -> RunRecord:
    for step in record.steps:
        if step.status not in FINAL_STEP_STATUSES:
            record = _with_step(record, replace(_step_to(step, StepStatus.SKIPPED), finished_at=now))
    return record


def _waiting(run: Run, approval: Step, now: datetime) -> Step:
    seconds = run.approval_expiry_seconds
    expires_at = now + timedelta(seconds=seconds) if seconds else None
    return replace(_step_to(approval, StepStatus.WAITING_APPROVAL), expires_at=expires_at)


def _run_while(record: RunRecord, step: Step, now: datetime) -> RunRecord:
    return _run_to(record, statuses.RUN_STATUS_WHILE[(step.kind, step.status)], now)


def _run_to(record: RunRecord, status: RunStatus, now: datetime) -> RunRecord:
    if record.run.status is not status:
        statuses.check_run_transition(record.run.status, status)
    return replace(record, run=replace(record.run, status=status, updated_at=now))


def _step_to(step: Step, status: StepStatus) -> Step:
    statuses.check_step_transition(step.status, status)
    return replace(step, status=status)


def _touch(record: RunRecord, now: datetime) -> RunRecord:
    return replace(record, run=replace(record.run, updated_at=now))


def _with_step(record: RunRecord, changed: Step) -> RunRecord:
    return replace(record, steps=tuple(changed if step.id == changed.id else step for step in record.steps))


def _waiting_step(record: RunRecord, verb: str) -> Step:
    waiting: Iterable[Step] = (step for step in record.steps if step.status is StepStatus.WAITING_APPROVAL)
    for step in waiting:
        if step.kind is StepKind.APPROVAL:
            return step
    raise IllegalTransitionError(f"run {record.run.number} is {record.run.status}; it cannot be {verb} now")


def _refuse_unless_unsettled(step: Step) -> None:
    if step.failure_reason not in UNSETTLED:
        raise IllegalTransitionError(f"the step has ended: {step.failure_reason}")


def _default_reason(report: StepReport) -> FailureReason:
    # An executor that was stopped although nobody canceled was stopped by what carried it.
    return FailureReason.EVICTED if report.outcome is Outcome.CANCELED else FailureReason.EXECUTOR_FAILED


def takes_workspace(run: Run) -> bool:
    """Whether an unfinished run has (or will have) its workspace to itself."""
    return not run.plan_only and run.status not in FINAL_RUN_STATUSES

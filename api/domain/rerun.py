"""Whether an ended run may be tried again, from which step, and the run that does it.

Pure; asked by services/retry_run. The rule behind it: a plan may be made again at any time; a saved plan is applied
once, and only by a run that knows that nobody has begun to apply it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from api.domain.entities import Run, RunRecord, Step
from common import ids
from common.failure_reasons import FailureReason
from common.statuses import (
    APPLY_KINDS,
    FINAL_RUN_STATUSES,
    PLAN_KINDS,
    RunStatus,
    StepStatus,
)

#: What ends a claimed apply before its terraform has begun to change anything.
_BEFORE_TERRAFORM = frozenset({FailureReason.ENGINE_UNAVAILABLE})
_NOTHING_TO_TRY = frozenset({RunStatus.APPLIED, RunStatus.PLANNED_AND_FINISHED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What counts besides the run itself."""

    locked_by_it: bool = False  # it holds the lock of its workspace: its outcome is not fully known
    sharing: Sequence[RunRecord] = ()  # the other runs that have, or had, the same plan


def begun_to_apply(step: Step) -> bool:
    """Whether a step may have changed the world: it applies, and its executor had it."""
    if step.kind not in APPLY_KINDS or step.failure_reason in _BEFORE_TERRAFORM:
        return False
    return step.started_at is not None or step.failure_reason is FailureReason.OUTCOME_UNKNOWN


def refusal(record: RunRecord, from_step: int | None, circumstances: Circumstances) -> str:
    """Why the run must not be tried again from that step (None: from its beginning); empty when it may."""
    run = record.run
    if run.status not in FINAL_RUN_STATUSES:
        return f"run {run.number} is {run.status}; only a run that has ended can be tried again"
    if run.status in _NOTHING_TO_TRY:
        return f"run {run.number} is {run.status}: there is nothing to try again; ask for a new run"
    if circumstances.locked_by_it:
        return (
            f"the outcome of run {run.number} is not fully known: see what it did, unlock the workspace, "
            "then try it again from its beginning"
        )
    if not taken_over(record, from_step):
        return ""
    return _unfinished_before(record, from_step) or _plan_is_used(record, circumstances)


def taken_over(record: RunRecord, from_step: int | None) -> tuple[Step, ...]:
    """The steps that are not done again."""
    return tuple(step for step in record.steps if from_step is not None and step.number < from_step)


def again(record: RunRecord, from_step: int | None, new_id: Callable[[str], str], now: datetime) -> RunRecord:
    """The run that does it: pending, without a number yet, of the same configuration and options."""
    old = record.run
    kept = {step.id for step in taken_over(record, from_step)}
    planned = any(step.id in kept and step.kind in PLAN_KINDS for step in record.steps)
    run_id = new_id("run")
    steps = tuple(
        _copied(step, run_id, new_id("step")) if step.id in kept else _fresh(step, run_id, new_id("step"))
        for step in record.steps
    )
    run = replace(
        old,
        id=run_id,
        number=0,
        status=RunStatus.PENDING,
        has_changes=old.has_changes if planned else None,
        additions=old.additions if planned else None,
        changes=old.changes if planned else None,
        destructions=old.destructions if planned else None,
        cancel=None,
        failure_reason=None,
        message="",
        request_id=None,
        retry_of=old.number,
        plan_run_id=plan_owner(old) if planned else "",
        created_at=now,
        updated_at=now,
        finished_at=None,
    )
    return RunRecord(run=run, steps=steps)


def plan_owner(run: Run) -> str:
    """Id of the run that made the plan which this run has."""
    return run.plan_run_id or run.id


def _unfinished_before(record: RunRecord, from_step: int | None) -> str:
    for step in taken_over(record, from_step):
        if step.status is not StepStatus.FINISHED:
            return f"step {step.number} ({step.name}) of run {record.run.number} is {step.status}; start from it"
    return ""


def _plan_is_used(record: RunRecord, circumstances: Circumstances) -> str:
    for other in (record, *circumstances.sharing):
        number = other.run.number
        if any(begun_to_apply(step) for step in other.steps):
            return (
                f"run {number} has begun to apply this plan, and a saved plan is applied once: "
                "try again from the beginning, with a new plan"
            )
        if other.run.status not in FINAL_RUN_STATUSES:
            return f"run {number} has taken over the same plan and is {other.run.status}; see to that one"
    return ""


def _copied(step: Step, run_id: str, step_id: str) -> Step:
    origin = step.taken_over_from or ids.attempt_name(step.id, step.attempt)
    return replace(step, id=step_id, run_id=run_id, taken_over_from=origin)


def _fresh(step: Step, run_id: str, step_id: str) -> Step:
    return Step(id=step_id, run_id=run_id, number=step.number, kind=step.kind, name=step.name)

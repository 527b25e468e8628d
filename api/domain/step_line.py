"""The canonical line about a step that has ended: what there is to say of it, for logs and figures.

Pure; asked by services/transitions after the commit that ended it. Names and figures only: never a message or a value.
"""

from collections.abc import Mapping
from datetime import datetime

from api.domain.entities import Attempt, RunRecord, Step
from common.statuses import FINAL_STEP_STATUSES, StepStatus

#: Parts of a step's time that terraform itself works in, as the executor's report names them.
_TERRAFORM_PARTS = ("init", "plan", "apply", "destroy")


def ended_just_now(record: RunRecord) -> tuple[Step, ...]:
    """The steps that ended by the transition that made this record; skipped ones never began and are left out."""
    return tuple(
        step
        for step in record.steps
        if step.status in FINAL_STEP_STATUSES
        and step.status is not StepStatus.SKIPPED
        and step.finished_at == record.run.updated_at
    )


def facts(record: RunRecord, step: Step) -> Mapping[str, str | int | float]:
    """The fields of the line; a time that is not known is left out."""
    run, report = record.run, step.report
    known: dict[str, str | int | float] = {
        "organization_id": run.organization_id,
        "workspace_id": run.workspace_id,
        "run_id": run.id,
        "run_number": run.number,
        "step_id": step.id,
        "attempt": step.attempt,
        "kind": step.kind.value,
        "outcome": step.status.value,
        "reason": step.failure_reason.value if step.failure_reason else "",
    }
    spans = {
        "start_seconds": _seconds(step.queued_at, step.started_at),
        "work_seconds": _seconds(step.started_at, step.finished_at),
        "total_seconds": _seconds(step.queued_at, step.finished_at),
    }
    known.update({name: seconds for name, seconds in spans.items() if seconds is not None})
    if report is not None:
        known["terraform_seconds"] = round(sum(report.timings.get(part, 0.0) for part in _TERRAFORM_PARTS), 3)
        known["log_bytes"] = report.log_bytes
    return known


def queue_seconds(record: RunRecord, attempt: Attempt) -> float:
    """How long an attempt's step has waited for its launch: a run's first step since the run was asked for."""
    step = record.step(attempt.step_id)
    first = attempt.number == 1 and step.id == record.steps[0].id
    since = record.run.created_at if first or step.queued_at is None else step.queued_at
    return (attempt.created_at - since).total_seconds()


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    return None if start is None or end is None else round((end - start).total_seconds(), 3)

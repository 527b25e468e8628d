"""Saving a transition: the run, its steps, its events and its hold on the workspace in one transaction.

Called by every service that moves a run, inside its writing transaction; `tell` after the commit.
"""

from dataclasses import replace
from datetime import datetime

import structlog

from api.domain import events, step_line
from api.domain.entities import Run, RunRecord, Workspace
from api.services.ports import WORK_TOPIC, Ports, Writing, decision_topic, run_topic, step_topic, workspace_topic
from common.failure_reasons import FailureReason
from common.statuses import FINAL_RUN_STATUSES, RunStatus, StepStatus

_log = structlog.get_logger()


async def save(tx: Writing, old: RunRecord | None, new: RunRecord, now: datetime) -> None:
    """Save what changed between two records of a run, and take or free its workspace accordingly."""
    await tx.save_record(old, new, events.between(old, new, now))
    if old is None or _same_hold(old.run, new.run):
        return
    workspace = await tx.get(Workspace, new.run.workspace_id)
    if workspace is None:
        return
    held = _held(workspace, new.run)
    if held != workspace:
        await tx.save(replace(held, updated_at=now))


def tell(ports: Ports, record: RunRecord) -> None:
    """Wake followers of the run and the scheduler, and log what steps ended; after the commit."""
    for step in step_line.ended_just_now(record):
        facts = step_line.facts(record, step)
        _log.info("step", **facts)
        kind, outcome, reason = str(facts["kind"]), str(facts["outcome"]), str(facts["reason"])
        ports.figures.count("step", kind=kind, outcome=outcome, reason=reason)
        if "work_seconds" in facts:
            ports.figures.time("step", float(facts["work_seconds"]), kind=kind, outcome=outcome)
    ports.bells.ring(run_topic(record.run.id))
    for step in record.steps:
        ports.bells.ring(step_topic(step.id))
        ports.bells.ring(decision_topic(step.id))
    ports.bells.ring(workspace_topic(record.run.workspace_id))
    # what may begin now: this run, its next step, or whoever waited for its workspace
    if record.run.status in FINAL_RUN_STATUSES or record.run.status is RunStatus.PENDING or _queued(record):
        ports.turns.add(record.run.organization_id, record.run.workspace_id)
    ports.bells.ring(WORK_TOPIC)


def _queued(record: RunRecord) -> bool:
    return any(step.status is StepStatus.QUEUED for step in record.steps)


def _same_hold(old: Run, new: Run) -> bool:
    return old.status is new.status and old.failure_reason is new.failure_reason


def _held(workspace: Workspace, run: Run) -> Workspace:
    """The workspace as the run's status wants it held."""
    if run.status not in FINAL_RUN_STATUSES:
        return workspace
    if workspace.taken_by == run.id:
        workspace = replace(workspace, taken_by="")
    if run.failure_reason is FailureReason.OUTCOME_UNKNOWN:
        reason = f"the outcome of run {run.number} is not fully known: {run.message}"
        return replace(workspace, locked=True, locked_by=run.id, lock_reason=reason)
    if workspace.locked and workspace.locked_by == run.id:  # its late report settled it
        return replace(workspace, locked=False, locked_by="", lock_reason="")
    return workspace

"""What becomes of runs that were not ended in a back-up: nothing of them may start again by itself.

Called by api/restore.py before a restored database is served for the first time. What happened after the back-up is
not known to it: a run that waits in it may have been applied since, so that starting it could apply it twice.
"""

from dataclasses import replace
from datetime import datetime

from api.domain import run_transitions
from api.domain.entities import Attempt, AttemptState, Run, RunRecord, Workspace
from api.services import transitions
from api.services.ports import Page, Ports, Reading, Writing
from common import ids
from common.failure_reasons import FailureReason
from common.statuses import APPLY_KINDS, FINAL_RUN_STATUSES, FINAL_STEP_STATUSES, RunStatus

#: Who holds the lock of a workspace after a restore: no run, so that no late report of one opens it.
LOCKED_BY = "restore"
_PAGE = 500
_CLAIMED = frozenset({AttemptState.CLAIMED, AttemptState.LOST})


async def settle_restored(ports: Ports, taken_at: str) -> tuple[int, ...]:
    """End every run that has not ended, and lock the workspaces that they may have changed; the runs' numbers."""
    async with ports.database.reading() as tx:
        unfinished = await _unfinished(tx)
    for run in unfinished:
        await _settle(ports, run, taken_at)
    return tuple(run.number for run in unfinished)


async def _unfinished(tx: Reading) -> list[Run]:
    found: list[Run] = []
    for status in (status for status in RunStatus if status not in FINAL_RUN_STATUSES):
        number = 1
        while items := (await tx.listing(Run, Page(number, _PAGE), {"status": status})).items:
            found += items
            number += 1
    return sorted(found, key=lambda run: run.number)


async def _settle(ports: Ports, run: Run, taken_at: str) -> None:
    now = ports.clock()
    async with ports.database.writing() as tx:
        record = await tx.record(run.id)
        if record is None:
            return
        await _close_attempts(tx, record, now)
        reason = FailureReason.EXECUTOR_LOST if run.plan_only else FailureReason.OUTCOME_UNKNOWN
        message = f"restored from a back-up of {taken_at}, in which this run was {run.status}"
        if not run.plan_only:
            message += "; whether it was applied after that is not known"
        step = next((step for step in record.steps if step.status not in FINAL_STEP_STATUSES), record.steps[-1])
        await transitions.save(tx, record, run_transitions.errored(record, step.id, reason, message, now), now)
        workspace = await tx.get(Workspace, run.workspace_id)
        if workspace is not None and not run.plan_only:
            lock = f"restored from a back-up of {taken_at}: run {run.number} may have been applied since"
            await tx.save(replace(workspace, locked=True, locked_by=LOCKED_BY, lock_reason=lock, updated_at=now))


async def _close_attempts(tx: Writing, record: RunRecord, now: datetime) -> None:
    """No attempt may be claimed any more. An apply that was claimed may still deliver its states and its report."""
    for step in record.steps:
        attempt = await tx.get(Attempt, ids.attempt_name(step.id, step.attempt)) if step.attempt else None
        if attempt is None or attempt.state in {AttemptState.SETTLED, AttemptState.FENCED}:
            continue
        welcome = attempt.state in _CLAIMED and step.kind in APPLY_KINDS
        state = AttemptState.LOST if welcome else AttemptState.FENCED
        await tx.save(replace(attempt, state=state, settled_at=now))

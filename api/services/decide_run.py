"""A person decides: approve, discard, cancel, force-cancel. Called by the public routes.

One transaction each, so that of two decisions at once the second sees the first. Stopping carriers is the
scheduler's (stop_attempts); a cancel that an executor can hear is answered to its heartbeat.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from api.domain import run_transitions
from api.domain.entities import Attempt, AttemptState, RunRecord
from api.domain.permissions import Principal
from api.services import transitions
from api.services.access import visible_record
from api.services.ports import Ports, Writing
from common import ids
from common.executor_api import CancelKind


async def approve_run(ports: Ports, principal: Principal, organization_id: str, reference: str) -> RunRecord:
    """Go on with the apply. Raises NotFoundError, IllegalTransitionError."""
    return await _moved(ports, principal, organization_id, reference, run_transitions.approved)


async def discard_run(ports: Ports, principal: Principal, organization_id: str, reference: str) -> RunRecord:
    """Reject the plan. Raises NotFoundError, IllegalTransitionError."""
    return await _moved(ports, principal, organization_id, reference, run_transitions.discarded)


async def _moved(
    ports: Ports,
    principal: Principal,
    organization_id: str,
    reference: str,
    transition: Callable[[RunRecord, datetime], RunRecord],
) -> RunRecord:
    now = ports.clock()
    async with ports.database.writing() as tx:
        record = await visible_record(tx, principal, organization_id, reference)
        moved = transition(record, now)
        await transitions.save(tx, record, moved, now)
    transitions.tell(ports, moved)
    return moved


async def cancel_run(
    ports: Ports, principal: Principal, organization_id: str, reference: str, kind: CancelKind
) -> RunRecord:
    """Cancel; forced only after a cancel. Raises NotFoundError, IllegalTransitionError."""
    now = ports.clock()
    async with ports.database.writing() as tx:
        record = await visible_record(tx, principal, organization_id, reference)
        moved = run_transitions.cancel_requested(record, kind, now)
        await _tell_attempt(tx, moved, kind, now)
        await transitions.save(tx, record, moved, now)
    transitions.tell(ports, moved)
    return moved


async def _tell_attempt(tx: Writing, record: RunRecord, kind: CancelKind, now: datetime) -> None:
    """Fence an attempt that is not claimed yet; leave the word for one that is."""
    step = run_transitions.step_under_way(record)
    if step is None:
        return
    attempt = await tx.get(Attempt, ids.attempt_name(step.id, step.attempt))
    if attempt is None:
        return
    unclaimed = attempt.state in {AttemptState.LAUNCHING, AttemptState.LAUNCHED}
    state = AttemptState.FENCED if unclaimed else attempt.state
    await tx.save(replace(attempt, state=state, cancel=kind, cancel_at=attempt.cancel_at or now))

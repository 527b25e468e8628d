"""What the carriers say about attempts becomes the truth about steps.

Called by the scheduler with whatever the launchers observe. An attempt counts as vanished only because its
carrier says so, never because a heartbeat is missing; api/domain/retry.py decides what becomes of the step.
"""

import asyncio
import contextlib
import json
from dataclasses import replace
from datetime import datetime

import structlog

from api.domain import patience, retry, run_transitions
from api.domain.beyond_state import beyond_state
from api.domain.entities import Attempt, AttemptState, RunRecord, Step
from api.domain.retry import Verdict
from api.services import transitions
from api.services.ports import Ports, Writing
from api.services.receive_state import state_key
from api.services.stop_attempts import stop_attempt
from common.failure_reasons import FailureReason
from common.launcher_port import CarrierObservation, CarrierPhase, CarrierUnavailableError
from common.statuses import APPLY_KINDS, StepStatus

_log = structlog.get_logger()

_GONE = frozenset({CarrierPhase.ENDED, CarrierPhase.ABSENT})
_CLAIMED = frozenset({AttemptState.CLAIMED, AttemptState.LOST})
_UNDER_WAY = frozenset({StepStatus.LAUNCHING, StepStatus.RUNNING})
#: How much of a log's end is searched for what was applied beyond the last state.
_HINT_BYTES = 4 * 1024 * 1024
#: The tail of what an executor printed is kept with the step up to this length.
_TAIL_CHARACTERS = 1500


async def settle(ports: Ports, observation: CarrierObservation) -> None:
    """Take an observation into account; late, repeated and foreign ones change nothing."""
    if await _stale(ports, observation) or observation.phase is CarrierPhase.RUNNING:
        return
    hint = await _hint(ports, observation) if observation.phase in _GONE else ""
    now = ports.clock()
    async with ports.database.writing() as tx:
        attempt = await tx.get(Attempt, observation.name)
        record = await tx.record(attempt.run_id) if attempt else None
        if attempt is None or record is None:
            return
        moved = await _moved(ports, tx, attempt, record, observation, now)
        if moved == record:
            return
        if moved.run.failure_reason is FailureReason.OUTCOME_UNKNOWN and hint:
            moved = replace(moved, run=replace(moved.run, message=f"{moved.run.message}; {hint}"))
        await transitions.save(tx, record, moved, now)
    transitions.tell(ports, moved)
    await _stale(ports, observation)  # when it was given up just now


async def _stale(ports: Ports, observation: CarrierObservation) -> bool:
    """End the carrier of an attempt that may not be claimed any more and whose step has moved on without it."""
    if observation.phase in _GONE:
        return False
    async with ports.database.reading() as tx:
        attempt = await tx.get(Attempt, observation.name)
        record = await tx.record(attempt.run_id) if attempt and attempt.state is AttemptState.FENCED else None
    if attempt is None or record is None:
        return False
    step = record.step(attempt.step_id)
    if step.attempt == attempt.number and step.status in _UNDER_WAY:
        return False  # a cancel: stop_attempts sees to it
    with contextlib.suppress(CarrierUnavailableError):  # its next observation comes here again
        await stop_attempt(ports, attempt, force=False)
    return True


async def _moved(
    ports: Ports, tx: Writing, attempt: Attempt, record: RunRecord, observation: CarrierObservation, now: datetime
) -> RunRecord:
    step = record.step(attempt.step_id)
    current = step.attempt == attempt.number and step.status in _UNDER_WAY
    if observation.phase is CarrierPhase.PENDING and current:
        return await _pending(ports, tx, attempt, record, observation, now)
    if observation.phase not in _GONE:
        return record
    if attempt.state is AttemptState.SETTLED or not current:
        return record
    if attempt.state is AttemptState.LAUNCHING and observation.phase is CarrierPhase.ABSENT:
        return record  # not launched yet: the intent will be carried out
    return await _lost(tx, attempt, record, observation, now)


async def _pending(
    ports: Ports, tx: Writing, attempt: Attempt, record: RunRecord, observation: CarrierObservation, now: datetime
) -> RunRecord:
    """The attempt waits to start: note what for, or give it up."""
    message = observation.message or record.step(attempt.step_id).message
    unclaimed = attempt.state in {AttemptState.LAUNCHING, AttemptState.LAUNCHED}
    waited = (now - attempt.created_at).total_seconds()
    rules = ports.rules
    if not unclaimed or not patience.exhausted(
        observation.reason,
        waited,
        patience_seconds=rules.start_patience_seconds,
        timeout_seconds=rules.start_timeout_seconds,
    ):
        return run_transitions.waits(record, attempt.step_id, message, now)
    await tx.save(replace(attempt, state=AttemptState.FENCED, settled_at=now))
    reason = observation.reason or FailureReason.UNSCHEDULABLE
    text = f"it did not start within {waited:.0f} s: {message or 'the cluster does not say why'}"
    return run_transitions.errored(record, attempt.step_id, reason, text, now)


async def _lost(
    tx: Writing, attempt: Attempt, record: RunRecord, observation: CarrierObservation, now: datetime
) -> RunRecord:
    step = record.step(attempt.step_id)
    claimed = attempt.state in _CLAIMED
    verdict = retry.verdict(
        kind=step.kind,
        claimed=claimed,
        cancel=attempt.cancel,
        reason=observation.reason,
        attempt=attempt.number,
    )
    state = AttemptState.LOST if verdict is Verdict.OUTCOME_UNKNOWN else AttemptState.FENCED
    await tx.save(replace(attempt, state=state, settled_at=now))
    reason = observation.reason or FailureReason.EXECUTOR_LOST
    return run_transitions.lost(
        record, step.id, verdict, reason, _sentence(step, verdict, observation, claimed=claimed), now
    )


async def _hint(ports: Ports, observation: CarrierObservation) -> str:
    """What the durable log of a vanished apply shows beyond the last state; empty when there is nothing to tell.

    Looked for before the writing transaction, which nobody should wait for; and whatever is wrong with the log or
    the state, which code in a configuration may have written, the loss itself is settled.
    """
    async with ports.database.reading() as tx:
        attempt = await tx.get(Attempt, observation.name)
        step = await tx.get(Step, attempt.step_id) if attempt and attempt.state in _CLAIMED else None
        if attempt is None or step is None or step.kind not in APPLY_KINDS:
            return ""
        current = await tx.current_state(attempt.workspace_id)
    try:
        size = await ports.logs.size(attempt.name)
        log = await ports.logs.read(attempt.name, max(0, size - _HINT_BYTES), _HINT_BYTES)
        content = await ports.artifacts.get(state_key(attempt.workspace_id, current.id)) if current else None
        return await asyncio.to_thread(lambda: beyond_state(log, json.loads(content) if content else None))
    except Exception:  # noqa: BLE001 - a hint must not hold up what it is about
        _log.exception("no_hint", attempt=attempt.name)
        return ""


def _sentence(step: Step, verdict: Verdict, observation: CarrierObservation, *, claimed: bool) -> str:
    """What people read about the loss: what was seen, then what follows from it."""
    seen = observation.message or _bare(observation)
    when = "while it worked" if claimed else "before it began"
    text = f"the executor of {step.name.lower()!r} was gone {when}: {seen}"
    if verdict is Verdict.AGAIN:
        text += "; it is started again"
    if verdict is Verdict.OUTCOME_UNKNOWN:
        text += "; the last state it delivered is kept, and what it did after that is not known"
    if verdict is Verdict.FORCE_CANCELED and claimed:
        text += "; the last state it delivered is kept"
    tail = observation.log_tail.strip()[-_TAIL_CHARACTERS:]
    return f"{text}\n{tail}" if tail and verdict is not Verdict.AGAIN else text


def _bare(observation: CarrierObservation) -> str:
    if observation.exit_code is None:
        return "it ended without a report"
    if observation.exit_code < 0:
        return f"it was ended by signal {-observation.exit_code}"
    return f"it ended with exit code {observation.exit_code} and without a report"

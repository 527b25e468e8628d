"""Carrying out one order: the launcher is asked, its answer is saved.

Called by the scheduler loop, once per attempt at a time, again with backoff while the carrier is unavailable.
"""

from dataclasses import replace

from api.domain import run_transitions
from api.domain.entities import Attempt, AttemptState
from api.services import transitions
from api.services.ports import Ports
from common.failure_reasons import FailureReason
from common.launcher_port import Carried, LaunchOrder, LaunchRejectedError


async def launch_attempt(ports: Ports, order: LaunchOrder) -> None:
    """Launch the attempt if it is still wanted and note what became of it.

    Raises CarrierUnavailableError: the caller tries again later; the intent stays.
    """
    async with ports.database.reading() as tx:
        attempt = await tx.get(Attempt, order.name)
    if attempt is None or attempt.state is not AttemptState.LAUNCHING:
        return
    launcher = ports.launchers.get(attempt.launcher)
    if launcher is None:
        await _rejected(
            ports, order.name, FailureReason.START_FAILED, f"there is no launcher {attempt.launcher!r} here"
        )
        return
    try:
        carried = await launcher.launch(order)
    except LaunchRejectedError as rejection:
        await _rejected(ports, order.name, rejection.reason, str(rejection))
        return
    await _carried(ports, order.name, carried)


async def note_unavailable(ports: Ports, name: str, message: str) -> None:
    """Say on the step that its carrier does not take it: what a person sees while it is tried again."""
    now = ports.clock()
    async with ports.database.writing() as tx:
        attempt = await tx.get(Attempt, name)
        record = await tx.record(attempt.run_id) if attempt and attempt.state is AttemptState.LAUNCHING else None
        if attempt is None or record is None:
            return
        await transitions.save(tx, record, run_transitions.waits(record, attempt.step_id, message, now), now)


async def _carried(ports: Ports, name: str, carried: Carried) -> None:
    async with ports.database.writing() as tx:
        attempt = await tx.get(Attempt, name)
        if attempt is None:
            return
        launching = attempt.state is AttemptState.LAUNCHING  # else its executor was faster than this answer
        state = AttemptState.LAUNCHED if launching else attempt.state
        await tx.save(replace(attempt, state=state, carrier_uid=carried.uid, warnings=carried.warnings))


async def _rejected(ports: Ports, name: str, reason: FailureReason, message: str) -> None:
    now = ports.clock()
    async with ports.database.writing() as tx:
        attempt = await tx.get(Attempt, name)
        if attempt is None or attempt.state is not AttemptState.LAUNCHING:
            return
        record = await tx.record(attempt.run_id)
        if record is None:
            return
        await tx.save(replace(attempt, state=AttemptState.FENCED, settled_at=now))
        moved = run_transitions.errored(record, attempt.step_id, reason, message, now)
        await transitions.save(tx, record, moved, now)
    transitions.tell(ports, moved)

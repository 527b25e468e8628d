"""Which carriers must be ended now, and ending them: fenced attempts, forced cancels, cancels past their grace.

Called by the scheduler loop whenever there is work and from time to time. Repeating it is harmless: an attempt
is on the list until its step has left it.
"""

from datetime import datetime, timedelta

from api.domain import ownership
from api.domain.entities import Attempt, AttemptState
from api.services.ports import Ports
from common.executor_api import CancelKind


async def attempts_to_stop(ports: Ports) -> tuple[tuple[Attempt, bool], ...]:
    """Attempts whose carrier must end, each with whether by force."""
    now, here = ports.clock(), await ports.nodes.here()
    async with ports.database.reading() as tx:
        canceled = await tx.attempts_of_canceled_runs()
    return tuple(
        (attempt, forced)
        for attempt in canceled
        if (ownership.sees_to(attempt, here) or ownership.may_give_up(attempt, here))
        and (forced := must_stop(attempt, now, ports.rules.cancel_grace_seconds)) is not None
    )


def must_stop(attempt: Attempt, now: datetime, grace_seconds: int) -> bool | None:
    """None: let it work; False: end it; True: end it by force."""
    if attempt.cancel is CancelKind.FORCE:
        return True
    if attempt.state is AttemptState.FENCED:
        return False
    if attempt.cancel_at is not None and now - attempt.cancel_at > timedelta(seconds=grace_seconds):
        return False
    return None


async def stop_attempt(ports: Ports, attempt: Attempt, *, force: bool) -> None:
    """Tell the carrier to end it. Raises CarrierUnavailableError: the caller tries again later."""
    launcher = ports.launchers.get(attempt.launcher)
    if launcher is not None:
        await launcher.stop(attempt.name, force=force)

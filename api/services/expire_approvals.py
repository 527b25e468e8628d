"""Plans that nobody approved in time are discarded.

Called by the scheduler's loop, which sleeps no longer than until the next one is due; when that is stands with the
step, so a restart forgets nothing.
"""

from datetime import datetime

from api.domain import run_transitions
from api.services import transitions
from api.services.ports import Ports

#: So many in one round of the scheduler; the others have theirs in the next.
AT_ONCE = 20


async def expire_approvals(ports: Ports) -> datetime | None:
    """Discard what is due; when the next one will be, if one waits."""
    for _ in range(AT_ONCE):
        async with ports.database.reading() as tx:
            due = await tx.next_expiry()
        if due is None or due[1] > ports.clock():
            return due[1] if due else None
        await _expire(ports, due[0])
    return ports.clock()


async def _expire(ports: Ports, run_id: str) -> None:
    now = ports.clock()
    async with ports.database.writing() as tx:
        record = await tx.record(run_id)
        moved = run_transitions.expired(record, now) if record else None
        if record is None or moved is None or moved is record:
            return  # somebody has decided meanwhile
        await transitions.save(tx, record, moved, now)
    transitions.tell(ports, moved)

"""An executor's token opens its own attempt and nothing else. Called by every service for executors.

Validity is looked up on the attempt's row, not on a clock: the token outlives any outage of the API and dies
with the attempt.
"""

import hmac
from collections.abc import Iterable

from api import log_context
from api.domain.entities import Attempt, AttemptState, RunRecord
from api.services.errors import RefusedError
from api.services.ports import Ports, Reading
from common import ids
from common.executor_api import Refusal

#: States in which an attempt may still report and deliver.
OPEN = frozenset({AttemptState.CLAIMED, AttemptState.LOST})


async def attempt_of(
    ports: Ports, tx: Reading, step_id: str, token: str, states: Iterable[AttemptState] = OPEN
) -> tuple[Attempt, RunRecord]:
    """The attempt that this token belongs to, with its run.

    Raises RefusedError: UNKNOWN when the token does not fit the step, SUPERSEDED, CANCELED or SETTLED.
    """
    if not ids.is_id(step_id, "step"):
        raise _unknown()
    token_hash = ports.codes.hashed(token)
    attempt = await tx.find(Attempt, step_id=step_id, token_hash=token_hash)
    if attempt is None or not hmac.compare_digest(attempt.token_hash, token_hash):
        raise _unknown()
    log_context.note(attempt=attempt.name, run_id=attempt.run_id, workspace_id=attempt.workspace_id)
    record = await tx.record(attempt.run_id)
    if record is None:
        raise _unknown()
    if record.step(step_id).attempt != attempt.number:
        raise RefusedError(Refusal.SUPERSEDED, "another attempt of this step has taken over")
    if attempt.state not in states:
        raise RefusedError(_why_closed(attempt), f"this attempt is {attempt.state}")
    return attempt, record


async def admit(ports: Ports, step_id: str, token: str) -> None:
    """Refuse, as `attempt_of` does, before the body of a large delivery is read for nothing."""
    async with ports.database.reading() as tx:
        await attempt_of(ports, tx, step_id, token)


def _why_closed(attempt: Attempt) -> Refusal:
    if attempt.state is AttemptState.SETTLED:
        return Refusal.SETTLED
    return Refusal.CANCELED if attempt.cancel else Refusal.SUPERSEDED


def _unknown() -> RefusedError:
    return RefusedError(Refusal.UNKNOWN, "no such step, or the token does not fit")

"""The finish report of an attempt, recorded once however often it arrives; the run moves on in the same commit.

Called by the executor routes. The next step is scheduled by this report, not by the end of the carrier.
"""

from dataclasses import replace

from api.domain import run_transitions
from api.domain.entities import AttemptState
from api.services import transitions
from api.services.attempt_access import OPEN, attempt_of
from api.services.errors import RefusedError
from api.services.ports import Ports
from common import step_report
from common.executor_api import Refusal
from common.statuses import IllegalTransitionError
from common.step_report import StepReport


async def record_step_report(ports: Ports, step_id: str, token: str, report: StepReport) -> None:
    """Settle the attempt and move its run on. The same report again changes nothing; another one is SETTLED."""
    now = ports.clock()
    async with ports.database.writing() as tx:
        attempt, record = await attempt_of(ports, tx, step_id, token, (*OPEN, AttemptState.SETTLED))
        if attempt.state is AttemptState.SETTLED:
            _refuse_unless_same(record.step(step_id).report, report)
            return
        try:
            moved = run_transitions.reported(record, step_id, report, now)
        except IllegalTransitionError as error:
            raise RefusedError(Refusal.SETTLED, str(error)) from error
        await tx.save(replace(attempt, state=AttemptState.SETTLED, settled_at=now))
        await transitions.save(tx, record, moved, now)
    transitions.tell(ports, moved)


def _refuse_unless_same(recorded: StepReport | None, report: StepReport) -> None:
    if recorded is None or step_report.to_json(recorded) != step_report.to_json(report):
        raise RefusedError(Refusal.SETTLED, "this attempt has reported already, and differently")

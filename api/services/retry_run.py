"""An ended run is tried again, from its beginning or from one of its steps. Called by the public routes.

A new run linked to the old one, with its configuration and options and the variables of now;
api/domain/rerun.py decides what may be done again.
"""

from dataclasses import dataclass, replace

from api.domain import rerun
from api.domain.entities import Run, RunRecord, Workspace
from api.domain.permissions import Principal
from api.domain.rerun import Circumstances
from api.domain.timeouts import effective
from api.services import transitions
from api.services.access import visible_record, visible_workspace
from api.services.create_run import check_comments, check_request_id, known_run
from api.services.errors import ConflictError
from api.services.ports import Ports, Reading
from common import ids
from common.errors import BadInputError


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRequest:
    """What a caller asks for."""

    from_step: int | None = None  # a step's number; None = the whole run
    comments: str | None = None  # None = the old run's
    request_id: str | None = None


async def retry_run(
    ports: Ports, principal: Principal, organization_id: str, reference: str, request: RetryRequest
) -> RunRecord:
    """Save the new run and wake the scheduler; a repeated request answers with the first run.

    Raises NotFoundError, BadInputError naming the field, ConflictError with the reason for a refusal.
    """
    check_comments(request.comments or "")
    check_request_id(request.request_id)
    now = ports.clock()
    async with ports.database.writing() as tx:
        old = await visible_record(tx, principal, organization_id, reference)
        workspace = await visible_workspace(tx, principal, organization_id, old.run.workspace_id)
        if request.request_id and (known := await known_run(tx, workspace, request.request_id)):
            return known
        _check_step(old, request.from_step)
        if reason := rerun.refusal(old, request.from_step, await _circumstances(tx, workspace, old.run)):
            raise ConflictError(reason)
        record = rerun.again(old, request.from_step, ids.new_id, now)
        run = replace(
            record.run,
            number=await tx.next_run_number(),
            comments=old.run.comments if request.comments is None else request.comments,
            created_by=principal.name,
            via="API",
            approval_expiry_seconds=effective(workspace.approval_expiry_seconds, ports.rules.approval_expiry_seconds),
            request_id=request.request_id,
        )
        record = replace(record, run=run)
        await transitions.save(tx, None, record, now)
    transitions.tell(ports, record)
    return record


def _check_step(record: RunRecord, from_step: int | None) -> None:
    numbers = [step.number for step in record.steps]
    if from_step is not None and from_step not in numbers:
        allowed = ", ".join(str(number) for number in numbers)
        raise BadInputError("fromStep", f"is {from_step}; run {record.run.number} has the steps {allowed}")


async def _circumstances(tx: Reading, workspace: Workspace, run: Run) -> Circumstances:
    owner = rerun.plan_owner(run)
    sharing = [owner, *(other.id for other in await tx.all(Run, workspace_id=workspace.id, plan_run_id=owner))]
    records = [await tx.record(run_id) for run_id in sharing if run_id != run.id]
    return Circumstances(
        locked_by_it=workspace.locked and workspace.locked_by == run.id,
        sharing=tuple(record for record in records if record),
    )

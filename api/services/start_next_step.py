"""The scheduler's decision for one workspace: which runs begin, which queued steps are launched.

Called by the scheduler loop (api/scheduler.py) whenever a workspace's bell rang. It saves the intent and
answers with the orders; launch_attempt carries them out.
"""

from collections import Counter
from dataclasses import replace
from datetime import datetime

from api.domain import launch_mode, run_transitions, step_line, workspace_queue
from api.domain.entities import (
    Attempt,
    AttemptState,
    Organization,
    RunRecord,
    Variable,
    VariableCategory,
    Workspace,
)
from api.domain.slots import Slots
from api.domain.timeouts import effective
from api.services import transitions
from api.services.ports import Ports, Reading, Writing
from common import ids
from common.job_data import JobData
from common.launcher_port import LaunchOrder
from common.statuses import IllegalTransitionError, RunStatus


def _wait(ports: Ports, workspace: Workspace, limits: Slots, *, begun: bool) -> None:
    """For want of a slot it keeps its place, or waits for its pool; else others have their turn first."""
    if not begun and limits.free(workspace.organization_id) != 0:
        ports.turns.park(workspace.pool, workspace.organization_id, workspace.id)
    else:
        ports.turns.add(workspace.organization_id, workspace.id, first=not begun)


#: Runs of one workspace (plan-only ones but for one) that begin in one transaction, for others to have their turn.
MAX_AT_ONCE = 8


async def start_next_step(ports: Ports, workspace_id: str) -> tuple[LaunchOrder, ...]:
    """Begin what may begin in the workspace and save the intent to launch; the orders to carry out now.

    Raises WorkspaceBusyError while another transaction has the workspace.
    """
    now = ports.clock()
    async with ports.database.writing() as tx:
        workspace = await tx.claim_workspace(workspace_id)
        if workspace is None:
            return ()
        able = await _ready(tx, workspace)
        # counted inside the transaction: of two that begin at once the second sees the first
        limits = await slots(ports, tx) if able else None
        free = limits.room(workspace.organization_id, workspace.pool) if limits else None
        ready = able[:free][:MAX_AT_ONCE]
        moved = [await _intend(ports, tx, workspace, record, now) for record in ready]
        orders = [await order_for(ports, tx, record, attempt) for record, attempt in moved if attempt]
    for record, attempt in moved:
        _tell(ports, record, attempt)
    if limits and len(able) > len(ready):
        _wait(ports, workspace, limits, begun=bool(ready))
    return tuple(orders)


def _tell(ports: Ports, record: RunRecord, attempt: Attempt | None) -> None:
    transitions.tell(ports, record)
    if attempt is not None:
        kind = record.step(attempt.step_id).kind.value
        ports.figures.time("step_queue", step_line.queue_seconds(record, attempt), kind=kind)


async def slots(ports: Ports, tx: Reading) -> Slots:
    """The limits and how much of them is used; nothing is counted where there are none."""
    rules = ports.rules
    overall, per_organization = rules.max_concurrent_runs, rules.max_concurrent_runs_per_organization
    pools = rules.max_concurrent_runs_per_pool
    counted = await tx.runs_under_way() if overall or per_organization or pools else {}
    owners: Counter[str] = Counter()
    in_pools: Counter[str] = Counter()
    for (owner, pool), number in counted.items():
        owners[owner] += number
        in_pools[pool] += number
    return Slots(overall=overall, per_organization=per_organization, under_way=owners, pools=pools, in_pools=in_pools)


async def order_for(ports: Ports, tx: Reading, record: RunRecord, attempt: Attempt) -> LaunchOrder:
    """The order of an attempt: the same one each time it is made, also after a crash between intent and launch."""
    run = record.run
    organization = await tx.get(Organization, run.organization_id)
    workspace = await tx.get(Workspace, run.workspace_id)
    job_data = JobData(
        kind=record.step(attempt.step_id).kind,
        organization_id=run.organization_id,
        workspace_id=run.workspace_id,
        run_id=run.id,
        run_number=run.number,
        step_id=attempt.step_id,
        attempt=attempt.number,
        claim=ports.codes.claim_code(attempt.name),
        api_url=ports.rules.api_url,
        engine=run.engine,
        engine_version=run.engine_version,
        folder=run.folder,
        refresh=run.refresh,
        refresh_only=run.refresh_only,
    )
    return LaunchOrder(
        name=attempt.name,
        job_data=job_data,
        organization_name=organization.name if organization else "",
        workspace_name=workspace.name if workspace else "",
        timeout_seconds=effective(
            workspace.step_timeout_seconds if workspace else None, ports.rules.step_timeout_seconds
        ),
        plan_run_id=run.plan_run_id,
        shape=await shape_of(tx, run.workspace_id),
    )


async def shape_of(tx: Reading, workspace_id: str) -> dict[str, str]:
    """The workspace's ENV variables that shape its carrier."""
    variables = await tx.all(Variable, workspace_id=workspace_id, category=VariableCategory.ENV)
    return {variable.key: variable.value for variable in variables if launch_mode.shapes_carrier(variable.key)}


async def _ready(tx: Reading, workspace: Workspace) -> list[RunRecord]:
    """Runs that begin now, and runs under way with a queued step; the latter first. One more than begin at once."""
    unfinished = await tx.startable_runs(workspace.id, MAX_AT_ONCE + 1)
    under_way = [run for run in unfinished if run.status is not RunStatus.PENDING]
    begins = workspace_queue.startable(workspace, unfinished)
    able = (*under_way, *begins)[: MAX_AT_ONCE + 1]
    records = [await tx.record(run.id) for run in able]
    return [
        record
        for record in records
        if record and (record.run.status is RunStatus.PENDING or run_transitions.queued_step(record))
    ]


async def _fence_lost(tx: Writing, workspace_id: str, now: datetime) -> None:
    """From here on another run writes the workspace's state: a person has gone on without what was lost."""
    for attempt in await tx.all(Attempt, workspace_id=workspace_id, state=AttemptState.LOST):
        await tx.save(replace(attempt, state=AttemptState.FENCED, settled_at=now))


async def _intend(
    ports: Ports, tx: Writing, workspace: Workspace, record: RunRecord, now: datetime
) -> tuple[RunRecord, Attempt | None]:
    """Save that a step is about to be launched: the run's move, the attempt, the hold on the workspace.

    No attempt for a run that begins by waiting for a person: its plan was made by an earlier one.
    """
    moved = record
    if record.run.status is RunStatus.PENDING:
        moved = run_transitions.begin(record, now)
        if not record.run.plan_only:
            await tx.save(replace(workspace, taken_by=record.run.id, updated_at=now))
            await _fence_lost(tx, workspace.id, now)
    queued = run_transitions.queued_step(moved)
    if queued is None and moved.run.status is RunStatus.PLANNED:
        await transitions.save(tx, record, moved, now)
        return moved, None
    if queued is None:
        raise IllegalTransitionError(f"run {record.run.number} has no step to launch")
    moved = run_transitions.launching(moved, queued.id, now)
    step = moved.step(queued.id)
    name = ids.attempt_name(step.id, step.attempt)
    attempt = Attempt(
        name=name,
        step_id=step.id,
        run_id=moved.run.id,
        workspace_id=workspace.id,
        number=step.attempt,
        node=ports.nodes.id,
        launcher=launch_mode.launcher_kind(
            await shape_of(tx, workspace.id), kubernetes_enabled=ports.rules.kubernetes_enabled
        ),
        claim_hash=ports.codes.hashed(ports.codes.claim_code(name)),
        created_at=now,
    )
    await tx.add(attempt)
    await transitions.save(tx, record, moved, now)
    return moved, attempt

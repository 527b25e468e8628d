"""Deleting runs and workspaces with what they have left; never the content of a state. Called by the public routes.

Contents go first, rows last: a crash in between is mended by deleting once more, and leaves nothing behind.
"""

import asyncio
import json

from api.domain import rerun
from api.domain.entities import Attempt, Run, RunRecord, Workspace
from api.domain.permissions import Principal
from api.services.access import visible_record, visible_workspace
from api.services.errors import ConflictError
from api.services.ports import Ports, Reading
from api.services.receive_state import state_key
from common.statuses import FINAL_RUN_STATUSES


async def delete_run(ports: Ports, principal: Principal, organization_id: str, reference: str) -> None:
    """Delete an ended run with its artifacts and logs; the states that it wrote stay. Else a ConflictError."""
    async with ports.database.reading() as tx:
        record = await visible_record(tx, principal, organization_id, reference)
        await _refuse_needed(tx, record.run)
        names = await _attempt_names(tx, record.run)
    await _remove_used_plan(ports, record)
    await _remove_contents(ports, record.run, names)
    async with ports.database.writing() as tx:
        run = (await visible_record(tx, principal, organization_id, reference)).run
        await _refuse_needed(tx, run)
        await tx.remove(run)


async def delete_workspace(
    ports: Ports, principal: Principal, organization_id: str, workspace_id: str, *, force: bool = False
) -> None:
    """Delete a workspace without unfinished runs, with its variables, configurations and runs.

    The contents of its states stay in the store. ConflictError when its current state names resources, unless forced.
    """
    async with ports.database.reading() as tx:
        workspace = await visible_workspace(tx, principal, organization_id, workspace_id)
        await _refuse_busy(tx, workspace)
        runs = await tx.all(Run, workspace_id=workspace.id)
        names = {run.id: await _attempt_names(tx, run) for run in runs}
    if not force:
        await _refuse_resources(ports, workspace)
    for run in runs:
        await _remove_contents(ports, run, names[run.id])
    await ports.artifacts.remove_below(f"configurations/{workspace.id}")
    async with ports.database.writing() as tx:
        workspace = await visible_workspace(tx, principal, organization_id, workspace_id)
        await _refuse_busy(tx, workspace)
        await tx.remove(workspace)


async def _refuse_needed(tx: Reading, run: Run) -> None:
    if run.status not in FINAL_RUN_STATUSES:
        raise ConflictError(f"run {run.number} has not ended; cancel it first")
    user = await tx.find(Run, workspace_id=run.workspace_id, plan_run_id=run.id)
    if user is not None:
        raise ConflictError(f"run {user.number} has the plan of run {run.number}; delete that one first")
    workspace = await tx.get(Workspace, run.workspace_id)
    if workspace is not None and workspace.locked and workspace.locked_by == run.id:
        raise ConflictError(f"run {run.number} has locked its workspace: {workspace.lock_reason}; unlock it first")


async def _refuse_busy(tx: Reading, workspace: Workspace) -> None:
    unfinished = await tx.unfinished_runs(workspace.id)
    if unfinished:
        raise ConflictError(f"workspace {workspace.name} has unfinished runs; cancel run {unfinished[0].number} first")
    if workspace.locked:
        raise ConflictError(f"workspace {workspace.name} is locked by {workspace.locked_by}: {workspace.lock_reason}")


async def _refuse_resources(ports: Ports, workspace: Workspace) -> None:
    async with ports.database.reading() as tx:
        current = await tx.current_state(workspace.id)
    content = await ports.artifacts.get(state_key(workspace.id, current.id)) if current else None
    if content is None:
        return
    resources = len((await asyncio.to_thread(json.loads, content)).get("resources") or [])
    if resources:
        raise ConflictError(
            f"workspace {workspace.name}: its state names {resources} resources, which nobody would look after "
            "any more; destroy them first, or delete it with force"
        )


async def _attempt_names(tx: Reading, run: Run) -> list[str]:
    return [attempt.name for attempt in await tx.all(Attempt, run_id=run.id)]


async def _remove_used_plan(ports: Ports, record: RunRecord) -> None:
    """The earlier run's plan that this one has begun to apply: without this run nobody would know that it was."""
    if any(rerun.begun_to_apply(step) for step in record.steps):
        for step in record.steps:
            if step.taken_over_from:
                await ports.artifacts.remove_below(f"runs/{record.run.plan_run_id}/{step.taken_over_from}")


async def _remove_contents(ports: Ports, run: Run, attempt_names: list[str]) -> None:
    await ports.artifacts.remove_below(f"runs/{run.id}")
    for name in attempt_names:
        await ports.logs.remove(name)

"""Reading runs, their logs and a workspace's states. Called by the public routes."""

import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace

from api.domain import run_transitions, slots, workspace_queue
from api.domain.entities import Run, RunRecord, StateVersion, Step, Workspace
from api.domain.permissions import Principal
from api.services import start_next_step, step_log
from api.services.access import visible_organization, visible_record, visible_step, visible_workspace
from api.services.errors import NotFoundError
from api.services.ports import Listing, Page, Ports, Reading, step_topic
from api.services.receive_state import state_key
from common.statuses import FINAL_STEP_STATUSES, RunStatus, StepStatus


@dataclass(frozen=True, slots=True)
class LogPart:
    """A piece of a log: where the next one starts, how long the log is, and whether it can still grow."""

    content: bytes
    next_offset: int
    size: int
    final: bool

    @property
    def ended(self) -> bool:
        """Whether nothing will follow."""
        return self.final and self.next_offset >= self.size


@dataclass(frozen=True, slots=True)
class LogPlace:
    """A place in a step's log: `run` is its number or id, `offset` counts bytes."""

    organization_id: str
    run: str
    step_id: str
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a run waits for, as a sentence (empty: for nothing), and its place in that queue from 1, if it has one."""

    reason: str = ""
    position: int | None = None


async def get_run(
    ports: Ports, principal: Principal, organization_id: str, reference: str
) -> tuple[RunRecord, Waiting]:
    """A run by number or id, and what it waits for."""
    async with ports.database.reading() as tx:
        record = await visible_record(tx, principal, organization_id, reference)
        return record, await _waiting_for(ports, tx, record)


async def get_step(
    ports: Ports, principal: Principal, organization_id: str, reference: str, step_id: str
) -> tuple[RunRecord, Step]:
    """A step of a run, with the run."""
    async with ports.database.reading() as tx:
        return await visible_step(tx, principal, organization_id, reference, step_id)


async def list_runs(
    ports: Ports, principal: Principal, organization_id: str, page: Page, workspace_id: str | None = None
) -> Listing[Run]:
    """The organization's runs, or one workspace's, newest first."""
    equal = {"workspace_id": workspace_id} if workspace_id else {}
    async with ports.database.reading() as tx:
        await visible_organization(tx, principal, organization_id)
        return await tx.listing(Run, page, {"organization_id": organization_id, **equal}, newest_first=True)


async def read_log(
    ports: Ports, principal: Principal, place: LogPlace, *, limit: int, wait_seconds: float = 0
) -> LogPart:
    """Bytes of a step's log from an offset; holds the answer for so long while there are none."""
    bell = ports.bells.listen(step_topic(place.step_id))  # first listen, then read: nothing falls in between
    try:
        until = time.monotonic() + wait_seconds
        while True:
            async with ports.database.reading() as tx:
                _, step = await visible_step(tx, principal, place.organization_id, place.run, place.step_id)
            part = await _part(ports, step, place.offset, limit)
            left = until - time.monotonic()
            if part.content or part.ended or left <= 0 or ports.bells.closing:
                return part
            await bell.wait(left)
    finally:
        bell.close()


async def follow_log(
    ports: Ports, principal: Principal, place: LogPlace, *, limit: int
) -> AsyncGenerator[LogPart, None]:
    """The log from an offset to its end, piece by piece as it grows; an empty piece after 15 quiet seconds."""
    while True:
        part = await read_log(ports, principal, place, limit=limit, wait_seconds=15)
        yield part
        place = replace(place, offset=part.next_offset)
        if part.ended or (ports.bells.closing and not part.content):
            return


async def _part(ports: Ports, step: Step, offset: int, limit: int) -> LogPart:
    content, size = await step_log.read(ports, step, offset, limit)
    # the status was read before the bytes: when it is final, nothing was appended after this read
    return LogPart(content, offset + len(content), size, step.status in FINAL_STEP_STATUSES)


async def _waiting_for(ports: Ports, tx: Reading, record: RunRecord) -> Waiting:
    """What the run waits for: its turn in the workspace, a slot, or what its carrier waits for."""
    run = record.run
    if reason := next((step.message for step in record.steps if step.status is StepStatus.LAUNCHING), ""):
        return Waiting(reason)
    if run.status is not RunStatus.PENDING and not run_transitions.queued_step(record):
        return Waiting()
    return await _waiting_for_workspace(tx, run) or await _waiting_for_slot(ports, tx, run)


async def _waiting_for_workspace(tx: Reading, run: Run) -> Waiting | None:
    workspace = await tx.get(Workspace, run.workspace_id) if run.status is RunStatus.PENDING else None
    if workspace is None or run.plan_only:
        return None
    first = await tx.get(Run, workspace.taken_by) if workspace.taken_by else await tx.first_waiting(workspace.id)
    earlier = [first] if first and first.number < run.number else []
    reason = workspace_queue.waiting_for(workspace, run, earlier)
    if not reason:
        return None
    before = await tx.count_waiting_before(workspace.id, run.number)
    return Waiting(reason, before + 1)


async def _waiting_for_slot(ports: Ports, tx: Reading, run: Run) -> Waiting:
    limits = await start_next_step.slots(ports, tx)
    workspace = await tx.get(Workspace, run.workspace_id) if limits.pools else None
    pool = workspace.pool if workspace else ""
    position = ports.turns.position(limits, run.organization_id, run.workspace_id, pool)
    reason = slots.waiting_for(limits, run.organization_id, pool)
    if reason and position:
        reason = f"{reason} (position {position})"
    return Waiting(reason, position)


async def get_state(
    ports: Ports, principal: Principal, organization_id: str, workspace_id: str, state_version_id: str = ""
) -> tuple[StateVersion, bytes]:
    """A workspace's state (the newest, or that version) with its content, or NotFoundError."""
    version = await get_state_version(ports, principal, organization_id, workspace_id, state_version_id)
    content = await ports.artifacts.get(state_key(workspace_id, version.id))
    if content is None:
        raise NotFoundError(f"the content of state version {version.id}")
    return version, content


async def get_state_version(
    ports: Ports, principal: Principal, organization_id: str, workspace_id: str, state_version_id: str = ""
) -> StateVersion:
    """A state version of a workspace (the newest, or that one), or NotFoundError."""
    async with ports.database.reading() as tx:
        workspace = await visible_workspace(tx, principal, organization_id, workspace_id)
        if state_version_id:
            version = await tx.get(StateVersion, state_version_id)
        else:
            version = await tx.current_state(workspace.id)
    if version is None or version.workspace_id != workspace.id:
        raise NotFoundError(f"state version {state_version_id}" if state_version_id else "a state of this workspace")
    return version


async def list_state_versions(
    ports: Ports, principal: Principal, organization_id: str, workspace_id: str, page: Page
) -> Listing[StateVersion]:
    """The workspace's state versions, newest first."""
    async with ports.database.reading() as tx:
        workspace = await visible_workspace(tx, principal, organization_id, workspace_id)
        return await tx.listing(StateVersion, page, {"workspace_id": workspace.id}, newest_first=True)

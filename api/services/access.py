"""Loading what a caller may see: every service for callers of the public API goes through here.

What he may not see does not exist for him: NotFoundError in both cases.
"""

from typing import TypeVar

from api.domain import permissions
from api.domain.entities import Organization, Run, RunRecord, Step, Workspace
from api.domain.permissions import Principal
from api.services.errors import NotFoundError
from api.services.ports import Reading
from common import ids

Owned = TypeVar("Owned")


async def visible_organization(tx: Reading, principal: Principal, organization_id: str) -> Organization:
    """The organization, or NotFoundError."""
    organization = await tx.get(Organization, organization_id)
    if organization is None or not permissions.may_see(principal, organization.id):
        raise NotFoundError(f"organization {organization_id}")
    return organization


async def visible_workspace(tx: Reading, principal: Principal, organization_id: str, workspace_id: str) -> Workspace:
    """The organization's workspace, or NotFoundError."""
    workspace = await tx.get(Workspace, workspace_id) if permissions.may_see(principal, organization_id) else None
    if workspace is None or workspace.organization_id != organization_id:
        raise NotFoundError(f"workspace {workspace_id}")
    return workspace


async def visible_record(tx: Reading, principal: Principal, organization_id: str, reference: str) -> RunRecord:
    """The organization's run by its number or id, with its steps, or NotFoundError."""
    run = None
    if permissions.may_see(principal, organization_id):
        run = await _run(tx, reference)
    if run is None or run.organization_id != organization_id:
        raise NotFoundError(f"run {reference}")
    record = await tx.record(run.id)
    if record is None:
        raise NotFoundError(f"run {reference}")
    return record


async def visible_step(
    tx: Reading, principal: Principal, organization_id: str, reference: str, step_id: str
) -> tuple[RunRecord, Step]:
    """The run and its step, or NotFoundError."""
    record = await visible_record(tx, principal, organization_id, reference)
    try:
        return record, record.step(step_id)
    except KeyError:
        raise NotFoundError(f"step {step_id}") from None


async def _run(tx: Reading, reference: str) -> Run | None:
    if ids.is_id(reference, "run"):
        return await tx.get(Run, reference)
    # 18 digits fit any database's integer; longer ones are no run's number
    if reference.isascii() and reference.isdecimal() and len(reference) <= 18:
        return await tx.find(Run, number=int(reference))
    return None

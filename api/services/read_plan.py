"""The plan of a run for people: what it changes, without sensitive values; the raw file for admins.

Called by the public routes.
"""

import asyncio
import json
from typing import Any

from api.domain import permissions
from api.domain.entities import Variable
from api.domain.permissions import Principal
from api.domain.plan_summary import summary_of
from api.services.access import visible_record
from api.services.errors import ConflictError, NotFoundError
from api.services.ports import Ports
from api.services.step_deliveries import find_artifact
from common.executor_api import PLAN_JSON


async def read_plan(ports: Ports, principal: Principal, organization_id: str, reference: str) -> dict[str, Any]:
    """What the run's plan changes, sensitive values hidden. NotFoundError while there is no plan."""
    content, secrets = await _content(ports, principal, organization_id, reference)
    return await asyncio.to_thread(_summary, content, secrets)


async def read_raw_plan(ports: Ports, principal: Principal, organization_id: str, reference: str) -> bytes:
    """The plan's JSON as terraform wrote it, sensitive values and all. Only an admin may."""
    if not permissions.may_administer(principal):
        raise NotFoundError("this resource")
    content, _ = await _content(ports, principal, organization_id, reference)
    return content


async def _content(
    ports: Ports, principal: Principal, organization_id: str, reference: str
) -> tuple[bytes, frozenset[str]]:
    async with ports.database.reading() as tx:
        record = await visible_record(tx, principal, organization_id, reference)
        variables = await tx.all(Variable, workspace_id=record.run.workspace_id, sensitive=True)
    content = await find_artifact(ports, record, PLAN_JSON)
    if content is None:
        raise NotFoundError(f"a plan of run {record.run.number}")
    return content, frozenset(variable.value for variable in variables if variable.value)


def _summary(content: bytes, secrets: frozenset[str]) -> dict[str, Any]:
    try:
        return summary_of(json.loads(content), secrets)
    except (ValueError, RecursionError, AttributeError, TypeError) as error:
        raise ConflictError("the plan of this run cannot be read as a plan's JSON") from error

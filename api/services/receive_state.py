"""States that executors ship while terraform works, and reading them. Called by the executor routes.

Each accepted state is an immutable version. Serial, lineage and checksum are held against the content and
against what the workspace has; a state that does not fit is refused and changes nothing.
"""

import asyncio
import hashlib
import json
from dataclasses import dataclass, replace

from api.domain.entities import Attempt, RunRecord, StateVersion
from api.services.attempt_access import attempt_of
from api.services.errors import RefusedError
from api.services.ports import Ports, run_topic
from common import ids
from common.errors import BadInputError
from common.executor_api import Refusal
from common.statuses import APPLY_KINDS


@dataclass(frozen=True, slots=True, kw_only=True)
class ShippedState:
    """A state as it arrives: the raw file and what its headers say of it."""

    content: bytes
    serial: int
    lineage: str
    md5: str
    final: bool


def state_key(workspace_id: str, state_version_id: str) -> str:
    """Where the content of a state version lies among the artifacts."""
    return f"states/{workspace_id}/{state_version_id}"


async def receive_state(ports: Ports, step_id: str, token: str, shipped: ShippedState) -> StateVersion:
    """Keep a shipped state as the workspace's newest version. A repeat answers with the version it made.

    Raises RefusedError (STATE_CONFLICT and those of the token), StorageFullError.
    """
    await asyncio.to_thread(_check_content, shipped)
    async with ports.database.reading() as tx:  # refuse early: what follows costs a write of the whole state
        attempt, record = await attempt_of(ports, tx, step_id, token)
        _refuse_plans(record, step_id)
        known = _fit(await tx.current_state(attempt.workspace_id), shipped)
    version = known or _new_version(ports, attempt, shipped)
    if known is None:
        await ports.artifacts.put(state_key(attempt.workspace_id, version.id), shipped.content)
    async with ports.database.writing() as tx:
        await attempt_of(ports, tx, step_id, token)
        current = await tx.current_state(attempt.workspace_id)
        known = _fit(current, shipped)
        if known is None:
            await tx.add(version)
        elif shipped.final and not known.final:
            await tx.save(replace(known, final=True))
    if known is None:
        ports.figures.count("state_versions")
        ports.figures.count("state_bytes", version.size)
    ports.bells.ring(run_topic(attempt.run_id))
    return known or version


async def state_for_step(ports: Ports, step_id: str, token: str) -> tuple[StateVersion, bytes] | None:
    """The workspace's newest state, for the executor of a step; None when there is none yet."""
    async with ports.database.reading() as tx:
        attempt, _ = await attempt_of(ports, tx, step_id, token)
        current = await tx.current_state(attempt.workspace_id)
    if current is None:
        return None
    content = await ports.artifacts.get(state_key(attempt.workspace_id, current.id))
    if content is None:
        raise RuntimeError(f"the content of state version {current.id} is missing from the artifacts")
    return current, content


def _fit(current: StateVersion | None, shipped: ShippedState) -> StateVersion | None:
    """The version that this is a repeat of, None for a new one; RefusedError when it does not fit."""
    if current is None:
        return None
    if shipped.lineage != current.lineage:
        raise _conflict(f"its lineage {shipped.lineage} is not the workspace's lineage {current.lineage}")
    if shipped.serial == current.serial and shipped.md5 == current.md5:
        return current
    if shipped.serial <= current.serial:
        raise _conflict(f"its serial {shipped.serial} is not above the current serial {current.serial}")
    return None


def _check_content(shipped: ShippedState) -> None:
    md5 = hashlib.md5(shipped.content, usedforsecurity=False).hexdigest()
    if md5 != shipped.md5:
        raise _conflict(f"its md5 is {md5}, announced was {shipped.md5}")
    serial, lineage = read_state(shipped.content)
    if (serial, lineage) != (shipped.serial, shipped.lineage):
        raise _conflict("its serial or lineage is not what was announced")


def read_state(content: bytes) -> tuple[int, str]:
    """Serial and lineage of a state file; BadInputError when it is none."""
    try:
        document = json.loads(content)
        serial, lineage = document["serial"], document["lineage"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadInputError("state", "is not a terraform state: JSON with serial and lineage") from error
    if type(serial) is not int or not isinstance(lineage, str) or serial < 0 or not 0 < len(lineage) < 256:
        raise BadInputError("state", "must have a serial of 0 or more and a lineage of 1 to 255 characters")
    return serial, lineage


def _refuse_plans(record: RunRecord, step_id: str) -> None:
    if record.step(step_id).kind not in APPLY_KINDS:
        raise RefusedError(Refusal.STATE_CONFLICT, "a plan writes no state")


def _new_version(ports: Ports, attempt: Attempt, shipped: ShippedState) -> StateVersion:
    return StateVersion(
        id=ids.new_id("state_version"),
        workspace_id=attempt.workspace_id,
        run_id=attempt.run_id,
        step_id=attempt.step_id,
        attempt=attempt.number,
        serial=shipped.serial,
        lineage=shipped.lineage,
        md5=shipped.md5,
        size=len(shipped.content),
        final=shipped.final,
        created_at=ports.clock(),
    )


def _conflict(problem: str) -> RefusedError:
    return RefusedError(Refusal.STATE_CONFLICT, f"the state was refused: {problem}")

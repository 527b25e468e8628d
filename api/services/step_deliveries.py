"""What an executor reads and leaves besides its state: the configuration, artifacts, the log, its heartbeat.

Called by the executor routes.
"""

import hashlib
import time

from api.domain.entities import Attempt, ConfigurationVersion, RunRecord, Step
from api.services.attempt_access import attempt_of
from api.services.configurations import configuration_key
from api.services.errors import NotFoundError, RefusedError
from api.services.ports import ContentDiffersError, LogGapError, Ports, decision_topic, run_topic, step_topic
from common import ids
from common.executor_api import ARTIFACT_NAMES, HeartbeatAnswer, HeartbeatRequest, Refusal
from common.statuses import StepStatus


async def configuration_for_step(ports: Ports, step_id: str, token: str) -> bytes:
    """The run's configuration as tar.gz."""
    async with ports.database.reading() as tx:
        _, record = await attempt_of(ports, tx, step_id, token)
        configuration = await tx.get(ConfigurationVersion, record.run.configuration_id)
    content = await ports.artifacts.get(configuration_key(configuration)) if configuration else None
    if content is None:
        raise NotFoundError("the run's configuration")
    return content


async def append_log(ports: Ports, step_id: str, token: str, offset: int, content: bytes) -> int:
    """Append to the attempt's log; its new length. GAP with the offset expected when bytes are missing in between.

    An executor delivers its whole log before its report: once that is in, the token is worth nothing.
    """
    async with ports.database.reading() as tx:
        attempt, _ = await attempt_of(ports, tx, step_id, token)
    try:
        length = await ports.logs.append(attempt.name, offset, content)
    except LogGapError as gap:
        raise RefusedError(Refusal.GAP, str(gap), expected=gap.expected) from gap
    ports.figures.count("log_bytes", length - offset)
    ports.bells.ring(step_topic(step_id))
    return length


async def heartbeat(ports: Ports, step_id: str, token: str, request: HeartbeatRequest) -> HeartbeatAnswer:
    """Whether to cancel; holds the answer for so long while there is nothing to say."""
    bell = ports.bells.listen(decision_topic(step_id))
    try:
        attempt = await _beat(ports, step_id, token)
        ports.figures.undelivered(attempt.name, request.undelivered_seconds)
        until = time.monotonic() + request.wait_seconds
        while attempt.cancel is None and not ports.bells.closing and (left := until - time.monotonic()) > 0:
            if await bell.wait(left):
                async with ports.database.reading() as tx:
                    attempt, _ = await attempt_of(ports, tx, step_id, token)
        return HeartbeatAnswer(cancel=attempt.cancel)
    finally:
        bell.close()


async def put_artifact(ports: Ports, step_id: str, token: str, name: str, content: bytes, sha256: str) -> None:
    """Keep an artifact of the step. Raises RefusedError when the name is unknown or the checksum does not fit."""
    async with ports.database.reading() as tx:
        attempt, record = await attempt_of(ports, tx, step_id, token)
    if name not in ARTIFACT_NAMES:
        raise RefusedError(Refusal.BAD_REQUEST, f"artifact: is {name!r}; allowed: {', '.join(sorted(ARTIFACT_NAMES))}")
    if hashlib.sha256(content).hexdigest() != sha256:
        raise RefusedError(Refusal.BAD_REQUEST, f"artifact {name}: its SHA-256 is not what was announced")
    try:
        await ports.artifacts.put(artifact_key(record.run.id, attempt.name, name), content)
    except ContentDiffersError as error:
        problem = f"artifact {name}: this attempt has left one already, with other bytes"
        raise RefusedError(Refusal.BAD_REQUEST, problem) from error
    ports.bells.ring(run_topic(record.run.id))


async def get_artifact(ports: Ports, step_id: str, token: str, name: str) -> bytes:
    """An artifact that this step or an earlier finished one of the run has left."""
    async with ports.database.reading() as tx:
        attempt, record = await attempt_of(ports, tx, step_id, token)
    content = await find_artifact(ports, record, name, before=record.step(attempt.step_id))
    if content is None:
        raise NotFoundError(f"artifact {name}")
    return content


async def find_artifact(ports: Ports, record: RunRecord, name: str, before: Step | None = None) -> bytes | None:
    """The newest artifact of that name among the run's finished steps (and `before` itself), or None."""
    for step in reversed(record.steps):
        if step.id != (before.id if before else "") and step.status is not StepStatus.FINISHED:
            continue
        key = artifact_key(record.run.id, ids.attempt_name(step.id, step.attempt), name)
        if step.taken_over_from:
            key = artifact_key(record.run.plan_run_id, step.taken_over_from, name)
        if name in ARTIFACT_NAMES and (content := await ports.artifacts.get(key)) is not None:
            return content
    return None


def artifact_key(run_id: str, attempt_name: str, name: str) -> str:
    """Where an artifact of an attempt lies."""
    return f"runs/{run_id}/{attempt_name}/{name}"


async def _beat(ports: Ports, step_id: str, token: str) -> Attempt:
    async with ports.database.reading() as tx:
        attempt, _ = await attempt_of(ports, tx, step_id, token)
    async with ports.database.writing() as tx:  # reads nothing: it need not wait for whoever decides on the run
        await tx.touch_heartbeat(attempt.name, ports.clock())
    return attempt

"""What a step checked out of git: the commit, noted on the run, and the checkout, kept as the run's configuration.

Called by the executor routes. The apply of the run gets these bytes and no others.
"""

import asyncio
import hashlib
from dataclasses import replace

from api.domain.entities import ConfigurationVersion, RunRecord
from api.services.attempt_access import attempt_of
from api.services.configurations import configuration_key
from api.services.errors import RefusedError
from api.services.ports import Ports, run_topic
from common import archive, ids
from common.executor_api import Refusal
from common.git_source import Commit


async def receive_commit(ports: Ports, step_id: str, token: str, commit: Commit) -> None:
    """Note the commit. A later attempt of the step checks out the same one, even if the branch has moved."""
    async with ports.database.writing() as tx:
        _, record = await attempt_of(ports, tx, step_id, token)
        run = record.run
        if not run.source or run.commit_id not in {"", commit.id}:
            raise RefusedError(Refusal.BAD_REQUEST, f"commit: run {run.number} works on {run.commit_id or 'no commit'}")
        noted = replace(run, commit_id=commit.id, commit_author=commit.author, commit_message=commit.message)
        await tx.save(noted)
    ports.bells.ring(run_topic(run.id))


async def receive_checkout(ports: Ports, step_id: str, token: str, content: bytes, sha256: str) -> None:
    """Keep a checkout as the run's configuration. The same bytes again change nothing, others are refused."""
    async with ports.database.reading() as tx:
        _, record = await attempt_of(ports, tx, step_id, token)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise RefusedError(Refusal.BAD_REQUEST, "configuration: its SHA-256 is not what was announced")
    await asyncio.to_thread(archive.check, content)
    kept = ConfigurationVersion(
        id=ids.new_id("configuration_version"),
        workspace_id=record.run.workspace_id,
        status="uploaded",
        sha256=sha256,
        size=len(content),
        run_id=record.run.id,
        created_at=ports.clock(),
    )
    _refuse_unless_wanted(record)
    await ports.artifacts.put(configuration_key(kept), content)
    async with ports.database.writing() as tx:
        _, record = await attempt_of(ports, tx, step_id, token)
        _refuse_unless_wanted(record)
        if record.run.configuration_id:
            known = await tx.get(ConfigurationVersion, record.run.configuration_id)
            if known is None or known.sha256 != sha256:
                raise RefusedError(Refusal.BAD_REQUEST, f"configuration: run {record.run.number} has another one")
            return
        await tx.add(kept)
        await tx.save(replace(record.run, configuration_id=kept.id))


def _refuse_unless_wanted(record: RunRecord) -> None:
    if not record.run.source:
        raise RefusedError(Refusal.BAD_REQUEST, f"configuration: run {record.run.number} does not come from git")

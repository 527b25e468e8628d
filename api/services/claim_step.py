"""An executor claims its attempt: the fence that makes sure that a step is carried out once.

Called by the executor routes. One compare-and-set in one transaction; a repeat by the same executor gets the
same answer, everybody else is refused.
"""

import hmac
import time
from dataclasses import replace

from api.domain import run_transitions
from api.domain.entities import Attempt, AttemptState, ConfigurationVersion, RunRecord, Variable, Workspace
from api.domain.timeouts import effective
from api.services import transitions
from api.services.errors import RefusedError
from api.services.git_credentials import source_of
from api.services.ports import Ports, Reading
from common import executor_api, ids
from common.executor_api import ClaimAnswer, ClaimRequest, Refusal, StepVariable
from common.statuses import PLAN_KINDS, StepKind, StepStatus
from common.step_report import PlanFacts

_CLAIMABLE = frozenset({AttemptState.LAUNCHING, AttemptState.LAUNCHED})
#: A claimed attempt that was thought lost may still ask for its answer again.
_REPEATABLE = frozenset({AttemptState.CLAIMED, AttemptState.LOST})


async def claim_step(ports: Ports, step_id: str, request: ClaimRequest, proof: str) -> ClaimAnswer:
    """As `_claim`, with its figures."""
    began, outcome = time.perf_counter(), "failed"
    try:
        answer = await _claim(ports, step_id, request, proof)
    except RefusedError as error:
        outcome = error.refusal.value
        raise
    else:
        outcome = "granted"
        return answer
    finally:
        ports.figures.time("claim", time.perf_counter() - began, outcome=outcome)


async def _claim(ports: Ports, step_id: str, request: ClaimRequest, proof: str) -> ClaimAnswer:
    """Claim the attempt for the executor that sent this nonce; what it needs to do the step.

    Raises RefusedError: UNKNOWN, SUPERSEDED, CLAIMED, CANCELED or SETTLED.
    """
    now = ports.clock()
    moved: RunRecord | None = None
    async with ports.database.writing() as tx:
        attempt = await _proven(ports, tx, step_id, request, proof)
        record = await tx.record(attempt.run_id)
        if record is None or record.step(step_id).attempt != attempt.number:
            raise RefusedError(Refusal.SUPERSEDED, "another attempt of this step has taken over")
        token = ports.codes.attempt_token(attempt.name, request.nonce)
        if attempt.state in _CLAIMABLE:
            moved = run_transitions.claimed(record, step_id, now)
            await transitions.save(tx, record, moved, now)
            claimed = replace(
                attempt,
                state=AttemptState.CLAIMED,
                nonce_hash=ports.codes.hashed(request.nonce),
                token_hash=ports.codes.hashed(token),
                claimed_at=now,
                heartbeat_at=now,
            )
            await tx.save(claimed)
        else:
            _refuse_unless_repeated(ports, attempt, request)
        answer = await _answer(ports, tx, record, step_id, token)
    if moved is not None:
        transitions.tell(ports, moved)
        ports.figures.time("step_start", (now - attempt.created_at).total_seconds(), launcher=attempt.launcher)
    return answer


async def _proven(ports: Ports, tx: Reading, step_id: str, request: ClaimRequest, proof: str) -> Attempt:
    """The attempt that the request proves to be the executor of; one refusal for all that does not fit."""
    name = ids.attempt_name(step_id, request.attempt)
    attempt = await tx.get(Attempt, name)
    expected = executor_api.claim_proof(
        ports.rules.internal_secret, step_id=step_id, attempt=request.attempt, claim=request.claim, nonce=request.nonce
    )
    fits = (
        attempt is not None
        and len(request.nonce) >= 16
        and hmac.compare_digest(expected.encode(), proof.encode())
        and hmac.compare_digest(attempt.claim_hash, ports.codes.hashed(request.claim))
    )
    if attempt is None or not fits:
        raise RefusedError(Refusal.UNKNOWN, "no such attempt, or the secret or claim code does not fit")
    return attempt


def _refuse_unless_repeated(ports: Ports, attempt: Attempt, request: ClaimRequest) -> None:
    if attempt.state is AttemptState.FENCED:
        refusal = Refusal.CANCELED if attempt.cancel else Refusal.SUPERSEDED
        raise RefusedError(refusal, f"this attempt may not be claimed any more: {refusal}")
    if not hmac.compare_digest(attempt.nonce_hash, ports.codes.hashed(request.nonce)):
        raise RefusedError(Refusal.CLAIMED, "this attempt was claimed by another executor")
    if attempt.state not in _REPEATABLE:
        raise RefusedError(Refusal.SETTLED, "this attempt has been settled")


async def _answer(ports: Ports, tx: Reading, record: RunRecord, step_id: str, token: str) -> ClaimAnswer:
    run = record.run
    configuration = await tx.get(ConfigurationVersion, run.configuration_id)
    variables = await tx.all(Variable, workspace_id=run.workspace_id)
    step = record.step(step_id)
    source = await source_of(ports, tx, run)
    workspace, rules = await tx.get(Workspace, run.workspace_id), ports.rules
    return ClaimAnswer(
        token=token,
        variables=tuple(
            StepVariable(key=v.key, value=v.value, category=v.category.value, sensitive=v.sensitive, hcl=v.hcl)
            for v in variables
        ),
        redact=(token, ports.rules.internal_secret, *(source.secrets() if source else ())),
        target_addrs=run.target_addrs,
        replace_addrs=run.replace_addrs,
        configuration_sha256=configuration.sha256 if configuration else "",
        plan=plan_facts(record) if step.kind is StepKind.APPLY else None,
        source=source,
        timeout_seconds=effective(workspace.step_timeout_seconds if workspace else None, rules.step_timeout_seconds),
        idle_timeout_seconds=effective(
            workspace.idle_timeout_seconds if workspace else None, rules.idle_timeout_seconds
        ),
    )


def plan_facts(record: RunRecord) -> PlanFacts | None:
    """What the run's plan step left for its apply."""
    for step in record.steps:
        if step.kind in PLAN_KINDS and step.status is StepStatus.FINISHED and step.report:
            return step.report.plan
    return None

"""Before an apply: fetches the plan and its lock file and holds everything against what was planned."""

import hashlib
from collections.abc import Mapping

from common import executor_api
from common.failure_reasons import FailureReason
from common.step_report import PlanFacts
from executor import engines
from executor.errors import RefusedError, StepFailedError
from executor.providers import LOCK_FILE_NAME
from executor.step import Step
from executor.workdir import remove, write_private


def verify_plan(step: Step) -> None:
    """Put the plan and its lock file in place; StepFailedError (plan_mismatch) when anything differs."""
    planned = step.claim.plan
    if planned is None:
        raise _mismatch("there is no plan to apply")
    plan = _artifact(step, executor_api.PLAN_FILE)
    lock = _artifact(step, executor_api.LOCK_FILE) if planned.lock_file_sha256 else b""
    differences = compare(
        planned,
        {
            "the plan file": (planned.plan_sha256, hashlib.sha256(plan).hexdigest()),
            "the configuration": (planned.configuration_sha256, step.configuration_sha256),
            "the lock file": (planned.lock_file_sha256, hashlib.sha256(lock).hexdigest() if lock else ""),
            "the engine": (planned.engine, step.job.engine),
            "the platform": (planned.platform, engines.platform()),
        },
    )
    if differences:
        raise _mismatch("; ".join(differences))
    write_private(step.work.plan_file, plan)
    if lock:
        remove(step.directory / LOCK_FILE_NAME)
        write_private(step.directory / LOCK_FILE_NAME, lock)


def verify_engine(step: Step) -> None:
    """After the engine was chosen by the plan's exact version: nothing older or newer may apply it."""
    planned, engine = step.claim.plan, step.engine
    if planned is None or engine is None or engine.version != planned.engine_version:
        raise _mismatch("the engine's version is not the one that made the plan")


def compare(planned: PlanFacts, facts: Mapping[str, tuple[str, str]]) -> list[str]:
    """One sentence for each fact that is not what was planned."""
    return [
        f"{name} is not the one that was planned by {planned.engine} {planned.engine_version} "
        f"(expected {wanted or 'none'}, found {found or 'none'})"
        for name, (wanted, found) in facts.items()
        if wanted != found
    ]


def _artifact(step: Step, name: str) -> bytes:
    try:
        return step.ask(lambda: step.api.artifact(name)).body
    except RefusedError as error:
        raise _mismatch(f"the artifact {name} of the plan is not there") from error


def _mismatch(message: str) -> StepFailedError:
    return StepFailedError(FailureReason.PLAN_MISMATCH, message)

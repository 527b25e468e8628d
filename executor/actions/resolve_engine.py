"""Finds the terraform or tofu that the workspace wants; for an apply exactly the one that planned."""

from common.failure_reasons import FailureReason
from executor import engines
from executor.errors import StepFailedError
from executor.step import Step


def resolve_engine(step: Step) -> None:
    """Choose the engine; StepFailedError when none fits."""
    plan = step.claim.plan
    wanted = plan.engine_version if plan is not None else step.job.engine_version
    found = engines.find(step.job.engine, step.settings.path, step.settings.engine_cache, step.work.root)
    try:
        step.engine = engines.choose(found, step.job.engine, wanted)
    except StepFailedError as missing:
        if missing.reason is not FailureReason.ENGINE_UNAVAILABLE:
            raise
        from executor.engine_store import obtain  # most steps find one

        step.engine = obtain(step, wanted, missing)

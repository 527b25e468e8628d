"""Runs init: backend, modules and providers."""

from executor import providers, terraform
from executor.actions.write_backend_override import check_backend
from executor.errors import StepFailedError
from executor.providers import LOCK_FILE_NAME
from executor.step import Step


def init(step: Step) -> None:
    """Initialize; the lock file of a plan that is applied may not change."""
    fixed = step.claim.plan is not None and (step.directory / LOCK_FILE_NAME).exists()
    arguments = terraform.init(lock_file_is_fixed=fixed)
    offered = providers.offer(step)
    try:
        step.terraform_succeeds(arguments)
    except StepFailedError:
        if not providers.withdraw(step, offered):
            raise
        providers.offer(step)
        step.terraform_succeeds(arguments)
    check_backend(step)
    providers.keep(step)

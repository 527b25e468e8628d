"""Runs init: backend, modules and providers."""

from executor import terraform
from executor.actions.verify_plan import LOCK_FILE_NAME
from executor.actions.write_backend_override import check_backend
from executor.step import Step


def init(step: Step) -> None:
    """Initialize; the lock file of a plan that is applied may not change."""
    fixed = step.claim.plan is not None and (step.directory / LOCK_FILE_NAME).exists()
    step.terraform_succeeds(terraform.init(lock_file_is_fixed=fixed))
    check_backend(step)

"""Makes a saved plan."""

from common.statuses import StepKind
from executor import terraform
from executor.step import Step


def plan(step: Step) -> None:
    """Plan into the plan file; note whether there are changes, and how many."""
    options = terraform.PlanOptions(
        plan_file=step.work.plan_file,
        variable_files=step.variable_files,
        destroy=step.job.kind is StepKind.PLAN_DESTROY,
        refresh=step.job.refresh,
        refresh_only=step.job.refresh_only,
        targets=step.claim.target_addrs,
        replacements=step.claim.replace_addrs,
    )
    code, facts = step.terraform_succeeds(
        terraform.plan(options), allowed=(terraform.PLAN_UNCHANGED, terraform.PLAN_CHANGED)
    )
    step.findings.has_changes = code == terraform.PLAN_CHANGED
    step.findings.counts = facts.counts

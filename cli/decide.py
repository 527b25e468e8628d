"""A person decides about a run: what approve, discard and cancel do alike.

Called by their modules in cli/commands.
"""

from cli import options, target
from cli.console import print_json, say
from cli.run import request_status, summary


def decide(
    status: str, run_name: str | None, workspace: str | None, organization: str, *, as_json: bool, force: bool = False
) -> None:
    """Ask for a status (`approved`, `rejected`, `cancelled`) and say how the run stands then."""
    with options.at(organization) as (api, where):
        job = target.find_job(api, where, run_name, options.workspace_here(workspace))
        job = request_status(api, where.id, job, status, force=force)
    if as_json:
        print_json(job)
    say(summary(job))

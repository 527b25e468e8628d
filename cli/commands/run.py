"""`podform run DIR`, and what else is done with runs."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli import options, target
from cli.console import print_json, say, write_err, write_out
from cli.exit_codes import ExitCode, for_run
from cli.interrupts import InterruptedByUserError, Interrupts
from cli.show import show_list, show_one
from cli.words import DefaultGroup

app = options.group("Starts and shows runs: `podform run DIR` uploads DIR, plans, asks, applies.", cls=DefaultGroup)


class IacType(StrEnum):
    """The engines that a workspace may name."""

    TERRAFORM = "terraform"
    TOFU = "tofu"


@app.command("start")
def start(  # noqa: PLR0913, PLR0917 - each is an option of the command; typer calls it by name
    directory: Annotated[Path, typer.Argument(metavar="DIR", exists=True, file_okay=False, help="The configuration.")],
    workspace: options.Workspace = None,
    organization: options.Organization = "",
    auto_approve: Annotated[bool, typer.Option("--auto-approve", help="Apply without asking.")] = False,
    plan_only: Annotated[bool, typer.Option("--plan-only", help="Plan, apply nothing.")] = False,
    destroy: Annotated[bool, typer.Option("--destroy", help="Destroy everything the workspace holds.")] = False,
    refresh_only: Annotated[
        bool, typer.Option("--refresh-only", help="Only take what is real into the state.")
    ] = False,
    targets: Annotated[list[str] | None, typer.Option("--target", metavar="ADDRESS", help="May be repeated.")] = None,
    replace: Annotated[list[str] | None, typer.Option("--replace", metavar="ADDRESS", help="May be repeated.")] = None,
    message: Annotated[str, typer.Option("--message", "-m", help="A note kept with the run.")] = "",
    iac_type: Annotated[IacType, typer.Option(help="Engine of a workspace that is created.")] = IacType.TERRAFORM,
    as_json: options.AsJson = False,
) -> None:
    """Upload DIR, plan, ask, apply. `podform run DIR` is short for this.

    Organization and workspace are created when missing (by an admin). The log goes to stdout (to stderr with
    --json), everything else to stderr. Ctrl-C cancels the run, a second Ctrl-C leaves it alone.
    """
    # imported here, as below: listing runs packs nothing
    from cli.run import Place, RunOptions, approval_hint, run, summary

    asked = RunOptions(
        auto_approve=auto_approve,
        plan_only=plan_only,
        destroy=destroy,
        refresh_only=refresh_only,
        targets=tuple(targets or ()),
        replace=tuple(replace or ()),
        message=message,
    )
    chosen = target.settings()
    place = Place(
        directory=directory,
        organization=organization or chosen.organization,
        workspace=target.workspace_name(workspace, directory),
        iac_type=iac_type.value,
    )
    with target.connected(chosen) as api:
        job = run(api, place, asked, write_err if as_json else write_out)
    if as_json:
        print_json(job)
    say(summary(job) if job.has_ended else approval_hint(job, organization))
    raise typer.Exit(for_run(job.run_status))


@app.command("list")
def listed(
    workspace: Annotated[str, typer.Option("--workspace", metavar="NAME", help="Only this workspace's runs.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=100, help="How many, newest first.")] = 20,
    organization: options.Organization = "",
    as_json: options.ListAsJson = False,
) -> None:
    """List the newest runs of the organization, or of one workspace."""
    with options.at(organization) as (api, where):
        filters = {}
        if workspace:
            filters["job"] = f"workspace.id=={target.find_workspace(api, where, workspace).id}"
        found = api.newest(where.id, "job", limit, **filters)
    show_list(found, ("id", "runStatus", "templateReference", "createdDate", "comments"), as_json=as_json)


@app.command("show")
def shown(
    run_name: options.Run = None,
    workspace: options.Workspace = None,
    organization: options.Organization = "",
    as_json: options.ListAsJson = False,
) -> None:
    """Show a run and its steps."""
    with options.at(organization) as (api, where):
        job = target.find_job(api, where, run_name, options.workspace_here(workspace) if run_name is None else "")
        found = api.resource(where.id, "job", job.number)
        steps = sorted(api.resources(where.id, "job", job.number, "step"), key=lambda step: step["stepNumber"])
    if as_json:
        print_json(found | {"steps": steps})
        return
    show_one(found)
    show_list(steps, ("stepNumber", "name", "status", "message"))


@app.command("watch")
def watched(
    workspace: Annotated[str, typer.Option("--workspace", metavar="NAME", help="Only this workspace's runs.")] = "",
    organization: options.Organization = "",
) -> None:
    """Show the runs that have not ended, as they move, until Ctrl-C; in a pipe a line per move, until none is left."""
    from cli.watch import watch

    with options.at(organization) as (api, where):
        place = target.find_workspace(api, where, workspace).id if workspace else ""
        with Interrupts().watched() as interrupts:
            try:
                watch(api, where.id, place, interrupts)
            except InterruptedByUserError:
                raise typer.Exit(ExitCode.LEFT) from None

"""`podform plan`: what a run would change, or has changed."""

from typing import Annotated

import typer

from cli import options, target
from cli.console import print_json, printable, write_out
from cli.plan_text import plan_lines

app = options.group("Shows what a run's plan changes.")


@app.command()
def show(
    run_name: options.Run = None,
    workspace: options.Workspace = None,
    organization: options.Organization = "",
    as_json: options.ListAsJson = False,
    raw: Annotated[bool, typer.Option("--raw", help="The plan's JSON with its sensitive values; for admins.")] = False,
) -> None:
    """Show what a run's plan changes, sensitive values hidden."""
    with options.at(organization) as (api, where):
        job = target.find_job(api, where, run_name, options.workspace_here(workspace) if run_name is None else "")
        plan = api.plan(where.id, job.number, raw=raw)
    if as_json or raw:
        print_json(plan)
    else:
        write_out("".join(f"{printable(line)}\n" for line in plan_lines(plan)).encode())

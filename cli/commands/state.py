"""`podform state`: a workspace's state and its versions."""

from typing import Annotated

import typer

from cli import options, target
from cli.console import write_out
from cli.errors import CommandError
from cli.exit_codes import ExitCode
from cli.show import show_list, show_one

app = options.group("Works with a workspace's state: list its versions, pull one, roll back to one.")


@app.command("list")
def versions(
    workspace: options.Workspace = None, organization: options.Organization = "", as_json: options.ListAsJson = False
) -> None:
    """List the versions of the workspace's state, newest first."""
    with options.at(organization) as (api, where):
        place = target.find_workspace(api, where, options.workspace_here(workspace))
        found = api.resources(where.id, "workspace", place.id, "history")
    show_list(found, ("id", "serial", "size", "final", "jobReference", "createdDate"), as_json=as_json)


@app.command("pull")
def pull(
    version: Annotated[
        str, typer.Option("--version", metavar="ID", help="A version of `state list`; the current one when left out.")
    ] = "",
    workspace: options.Workspace = None,
    organization: options.Organization = "",
) -> None:
    """Write the workspace's current state, or one of its versions, to stdout, byte for byte."""
    with options.at(organization) as (api, where):
        name = options.workspace_here(workspace)
        place = target.find_workspace(api, where, name)
        state = api.state_version(where.id, place.id, version) if version else api.state(where.id, place.id)
    if state is None:
        raise CommandError(f"the workspace {name!r} has no state yet", ExitCode.REFUSED)
    write_out(state)


@app.command("rollback")
def rollback(
    version: Annotated[str, typer.Argument(metavar="ID", help="A version of `state list`.")],
    workspace: options.Workspace = None,
    organization: options.Organization = "",
    as_json: options.ListAsJson = False,
) -> None:
    """Make an earlier state the newest again, as a new version with a higher serial.

    What is real is not touched: the next plan shows the difference. Refused while a run has the workspace.
    """
    with options.at(organization) as (api, where):
        place = target.find_workspace(api, where, options.workspace_here(workspace))
        made = api.roll_back_state(where.id, place.id, version)
    show_one(made, as_json=as_json)

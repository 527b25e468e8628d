"""`podform state`: a workspace's state and its versions."""

from cli import options, target
from cli.console import write_out
from cli.errors import CommandError
from cli.exit_codes import ExitCode

app = options.group("Works with a workspace's state.")


@app.command("pull")
def pull(workspace: options.Workspace = None, organization: options.Organization = "") -> None:
    """Write the workspace's current state to stdout, byte for byte."""
    with options.at(organization) as (api, where):
        name = options.workspace_here(workspace)
        state = api.state(where.id, target.find_workspace(api, where, name).id)
    if state is None:
        raise CommandError(f"the workspace {name!r} has no state yet", ExitCode.REFUSED)
    write_out(state)

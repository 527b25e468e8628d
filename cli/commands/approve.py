"""`podform approve`."""

from cli import options
from cli.decide import decide

app = options.single()


@app.command()
def approve(
    run_name: options.Run = None,
    workspace: options.Workspace = None,
    organization: options.Organization = "",
    as_json: options.AsJson = False,
) -> None:
    """Let a run that waits for approval go on with its apply."""
    decide("approved", run_name, workspace, organization, as_json=as_json)

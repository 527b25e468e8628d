"""`podform discard`."""

from cli import options
from cli.decide import decide

app = options.single()


@app.command()
def discard(
    run_name: options.Run = None,
    workspace: options.Workspace = None,
    organization: options.Organization = "",
    as_json: options.AsJson = False,
) -> None:
    """Discard the plan of a run that waits for approval."""
    decide("rejected", run_name, workspace, organization, as_json=as_json)

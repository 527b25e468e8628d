"""`podform cancel`."""

from typing import Annotated

import typer

from cli import options
from cli.decide import decide

app = options.single()


@app.command()
def cancel(
    run_name: options.Run = None,
    force: Annotated[bool, typer.Option("--force", help="After a cancel: kill it.")] = False,
    workspace: options.Workspace = None,
    organization: options.Organization = "",
    as_json: options.AsJson = False,
) -> None:
    """Cancel a run: terraform is interrupted once and saves its state."""
    decide("cancelled", run_name, workspace, organization, force=force, as_json=as_json)

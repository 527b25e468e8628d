"""`podform logs`: what the steps of a run printed."""

from typing import Annotated

import typer

from cli import options, target
from cli.console import say, write_out
from cli.exit_codes import ExitCode
from cli.follow import Follower
from cli.interrupts import InterruptedByUserError, Interrupts
from cli.run import summary

app = options.single()


@app.command()
def logs(
    run_name: options.Run = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")] = False,
    workspace: options.Workspace = None,
    organization: options.Organization = "",
) -> None:
    """Write the logs of a run to stdout.

    Exit code 0 when they are written, however the run ended.
    """
    with options.at(organization) as (api, where), Interrupts().watched() as interrupts:
        job = target.find_job(api, where, run_name, options.workspace_here(workspace))
        follower = Follower(api, where.id, interrupts, write=write_out, say=say)
        try:
            if follow:
                job = follower.follow(job, past_approval=True)
            else:
                follower.write_what_there_is(job)
        except InterruptedByUserError:
            raise typer.Exit(ExitCode.LEFT) from None
    say(summary(job))

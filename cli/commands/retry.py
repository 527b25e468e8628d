"""`podform retry`: a run again."""

from typing import Annotated, Any

import typer

from cli import options, target
from cli.console import print_json, say
from cli.run import summary
from common.ids import new_id

app = options.single()


@app.command()
def retry(
    run_name: options.Run = None,
    from_step: Annotated[
        int | None, typer.Option("--from-step", metavar="NUMBER", help="Such as 200: take over what came before it.")
    ] = None,
    message: Annotated[str, typer.Option("--message", "-m", help="A note kept with the new run.")] = "",
    workspace: options.Workspace = None,
    organization: options.Organization = "",
    as_json: options.AsJson = False,
) -> None:
    """Run it again: the whole run, or from one of its steps on.

    The new run has the same configuration and options; `podform logs -f` follows it.
    """
    wanted: dict[str, Any] = {"requestId": new_id("run")}
    wanted |= {} if from_step is None else {"fromStep": from_step}
    wanted |= {"comments": message} if message else {}
    with options.at(organization) as (api, where):
        old = target.find_job(api, where, run_name, options.workspace_here(workspace) if run_name is None else "")
        job = api.retry_job(where.id, old.number, wanted)
    if as_json:
        print_json(job)
    say(f"run {old.number} again as {summary(job)}; podform logs -f {job.number} follows it")

"""The `podform` command: its words and options, as people type them.

Entry point `main`. Each command reads its options, calls one function and turns the outcome into an exit
code; errors become one line on stderr, never a traceback.
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli import target
from cli.api_client import ApiClient
from cli.console import complain, say, write_out
from cli.documents import Job, Named
from cli.errors import CommandError
from cli.exit_codes import ExitCode, for_run
from cli.follow import Follower
from cli.interrupts import InterruptedByUserError, Interrupts
from cli.run import Place, RunOptions, approval_hint, request_status, run, summary

app = typer.Typer(
    help="Runs Terraform and OpenTofu through a Podform API. "
    "PODFORM_URL and PODFORM_TOKEN say which API and who is asking.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
state_app = typer.Typer(help="Works with a workspace's state.", no_args_is_help=True)
app.add_typer(state_app, name="state")


class IacType(StrEnum):
    """The engines that a workspace may name."""

    TERRAFORM = "terraform"
    TOFU = "tofu"


Organization = Annotated[
    str, typer.Option("--organization", metavar="NAME", help="Default: PODFORM_ORGANIZATION, or the only one.")
]
Workspace = Annotated[
    str | None, typer.Option("--workspace", metavar="NAME", help="Default: the name of the directory.")
]
Run = Annotated[
    str | None, typer.Argument(metavar="RUN", help="Number or id of a run; the workspace's newest when left out.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the run as JSON on stdout at the end.")]


@app.command()
def serve(
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = None,
    data_dir: Annotated[Path | None, typer.Option(file_okay=False, help="Where everything is kept.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    settings: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="A settings file (appsettings.json).")
    ] = None,
) -> None:
    """Serve the API on this machine: this process becomes the server, until Ctrl-C.

    What is not given comes from the API's settings (docs/reference/settings.md).
    """
    given = {"--port": port, "--data-dir": data_dir, "--host": host, "--settings": settings}
    words = [word for name, value in given.items() if value is not None for word in (name, str(value))]
    # -P: a directory called `api` in the working directory must not be taken for ours.
    command = [sys.executable, "-P", "-m", "api", *words]
    os.execv(sys.executable, command)  # noqa: S606 - no shell: the list is ours, the process id and Ctrl-C stay


@app.command("run")
def run_command(  # noqa: PLR0913, PLR0917 - each is an option of the command; typer calls it by name
    directory: Annotated[Path, typer.Argument(metavar="DIR", exists=True, file_okay=False, help="The configuration.")],
    workspace: Workspace = None,
    organization: Organization = "",
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
    as_json: AsJson = False,
) -> None:
    """Upload DIR, plan, ask, apply. Organization and workspace are created when missing (by an admin).

    The log goes to stdout (to stderr with --json), everything else to stderr. Ctrl-C cancels the run, a second
    Ctrl-C leaves it alone.
    """
    options = RunOptions(
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
        job = run(api, place, options, _write_err if as_json else write_out)
    if as_json:
        _print_json(job)
    say(summary(job) if job.has_ended else approval_hint(job, organization))
    raise typer.Exit(for_run(job.run_status))


@app.command()
def logs(
    run_name: Run = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")] = False,
    workspace: Workspace = None,
    organization: Organization = "",
) -> None:
    """Write the logs of a run to stdout. Exit code 0 when they are written, however the run ended."""
    with _at(organization) as (api, where), Interrupts().watched() as interrupts:
        job = target.find_job(api, where, run_name, _workspace_here(workspace))
        follower = Follower(api, where.id, interrupts, write=write_out, say=say)
        try:
            if follow:
                job = follower.follow(job, past_approval=True)
            else:
                follower.write_what_there_is(job)
        except InterruptedByUserError:
            raise typer.Exit(ExitCode.LEFT) from None
    say(summary(job))


@app.command()
def approve(
    run_name: Run = None, workspace: Workspace = None, organization: Organization = "", as_json: AsJson = False
) -> None:
    """Let a run that waits for approval go on with its apply."""
    _decide("approved", run_name, workspace, organization, as_json=as_json)


@app.command()
def discard(
    run_name: Run = None, workspace: Workspace = None, organization: Organization = "", as_json: AsJson = False
) -> None:
    """Discard the plan of a run that waits for approval."""
    _decide("rejected", run_name, workspace, organization, as_json=as_json)


@app.command()
def cancel(
    run_name: Run = None,
    force: Annotated[bool, typer.Option("--force", help="After a cancel: kill it.")] = False,
    workspace: Workspace = None,
    organization: Organization = "",
    as_json: AsJson = False,
) -> None:
    """Cancel a run: terraform is interrupted once and saves its state."""
    _decide("cancelled", run_name, workspace, organization, force=force, as_json=as_json)


@state_app.command("pull")
def state_pull(workspace: Workspace = None, organization: Organization = "") -> None:
    """Write the workspace's current state to stdout, byte for byte."""
    with _at(organization) as (api, where):
        name = _workspace_here(workspace)
        state = api.state(where.id, target.find_workspace(api, where, name).id)
    if state is None:
        raise CommandError(f"the workspace {name!r} has no state yet", ExitCode.REFUSED)
    write_out(state)


def main() -> None:
    """Run the command that the process was started with, and exit."""
    try:
        app()
    except CommandError as error:
        complain(str(error))
        sys.exit(error.exit_code)


@contextmanager
def _at(organization: str) -> Iterator[tuple[ApiClient, Named]]:
    """The API and the organization that a command works in."""
    chosen = target.settings()
    with target.connected(chosen) as api:
        yield api, target.find_organization(api, organization or chosen.organization)


def _decide(
    status: str, run_name: str | None, workspace: str | None, organization: str, *, as_json: bool, force: bool = False
) -> None:
    with _at(organization) as (api, where):
        job = target.find_job(api, where, run_name, _workspace_here(workspace))
        job = request_status(api, where.id, job, status, force=force)
    if as_json:
        _print_json(job)
    say(summary(job))


def _workspace_here(given: str | None) -> str:
    return target.workspace_name(given, Path())


def _print_json(job: Job) -> None:
    write_out(json.dumps(asdict(job), indent=2).encode() + b"\n")


def _write_err(data: bytes) -> None:
    sys.stderr.buffer.write(data)
    sys.stderr.buffer.flush()


if __name__ == "__main__":
    main()

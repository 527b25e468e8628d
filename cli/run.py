"""`podform run`: upload a directory, start a run, follow it to its end, ask for approval on the way.

Called by main.py. The first Ctrl-C cancels the run gracefully and goes on following it, the second leaves.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli import target
from cli.api_client import ApiClient
from cli.console import ask, can_ask, say
from cli.documents import Job
from cli.errors import ApiRefusedError, CommandError
from cli.follow import Follower
from cli.interrupts import InterruptedByUserError, Interrupts
from cli.upload import names_to_upload
from common.archive import pack
from common.ids import new_id
from common.statuses import FINAL_RUN_STATUSES, RunStatus

_PLAN_ONLY = "Plan"
_DESTROY = "Terraform-Plan/Destroy-Cli"
_APPLY = "Plan and apply"
#: Where an approval leads.
_APPROVED = frozenset(
    {
        RunStatus.CONFIRMED,
        RunStatus.PRE_APPLY_RUNNING,
        RunStatus.APPLY_QUEUED,
        RunStatus.APPLYING,
        RunStatus.APPLIED,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What a run is asked to do."""

    auto_approve: bool = False
    plan_only: bool = False
    destroy: bool = False
    refresh_only: bool = False
    targets: tuple[str, ...] = ()
    replace: tuple[str, ...] = ()
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where it runs; an empty organization means the only one."""

    directory: Path
    organization: str
    workspace: str
    iac_type: str = "terraform"


def check_options(options: RunOptions) -> None:
    """Raise CommandError for options that exclude each other."""
    if options.refresh_only and (options.destroy or options.replace):
        raise CommandError("--refresh-only changes no resource: it takes neither --destroy nor --replace")
    if options.destroy and options.replace:
        raise CommandError("--destroy and --replace exclude each other")


def job_attributes(options: RunOptions, configuration: str, request_id: str) -> dict[str, Any]:
    """The attributes of the job to create; the same request id makes it one run however often it is sent."""
    template = _PLAN_ONLY if options.plan_only else _DESTROY if options.destroy else _APPLY
    attributes: dict[str, Any] = {
        "templateReference": template,
        "configuration": configuration,
        "requestId": request_id,
    }
    if not options.plan_only:
        attributes["autoApply"] = options.auto_approve
    optional = {
        "isDestroy": options.plan_only and options.destroy,
        "comments": options.message,
        "refreshOnly": options.refresh_only,
        "targetAddrs": list(options.targets),
        "replaceAddrs": list(options.replace),
    }
    return attributes | {name: value for name, value in optional.items() if value}


def run(api: ApiClient, place: Place, options: RunOptions, write: Callable[[bytes], None]) -> Job:
    """Upload, start and follow a run; the run as it ended, or as it waits when nobody can be asked."""
    check_options(options)
    archive = pack(place.directory, names_to_upload(place.directory))
    organization = target.find_or_create_organization(api, place.organization)
    workspace = target.find_or_create_workspace(api, organization, place.workspace, place.iac_type)
    say(f"uploading {place.directory} ({len(archive)} bytes packed)")
    with Interrupts().watched() as interrupts:
        configuration = api.upload_configuration(organization.id, workspace.id, archive)
        attributes = job_attributes(options, configuration, new_id("run"))
        job = api.create_job(organization.id, workspace.id, attributes)
        say(f"run {job.number} ({job.run_id}) in the workspace {workspace.name}")
        follower = Follower(api, organization.id, interrupts, write=write, say=say)
        return _to_the_end(api, organization.id, job, follower, interrupts)


def _to_the_end(api: ApiClient, organization: str, job: Job, follower: Follower, interrupts: Interrupts) -> Job:
    canceled = False
    while True:
        try:
            job = follower.follow(job, past_approval=canceled)
            if job.has_ended or not can_ask():
                return job
            with interrupts.allowed():
                decision = _asked(job)
            if decision is None:
                return job
            job = _request(api, organization, job, decision)
        except InterruptedByUserError:
            say(f"canceling run {job.number}; Ctrl-C again leaves without waiting for it")
            job, canceled = _request(api, organization, job, "cancelled"), True


def _asked(job: Job) -> str | None:
    """The status that a person wants for a run that waits for approval; None when the input has ended."""
    answer = ask(f"Apply this plan ({_planned(job)})? Only 'yes' applies it, 'no' discards it: ")
    while answer is not None and answer.lower() not in {"yes", "no"}:
        answer = ask("Please answer 'yes' or 'no': ")
    return None if answer is None else "approved" if answer.lower() == "yes" else "rejected"


def _request(api: ApiClient, organization: str, job: Job, status: str) -> Job:
    """Ask for a status; where the run has moved on meanwhile, say so and take it as it is."""
    try:
        return request_status(api, organization, job, status)
    except ApiRefusedError as error:
        if error.status != 409:
            raise
        say(str(error))
        return api.job(organization, job.number)


def request_status(api: ApiClient, organization: str, job: Job, status: str, *, force: bool = False) -> Job:
    """Ask for `approved`, `rejected` or `cancelled`; the run then. ApiRefusedError 409 when it is too late.

    A refusal of a request that had to be repeated is none when the run stands where the request wanted it: then
    the first one was carried out and only its answer was lost.
    """
    try:
        api.request_status(organization, job.number, status, force=force)
    except ApiRefusedError as error:
        now = api.job(organization, job.number)
        if error.status == 409 and error.repeated and stands_as_asked(status, now.run_status):
            return now
        raise
    return api.job(organization, job.number)


def stands_as_asked(status: str, run_status: RunStatus) -> bool:
    """Whether a run with this status may stand so because of that request."""
    if status == "approved":
        return run_status in _APPROVED
    if status == "rejected":
        return run_status is RunStatus.DISCARDED
    return run_status in {RunStatus.CANCELED, RunStatus.FORCE_CANCELED} or run_status not in FINAL_RUN_STATUSES


def summary(job: Job) -> str:
    """One line about how a run stands."""
    run_name = f"run {job.number}"
    match job.run_status:
        case RunStatus.APPLIED:
            return f"{run_name} applied: {job.added} added, {job.changed} changed, {job.destroyed} destroyed"
        case RunStatus.PLANNED_AND_FINISHED if job.added or job.changed or job.destroyed:
            return f"{run_name} planned: {_planned(job)}"
        case RunStatus.PLANNED_AND_FINISHED:
            return f"{run_name}: no changes"
        case RunStatus.ERRORED:
            reason = f" ({job.failure_reason})" if job.failure_reason else ""
            return f"{run_name} errored{reason}: {job.message or 'see its log'}"
        case _:
            word = job.run_status.value.replace("_", " ")
            return f"{run_name} is {word}" + (f": {job.message}" if job.message else "")


def approval_hint(job: Job, organization: str) -> str:
    """How to decide about a run that waits for approval."""
    where = f" --organization {organization}" if organization else ""
    return (
        f"run {job.number} waits for an approval; go on with: "
        f"podform approve {job.number}{where}   (or: podform discard {job.number}{where})"
    )


def _planned(job: Job) -> str:
    return f"{job.added} to add, {job.changed} to change, {job.destroyed} to destroy"

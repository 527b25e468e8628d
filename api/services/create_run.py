"""A request for a run becomes a run with its steps. Called by the public routes.

Everything that can be wrong with the request is refused here, before anything is saved.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from api.domain import step_sequence
from api.domain.entities import ConfigurationVersion, Run, RunRecord, Step, Template, Workspace
from api.domain.permissions import Principal
from api.domain.step_sequence import FlowStep
from api.domain.timeouts import effective
from api.services import transitions
from api.services.access import visible_workspace
from api.services.errors import ConflictError
from api.services.ports import Ports, Reading
from common import git_source, ids
from common.errors import BadInputError
from common.statuses import StepKind

MAX_ADDRESSES = 200
MAX_ADDRESS_CHARACTERS = 1000
MAX_COMMENT_CHARACTERS = 4000
MAX_REQUEST_ID_CHARACTERS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What a caller asks for; None means: as the template or the workspace says."""

    organization_id: str
    workspace_id: str
    template: str = ""  # id or name
    configuration_id: str = ""
    branch: str | None = None  # another branch, tag or commit than the workspace's
    auto_apply: bool | None = None
    comments: str = ""
    is_destroy: bool = False  # plan the destruction, whatever the template plans
    refresh: bool = True
    refresh_only: bool = False
    target_addrs: tuple[str, ...] = ()
    replace_addrs: tuple[str, ...] = ()
    request_id: str | None = None
    via: str = "API"


async def create_run(ports: Ports, principal: Principal, request: RunRequest) -> RunRecord:
    """Save a pending run with its steps and wake the scheduler; a repeated request answers with the first run.

    Raises NotFoundError, BadInputError naming the field, ConflictError when there is no configuration.
    """
    _check(request)
    now = ports.clock()
    async with ports.database.writing() as tx:
        workspace = await visible_workspace(tx, principal, request.organization_id, request.workspace_id)
        if request.request_id and (known := await known_run(tx, workspace, request.request_id)):
            return known
        flow, template = await _flow(tx, workspace, request)
        configuration_id = await _configuration_id(tx, workspace, request, flow)
        record = _new_record(workspace, request, template, flow, principal, now)
        expiry = effective(workspace.approval_expiry_seconds, ports.rules.approval_expiry_seconds)
        record = replace(record, run=replace(record.run, approval_expiry_seconds=expiry))
        record = _numbered(record, await tx.next_run_number(), configuration_id)
        await transitions.save(tx, None, record, now)
    transitions.tell(ports, record)
    return record


def _check(request: RunRequest) -> None:
    check_comments(request.comments)
    check_request_id(request.request_id)
    if request.branch is not None:
        git_source.check_reference(request.branch, "overrideBranch")
    _check_addresses("targetAddrs", request.target_addrs)
    _check_addresses("replaceAddrs", request.replace_addrs)
    if request.refresh_only and (request.replace_addrs or not request.refresh):
        raise BadInputError("refreshOnly", "cannot be combined with replaceAddrs or with refresh: false")


def check_comments(comments: str) -> None:
    """Raise BadInputError when they are too long."""
    if len(comments) > MAX_COMMENT_CHARACTERS:
        raise BadInputError("comments", f"has more than {MAX_COMMENT_CHARACTERS} characters")


def check_request_id(request_id: str | None) -> None:
    """Raise BadInputError when it is empty or too long."""
    if request_id is not None and not 1 <= len(request_id) <= MAX_REQUEST_ID_CHARACTERS:
        raise BadInputError("requestId", f"must have 1 to {MAX_REQUEST_ID_CHARACTERS} characters")


def _check_addresses(field: str, addresses: tuple[str, ...]) -> None:
    if len(addresses) > MAX_ADDRESSES:
        raise BadInputError(field, f"holds {len(addresses)} addresses; at most {MAX_ADDRESSES} are allowed")
    for index, address in enumerate(addresses):
        # a leading dash would be an option of terraform, a line break two arguments in a log
        if not address.strip() or address.startswith("-") or not address.isprintable():
            raise BadInputError(f"{field}[{index}]", "is not a resource address")
        if len(address) > MAX_ADDRESS_CHARACTERS:
            raise BadInputError(f"{field}[{index}]", f"has more than {MAX_ADDRESS_CHARACTERS} characters")


async def known_run(tx: Reading, workspace: Workspace, request_id: str) -> RunRecord | None:
    """The run of the workspace that was asked for with this request id."""
    run = await tx.find(Run, workspace_id=workspace.id, request_id=request_id)
    return await tx.record(run.id) if run else None


async def _flow(tx: Reading, workspace: Workspace, request: RunRequest) -> tuple[tuple[FlowStep, ...], Template]:
    reference = request.template or workspace.default_template or step_sequence.DEFAULT_TEMPLATE
    template = await tx.template_named(workspace.organization_id, reference)
    if template is None:
        known: Mapping[str, object] = step_sequence.DEFAULT_TEMPLATES
        raise BadInputError("templateReference", f"is {reference!r}; there are {', '.join(known)}")
    auto_apply = workspace.auto_apply if request.auto_apply is None else request.auto_apply
    _, flow = step_sequence.DEFAULT_TEMPLATES[template.name]
    if request.is_destroy:
        flow = step_sequence.destroying(flow)
    if request.refresh_only and step_sequence.is_destroy(flow):
        raise BadInputError("refreshOnly", "cannot be combined with a run that destroys")
    if request.replace_addrs and step_sequence.is_destroy(flow):
        raise BadInputError("replaceAddrs", "cannot be combined with a run that destroys")
    return step_sequence.with_approval(flow, auto_apply), template


async def _configuration_id(tx: Reading, workspace: Workspace, request: RunRequest, flow: tuple[FlowStep, ...]) -> str:
    """The uploaded configuration's id; empty when the run's first step checks it out of git."""
    from_git = git_source.is_git(workspace.source, workspace.branch)
    if request.branch is not None and (not from_git or request.configuration_id):
        raise BadInputError("overrideBranch", "counts only for a run that takes its configuration from git")
    if from_git and not request.configuration_id:
        return ""
    if from_git and not step_sequence.is_plan_only(flow):
        raise ConflictError(
            f"workspace {workspace.name} takes its configuration from git; an uploaded one can only be planned"
        )
    return (await _configuration(tx, workspace, request)).id


async def _configuration(tx: Reading, workspace: Workspace, request: RunRequest) -> ConfigurationVersion:
    if not request.configuration_id:
        newest = await tx.newest_configuration(workspace.id)
        if newest is None:
            raise ConflictError(f"workspace {workspace.name} has no uploaded configuration yet; upload one first")
        return newest
    configuration = await tx.get(ConfigurationVersion, request.configuration_id)
    if configuration is None or configuration.workspace_id != workspace.id:
        raise BadInputError("configuration", f"{request.configuration_id!r} is no configuration of this workspace")
    if configuration.status != "uploaded":
        raise ConflictError(f"configuration {configuration.id} is {configuration.status}; upload its content first")
    return configuration


def _new_record(
    workspace: Workspace,
    request: RunRequest,
    template: Template,
    flow: tuple[FlowStep, ...],
    principal: Principal,
    now: datetime,
) -> RunRecord:
    run_id = ids.new_id("run")
    run = Run(
        id=run_id,
        number=0,
        organization_id=workspace.organization_id,
        workspace_id=workspace.id,
        configuration_id="",
        template_name=template.name,
        comments=request.comments,
        plan_only=step_sequence.is_plan_only(flow),
        is_destroy=step_sequence.is_destroy(flow),
        refresh=request.refresh,
        refresh_only=request.refresh_only,
        auto_apply=not any(step.kind is StepKind.APPROVAL for step in flow),
        target_addrs=request.target_addrs,
        replace_addrs=request.replace_addrs,
        engine=workspace.engine,
        engine_version=workspace.engine_version,
        folder=workspace.folder,
        source=workspace.source,
        branch=workspace.branch if request.branch is None else request.branch,
        created_by=principal.name,
        via=request.via,
        request_id=request.request_id,
        created_at=now,
        updated_at=now,
    )
    steps = tuple(
        Step(id=ids.new_id("step"), run_id=run_id, number=step.number, kind=step.kind, name=step.name) for step in flow
    )
    return RunRecord(run=run, steps=steps)


def _numbered(record: RunRecord, number: int, configuration_id: str) -> RunRecord:
    run = replace(record.run, number=number, configuration_id=configuration_id)
    if configuration_id:
        run = replace(run, source="", branch="")
    return replace(record, run=run)

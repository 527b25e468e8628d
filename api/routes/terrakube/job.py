"""Jobs (runs) at `…/job`: asked for, read, approved, rejected, cancelled, tried again.

Calls services/create_run, read_runs, decide_run and retry_run; the words of statuses come from common/statuses.py.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field
from starlette.responses import Response

from api.domain.entities import Run, RunRecord
from api.routes import jsonapi
from api.routes.jsonapi import Document, Read, Text, ToWorkspace, Written
from api.routes.operations import Answer, Call, Operation
from api.routes.queries import PageQuery, Query, compared
from api.routes.terrakube import step as steps
from api.services import create_run, decide_run, deletions, read_runs, retry_run
from common import ids
from common.errors import BadInputError
from common.executor_api import CancelKind
from common.statuses import REQUESTED_BY_TERRAKUBE_WORD, WORDS, TerrakubeStatus

KIND = "job"
PATH = "/api/v1/organization/{organization_id}/job"
ONE = f"{PATH}/{{job}}"


class NewJobAttributes(Written):
    """What a caller may ask for; field names are RunRequest's."""

    template: Text = Field("", alias="templateReference")
    configuration_id: Text = Field("", alias="configuration")
    branch: Text | None = Field(None, alias="overrideBranch")
    auto_apply: bool | None = None
    comments: Text = ""
    is_destroy: bool = False
    refresh: bool = True
    refresh_only: bool = False
    target_addrs: list[Text] = Field(default=[])
    replace_addrs: list[Text] = Field(default=[])
    request_id: Text | None = None

    def fields(self) -> dict[str, Any]:
        """The fields of a RunRequest."""
        lists = {"target_addrs", "replace_addrs"}
        return {name: tuple(value) if name in lists else value for name, value in super().fields().items()}


class NewJobRelationships(Written):
    """What a new job belongs to."""

    workspace: ToWorkspace


class NewJob(Written):
    """The resource of a POST."""

    type: Literal["job"]
    attributes: NewJobAttributes = Field(default_factory=lambda: NewJobAttributes.model_validate({}))
    relationships: NewJobRelationships


def _requested(word: str) -> str:
    allowed = [status.value for status in REQUESTED_BY_TERRAKUBE_WORD]
    if word not in allowed:
        raise ValueError(f"must be one of {', '.join(allowed)}")
    return word


class JobDecision(Written):
    """What a person decides."""

    status: Annotated[str, AfterValidator(_requested)] = Field(
        json_schema_extra={"enum": [status.value for status in REQUESTED_BY_TERRAKUBE_WORD]}
    )
    force: bool = Field(default=False, description="with cancelled, after a cancel: kill")


class ChangedJob(Written):
    """The resource of a PATCH."""

    type: Literal["job"]
    id: str | None = None
    attributes: JobDecision


class JobRetry(Written):
    """How an ended job is tried again."""

    from_step: Annotated[int, Field(ge=0, le=1_000_000)] | None = Field(
        None, description="number of the step to start from, the ones before it being taken over; missing: all anew"
    )
    comments: Text | None = None
    request_id: Text | None = None


class RetriedJob(Written):
    """The resource of a POST to retry."""

    type: Literal["job"]
    attributes: JobRetry = Field(default_factory=lambda: JobRetry.model_validate({}))


class JobRead(Read):
    """What is answered; field names are the run's, or set by `encoded`."""

    status: str
    id: str = Field(serialization_alias="runId")
    run_status: str
    failure_reason: str | None
    message: str
    waiting_for: str
    queue_position: int | None
    template_name: str = Field(serialization_alias="templateReference")
    configuration_id: str = Field(serialization_alias="configuration")
    source: str = Field(serialization_alias="overrideSource")
    branch: str = Field(serialization_alias="overrideBranch")
    commit_id: str
    commit_author: str
    commit_message: str
    comments: str
    auto_apply: bool
    refresh: bool
    refresh_only: bool
    plan_only: bool
    is_destroy: bool
    target_addrs: tuple[str, ...]
    replace_addrs: tuple[str, ...]
    has_changes: bool | None = Field(serialization_alias="planChanges")
    additions: int | None = Field(serialization_alias="resourceAdditions")
    changes: int | None = Field(serialization_alias="resourceChanges")
    destructions: int | None = Field(serialization_alias="resourceDestructions")
    request_id: str | None
    retry_of: int | None
    via: str
    created_at: datetime = Field(serialization_alias="createdDate")
    created_by: str
    updated_at: datetime = Field(serialization_alias="updatedDate")
    finished_at: datetime | None = Field(serialization_alias="finishedDate")


_COMPUTED = {"status", "run_status", "waiting_for", "queue_position"}
_PLAIN = tuple(name for name in JobRead.model_fields if name not in _COMPUTED)


def _of_workspace(text: str) -> str:
    workspace_id = compared(text, "workspace.id")
    if not ids.is_id(workspace_id, "workspace"):
        raise ValueError("must be workspace.id==ID")
    return workspace_id


class JobQuery(PageQuery):
    """The parameters of the list."""

    workspace_id: Annotated[str, AfterValidator(_of_workspace)] | None = Field(
        None, alias="filter[job]", description="workspace.id==ID"
    )


class OneJobQuery(Query):
    """The parameters of one job."""

    include: Literal["step"] | None = None


def encoded(run: Run, record: RunRecord | None = None, waiting: read_runs.Waiting | None = None) -> dict[str, Any]:
    """The resource object; with its steps' ids where the record is there."""
    read = JobRead(
        status=WORDS[run.status][2].value,
        run_status=run.status.value,
        waiting_for=waiting.reason if waiting else "",
        queue_position=waiting.position if waiting else None,
        **{name: getattr(run, name) for name in _PLAIN},
    )
    path = f"/api/v1/organization/{run.organization_id}/job/{run.number}"
    step_list: dict[str, Any] = {"links": {"related": f"{path}/step"}}
    if record is not None:
        step_list["data"] = [{"type": steps.KIND, "id": step.id} for step in record.steps]
    relationships = {
        "organization": jsonapi.related("organization", run.organization_id),
        "workspace": jsonapi.related("workspace", run.workspace_id),
        "step": step_list,
    }
    return jsonapi.resource(KIND, str(run.number), read, relationships, path)


async def _list(call: Call) -> Response:
    query = call.query(JobQuery)
    found = await read_runs.list_runs(call.ports, call.principal, call.organization, query.page, query.workspace_id)
    return jsonapi.many([encoded(run) for run in found.items], found.total, query.page)


async def _create(call: Call) -> Response:
    data = call.body(Document[NewJob]).data
    request = create_run.RunRequest(
        organization_id=call.organization,
        workspace_id=data.relationships.workspace.data.id,
        **data.attributes.fields(),
    )
    record = await create_run.create_run(call.ports, call.principal, request)
    return jsonapi.one(encoded(record.run, record), 201)


async def _get(call: Call) -> Response:
    record, waiting = await read_runs.get_run(call.ports, call.principal, call.organization, call.path("job"))
    wanted = call.query(OneJobQuery).include == "step"
    included = [steps.encoded(call, record.run, step) for step in record.steps] if wanted else []
    return jsonapi.one(encoded(record.run, record, waiting), included=included)


async def _retry(call: Call) -> Response:
    request = retry_run.RetryRequest(**call.body(Document[RetriedJob]).data.attributes.fields())
    record = await retry_run.retry_run(call.ports, call.principal, call.organization, call.path("job"), request)
    return jsonapi.one(encoded(record.run, record), 201)


async def _decide(call: Call) -> Response:
    data = call.body(Document[ChangedJob]).data
    jsonapi.check_same_id(data.id, call.path("job"))
    record = await _decided(call, data.attributes)
    return jsonapi.one(encoded(record.run, record))


async def _decided(call: Call, decision: JobDecision) -> RunRecord:
    where = (call.ports, call.principal, call.organization, call.path("job"))
    request = REQUESTED_BY_TERRAKUBE_WORD[TerrakubeStatus(decision.status)]
    if request == "cancel":
        return await decide_run.cancel_run(*where, CancelKind.FORCE if decision.force else CancelKind.GRACEFUL)
    if decision.force:
        raise BadInputError("force", "counts only together with status: cancelled")
    if request == "approve":
        return await decide_run.approve_run(*where)
    return await decide_run.discard_run(*where)


async def _delete(call: Call) -> Response:
    await deletions.delete_run(call.ports, call.principal, call.organization, call.path("job"))
    return jsonapi.nothing()


_ANSWER = Answer(kind=KIND, attributes=JobRead, description="The job")

OPERATIONS = (
    Operation(
        method="GET",
        path=PATH,
        act=_list,
        summary="List the organization's jobs, newest first",
        query=JobQuery,
        answer=Answer(kind=KIND, attributes=JobRead, many=True, description="A page of jobs"),
    ),
    Operation(
        method="POST",
        path=PATH,
        act=_create,
        summary="Ask for a run of a workspace",
        body=Document[NewJob],
        answer=Answer(status=201, kind=KIND, attributes=JobRead, description="The job"),
    ),
    Operation(method="GET", path=ONE, act=_get, summary="Read a job", query=OneJobQuery, answer=_ANSWER),
    Operation(
        method="PATCH",
        path=ONE,
        act=_decide,
        summary="Approve, reject or cancel a job",
        body=Document[ChangedJob],
        answer=_ANSWER,
    ),
    Operation(
        method="DELETE",
        path=ONE,
        act=_delete,
        summary="Delete a job that has ended, with its artifacts and logs; states stay",
        answer=Answer(status=204, description="It is gone"),
    ),
    Operation(
        method="POST",
        path=f"{ONE}/retry",
        act=_retry,
        summary="Try an ended job again, from its beginning or from one of its steps",
        body=Document[RetriedJob],
        answer=Answer(status=201, kind=KIND, attributes=JobRead, description="The new job"),
    ),
)

"""JSON:API documents of the API read into plain dataclasses, and the documents of writes.

Pure; called by api_client.py alone. Only the attributes that the command line shows or decides by.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cli.errors import CommandError
from cli.exit_codes import ExitCode
from common.statuses import FINAL_RUN_STATUSES, RunStatus, StepKind, TerrakubeStatus

#: Terrakube's words for a step that will not move any more.
_FINAL_STEP_WORDS = frozenset(
    {
        TerrakubeStatus.COMPLETED,
        TerrakubeStatus.FAILED,
        TerrakubeStatus.CANCELLED,
        TerrakubeStatus.NOT_EXECUTED,
        TerrakubeStatus.NO_CHANGES,
        TerrakubeStatus.REJECTED,
    }
)


@dataclass(frozen=True, slots=True)
class Named:
    """An organization or a workspace."""

    id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a run, as far as following it needs."""

    id: str
    number: int
    name: str
    kind: str
    status: str
    attempt: int = 1
    message: str = ""

    @property
    def is_approval(self) -> bool:
        return self.kind == StepKind.APPROVAL

    @property
    def has_ended(self) -> bool:
        return self.status in _FINAL_STEP_WORDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A run: `number` is what people and paths call it by."""

    number: str
    run_id: str
    run_status: RunStatus
    waiting_for: str = ""
    queue_position: int = 0  # 1 = next; 0 = not in the queue
    failure_reason: str = ""
    message: str = ""
    added: int = 0
    changed: int = 0
    destroyed: int = 0
    workspace_id: str = ""
    steps: tuple[Step, ...] = ()

    @property
    def has_ended(self) -> bool:
        return self.run_status in FINAL_RUN_STATUSES


def document(kind: str, attributes: Mapping[str, Any], **identity: str) -> dict[str, Any]:
    """The document of a write; `identity` may give `id` and `workspace` (a relationship)."""
    data: dict[str, Any] = {"type": kind, "attributes": dict(attributes)}
    if "id" in identity:
        data["id"] = identity["id"]
    if "workspace" in identity:
        data["relationships"] = {"workspace": {"data": {"type": "workspace", "id": identity["workspace"]}}}
    return {"data": data}


def named(resource: Mapping[str, Any]) -> Named:
    """An organization or workspace out of a resource object."""
    return Named(str(_of(resource, "id")), str(_of(_of(resource, "attributes"), "name")))


def flat(resource: Mapping[str, Any]) -> dict[str, Any]:
    """A resource object as one level of fields: its id, its attributes, and the id of its directory."""
    placed = (
        {"directory": _related(resource, "directory")} if "directory" in (resource.get("relationships") or {}) else {}
    )
    return {"id": str(_of(resource, "id")), **_of(resource, "attributes"), **placed}


def job(answer: Mapping[str, Any]) -> Job:
    """A job out of an answer whose `data` is one job, with the steps that it includes."""
    return job_of(_of(answer, "data"), answer.get("included") or ())


def job_of(resource: Mapping[str, Any], included: Sequence[Mapping[str, Any]] = ()) -> Job:
    """A job out of a resource object and the objects included beside it."""
    attributes = _of(resource, "attributes")
    steps = [_step(other) for other in included if other.get("type") == "step"]
    return Job(
        number=str(_of(resource, "id")),
        run_id=_text(attributes, "runId"),
        run_status=_run_status(_text(attributes, "runStatus")),
        waiting_for=_text(attributes, "waitingFor"),
        queue_position=_number(attributes, "queuePosition"),
        failure_reason=_text(attributes, "failureReason"),
        message=_text(attributes, "message"),
        added=_number(attributes, "resourceAdditions"),
        changed=_number(attributes, "resourceChanges"),
        destroyed=_number(attributes, "resourceDestructions"),
        workspace_id=_related(resource, "workspace"),
        steps=tuple(sorted(steps, key=lambda step: step.number)),
    )


def detail(body: Any) -> str:
    """What an error document says, in one line; empty when the body is no error document."""
    errors = body.get("errors") if isinstance(body, Mapping) else None
    if not isinstance(errors, list):
        return ""
    words = [str(error.get("detail") or error.get("title") or "") for error in errors if isinstance(error, Mapping)]
    return "; ".join(word for word in words if word)


def _step(resource: Mapping[str, Any]) -> Step:
    attributes = _of(resource, "attributes")
    return Step(
        id=str(_of(resource, "id")),
        number=_number(attributes, "stepNumber"),
        name=_text(attributes, "name"),
        kind=_text(attributes, "type"),
        status=_text(attributes, "status"),
        attempt=_number(attributes, "attempt"),
        message=_text(attributes, "message"),
    )


def _run_status(word: str) -> RunStatus:
    try:
        return RunStatus(word)
    except ValueError:
        raise CommandError(
            f"the API calls the run's status {word!r}, which this podform does not know; is it older than the API?",
            ExitCode.UNREACHABLE,
        ) from None


def _related(resource: Mapping[str, Any], name: str) -> str:
    data = ((resource.get("relationships") or {}).get(name) or {}).get("data") or {}
    return str(data.get("id") or "")


def _of(document: Mapping[str, Any], key: str) -> Any:
    try:
        return document[key]
    except (KeyError, TypeError):
        raise CommandError(
            f"the API's answer has no {key!r}; is this really Podform's URL?", ExitCode.UNREACHABLE
        ) from None


def _text(attributes: Mapping[str, Any], key: str) -> str:
    value = attributes.get(key)
    return "" if value is None else str(value)


def _number(attributes: Mapping[str, Any], key: str) -> int:
    value = attributes.get(key)
    return value if isinstance(value, int) else 0

"""What an executor says at the end of a step: its finish report.

Written by the executor, read by the API's executor routes. JSON with a version; unknown fields are
ignored by the reader. Recorded once however often it arrives.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from common import json_fields
from common.errors import BadInputError
from common.failure_reasons import FailureReason

VERSION = 1
#: A sentence for people, not a log: longer texts are cut.
MAX_MESSAGE_CHARACTERS = 4000


class Outcome(StrEnum):
    """How a step ended, as its executor saw it."""

    FINISHED = "finished"
    ERRORED = "errored"
    CANCELED = "canceled"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceCounts:
    """Resources by action, as terraform's summary line counts them."""

    add: int = 0
    change: int = 0
    destroy: int = 0
    imported: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanFacts:
    """What an apply must find again before it applies this plan; checksums are SHA-256 in hex."""

    plan_sha256: str
    configuration_sha256: str
    lock_file_sha256: str  # empty when the configuration has no lock file after init
    engine: str
    engine_version: str
    platform: str  # e.g. linux_amd64


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """The finish report of one attempt."""

    outcome: Outcome
    failure_reason: FailureReason | None = None
    message: str = ""
    exit_code: int | None = None  # of terraform, where it ran
    has_changes: bool | None = None  # plans only
    counts: ResourceCounts | None = None
    plan: PlanFacts | None = None
    state_serial: int | None = None  # of the last state that the executor shipped
    log_bytes: int = 0  # length of the whole log: the API knows by it whether the log is complete
    engine_version: str = ""
    #: part of the step -> seconds (init, plan, apply, upload, …)
    timings: Mapping[str, float] = field(default_factory=dict)


def to_json(report: StepReport) -> dict[str, Any]:
    """The report as a JSON document."""
    return {
        "version": VERSION,
        "outcome": report.outcome.value,
        "failureReason": report.failure_reason.value if report.failure_reason else None,
        "message": report.message[:MAX_MESSAGE_CHARACTERS],
        "exitCode": report.exit_code,
        "hasChanges": report.has_changes,
        "counts": _counts_to_json(report.counts) if report.counts else None,
        "plan": plan_facts_to_json(report.plan) if report.plan else None,
        "stateSerial": report.state_serial,
        "logBytes": report.log_bytes,
        "engineVersion": report.engine_version,
        "timings": dict(report.timings),
    }


def from_json(document: Mapping[str, Any]) -> StepReport:
    """A report out of a JSON document; BadInputError names the field that is wrong."""
    counts = json_fields.section(document, "counts")
    plan = json_fields.section(document, "plan")
    has_changes = document.get("hasChanges")
    return StepReport(
        outcome=_outcome(json_fields.required(document, "outcome", str)),
        failure_reason=_reason(json_fields.optional_text(document, "failureReason")),
        message=json_fields.optional(document, "message", "")[:MAX_MESSAGE_CHARACTERS],
        exit_code=json_fields.optional_number(document, "exitCode"),
        has_changes=None if has_changes is None else json_fields.required(document, "hasChanges", bool),
        counts=_counts_from_json(counts) if counts else None,
        plan=plan_facts_from_json(plan) if plan else None,
        state_serial=json_fields.optional_number(document, "stateSerial"),
        log_bytes=json_fields.optional(document, "logBytes", 0),
        engine_version=json_fields.optional(document, "engineVersion", ""),
        timings=_timings(json_fields.section(document, "timings")),
    )


def plan_facts_to_json(facts: PlanFacts) -> dict[str, Any]:
    """The facts as a JSON object."""
    return {
        "planSha256": facts.plan_sha256,
        "configurationSha256": facts.configuration_sha256,
        "lockFileSha256": facts.lock_file_sha256,
        "engine": facts.engine,
        "engineVersion": facts.engine_version,
        "platform": facts.platform,
    }


def plan_facts_from_json(document: Mapping[str, Any]) -> PlanFacts:
    """The facts out of a JSON object; BadInputError names the field that is wrong."""
    return PlanFacts(
        plan_sha256=json_fields.required(document, "planSha256", str),
        configuration_sha256=json_fields.required(document, "configurationSha256", str),
        lock_file_sha256=json_fields.optional(document, "lockFileSha256", ""),
        engine=json_fields.required(document, "engine", str),
        engine_version=json_fields.required(document, "engineVersion", str),
        platform=json_fields.required(document, "platform", str),
    )


def _counts_to_json(counts: ResourceCounts) -> dict[str, int]:
    return {"add": counts.add, "change": counts.change, "destroy": counts.destroy, "import": counts.imported}


def _counts_from_json(document: Mapping[str, Any]) -> ResourceCounts:
    return ResourceCounts(
        add=json_fields.optional(document, "add", 0),
        change=json_fields.optional(document, "change", 0),
        destroy=json_fields.optional(document, "destroy", 0),
        imported=json_fields.optional(document, "import", 0),
    )


def _outcome(word: str) -> Outcome:
    try:
        return Outcome(word)
    except ValueError as error:
        allowed = ", ".join(outcome.value for outcome in Outcome)
        raise BadInputError("outcome", f"is {word!r}; allowed: {allowed}") from error


def _reason(word: str | None) -> FailureReason | None:
    try:
        return None if word is None else FailureReason(word)
    except ValueError:
        return FailureReason.EXECUTOR_FAILED  # a newer executor's word: keep the report, lose the nuance


def _timings(document: Mapping[str, Any]) -> dict[str, float]:
    return {name: json_fields.required(document, name, float) for name in document}

"""The executor protocol: paths, headers and bodies between an executor and the API. Its one source.

The executor's client and the API's executor routes both build on this module and on nothing else. All
endpoints are idempotent: the executor repeats whatever it got no answer to.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from common import json_fields
from common.errors import BadInputError
from common.git_source import GitSource, source_from_json
from common.step_report import PlanFacts, plan_facts_from_json, plan_facts_to_json

PREFIX = "/executor/v1/steps"

#: POST, no token: the proof header and a ClaimRequest; 200 ClaimAnswer, 409 claimed by another or superseded.
CLAIM = "claim"
#: GET: the configuration as tar.gz. PUT: a checkout becomes the run's configuration, raw bytes with SHA256_HEADER.
CONFIGURATION = "configuration"
#: PUT: the commit that a git source was resolved to (common/git_source.py); the first one stays.
COMMIT = "commit"
#: GET: 200 the workspace's current state, 204 when there is none. PUT: raw state with the headers below.
STATE = "state"
#: POST ?offset=N: raw bytes; 200 {"next": N}, 409 {"expected": N} for a gap.
LOG = "log"
#: GET with a HeartbeatRequest as query: long-poll, 200 HeartbeatAnswer; answers at once when a cancel is there.
HEARTBEAT = "heartbeat"
#: GET ?platform=linux_amd64: 200 {"version", "sha256", "size"} of an engine that fits, 202 while it is fetched.
ENGINE = "engine"
#: GET ?version=&platform=: the engine's archive with SHA256_HEADER; a Range is honoured.
ENGINE_ARCHIVE = "engine/archive"
#: PUT and GET artifacts/{name}: raw bytes with SHA256_HEADER; GET reads what an earlier step of the run left.
ARTIFACTS = "artifacts"
#: POST: a step report (common/step_report.py); 200 however often it comes.
FINISH = "finish"

#: Names an artifact may have.
PLAN_FILE = "plan"
PLAN_JSON = "plan.json"
LOCK_FILE = "lock.hcl"
ERRORED_STATE = "errored.tfstate"
ARTIFACT_NAMES = frozenset({PLAN_FILE, PLAN_JSON, LOCK_FILE, ERRORED_STATE})

PROOF_HEADER = "X-Podform-Proof"
SERIAL_HEADER = "X-Podform-State-Serial"
LINEAGE_HEADER = "X-Podform-State-Lineage"
MD5_HEADER = "X-Podform-State-Md5"
FINAL_HEADER = "X-Podform-State-Final"  # "true" on the step's last state
SHA256_HEADER = "X-Podform-Sha256"

#: What one log append may carry; the executor cuts, the API refuses more with 413.
MAX_LOG_CHUNK_BYTES = 1024 * 1024
#: How long the API holds a heartbeat at the most; the executor asks for this.
HEARTBEAT_WAIT_SECONDS = 25
MAX_HEARTBEAT_WAIT_SECONDS = 60


class Refusal(StrEnum):
    """The `code` in the body of a 4xx answer of the executor API: what the executor should make of it."""

    SUPERSEDED = "superseded"  # another attempt took over: stop without touching anything
    CLAIMED = "claimed"  # this attempt was claimed by another executor: stop without touching anything
    CANCELED = "canceled"  # the step was canceled before or while it ran
    SETTLED = "settled"  # the step has ended and this contradicts or adds to its record
    UNKNOWN = "unknown"  # no such step, or the secret, claim code or token does not fit
    GAP = "gap"  # a log append starts beyond the end; `expected` says where to go on
    STATE_CONFLICT = "state_conflict"  # serial, lineage or md5 do not fit
    ENGINE_UNAVAILABLE = "engine_unavailable"  # no engine that fits is known or can be fetched
    BAD_REQUEST = "bad_request"  # the request itself is malformed


class CancelKind(StrEnum):
    """How a cancel wants the step to end."""

    GRACEFUL = "graceful"  # one SIGINT, then wait for terraform to save its state
    FORCE = "force"  # kill


def step_path(step_id: str, endpoint: str) -> str:
    """The path of an endpoint of a step, e.g. `/executor/v1/steps/step-…/claim`."""
    return f"{PREFIX}/{step_id}/{endpoint}"


def artifact_path(step_id: str, name: str) -> str:
    """The path of an artifact of a step."""
    return step_path(step_id, f"{ARTIFACTS}/{name}")


def claim_proof(secret: str, *, step_id: str, attempt: int, claim: str, nonce: str) -> str:
    """Proof of holding the installation's InternalSecret, for PROOF_HEADER: the secret itself never travels."""
    message = f"podform-claim\n{step_id}\n{attempt}\n{claim}\n{nonce}".encode()
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRequest:
    """Body of a claim. The nonce is random and lives in one executor's memory: a repeat of the same executor
    gets the same answer, another executor a 409."""

    attempt: int
    claim: str
    nonce: str
    executor_version: str = ""

    def to_json(self) -> dict[str, Any]:
        """The body as a JSON document."""
        return {
            "attempt": self.attempt,
            "claim": self.claim,
            "nonce": self.nonce,
            "executorVersion": self.executor_version,
        }


def claim_request_from_json(document: Mapping[str, Any]) -> ClaimRequest:
    """A claim out of a JSON document; BadInputError names the field that is wrong."""
    return ClaimRequest(
        attempt=json_fields.required(document, "attempt", int),
        claim=json_fields.required(document, "claim", str),
        nonce=json_fields.required(document, "nonce", str),
        executor_version=json_fields.optional(document, "executorVersion", ""),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StepVariable:
    """One variable of the step. `category` is TERRAFORM or ENV; `hcl`: the value is an expression, not text."""

    key: str
    value: str
    category: str
    sensitive: bool = False
    hcl: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimAnswer:
    """What a claimed step gets: its token, its variables and whatever the apply of a plan must match."""

    token: str
    variables: tuple[StepVariable, ...] = ()
    #: set by the platform, below the workspace's ENV variables and above what is inherited
    environment: Mapping[str, str] = field(default_factory=dict)
    #: texts besides sensitive variables that must not appear in the log
    redact: tuple[str, ...] = ()
    target_addrs: tuple[str, ...] = ()
    replace_addrs: tuple[str, ...] = ()
    configuration_sha256: str = ""
    plan: PlanFacts | None = None  # for the apply of a plan
    source: GitSource | None = None  # to be checked out by this step, and uploaded as the run's configuration
    timeout_seconds: int = 0  # 0 = none; the executor ends terraform gracefully when it passes
    idle_timeout_seconds: int = 0  # the same for a time without output and without a change of the state

    def to_json(self) -> dict[str, Any]:
        """The answer as a JSON document."""
        return {
            "token": self.token,
            "variables": [_variable_to_json(variable) for variable in self.variables],
            "environment": dict(self.environment),
            "redact": list(self.redact),
            "targetAddrs": list(self.target_addrs),
            "replaceAddrs": list(self.replace_addrs),
            "configurationSha256": self.configuration_sha256,
            "plan": plan_facts_to_json(self.plan) if self.plan else None,
            "source": self.source.to_json() if self.source else None,
            "timeoutSeconds": self.timeout_seconds,
            "idleTimeoutSeconds": self.idle_timeout_seconds,
        }


def claim_answer_from_json(document: Mapping[str, Any]) -> ClaimAnswer:
    """An answer out of a JSON document; BadInputError names the field that is wrong."""
    variables = document.get("variables") or []
    environment = json_fields.section(document, "environment")
    plan = json_fields.section(document, "plan")
    source = json_fields.section(document, "source")
    return ClaimAnswer(
        token=json_fields.required(document, "token", str),
        variables=tuple(_variable_from_json(item) for item in variables),
        environment={name: json_fields.required(environment, name, str) for name in environment},
        redact=json_fields.text_list(document, "redact"),
        target_addrs=json_fields.text_list(document, "targetAddrs"),
        replace_addrs=json_fields.text_list(document, "replaceAddrs"),
        configuration_sha256=json_fields.optional(document, "configurationSha256", ""),
        plan=plan_facts_from_json(plan) if plan else None,
        source=source_from_json(source) if source else None,
        timeout_seconds=json_fields.optional(document, "timeoutSeconds", 0),
        idle_timeout_seconds=json_fields.optional(document, "idleTimeoutSeconds", 0),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatRequest:
    """Query of a heartbeat. Each side ignores parameters that it does not know; older executors send only `wait`."""

    wait_seconds: int = 0  # how long the API may hold the answer
    undelivered_seconds: int = 0  # for how long something has waited to be delivered; 0 = nothing does

    def to_query(self) -> dict[str, str]:
        """The parameters of the query."""
        query = {"wait": str(self.wait_seconds)}
        return query | ({"undelivered": str(self.undelivered_seconds)} if self.undelivered_seconds else {})


def heartbeat_request_from_query(query: Mapping[str, str]) -> HeartbeatRequest:
    """A request out of a query; BadInputError names the parameter that is wrong."""
    return HeartbeatRequest(
        wait_seconds=_query_number(query, "wait", MAX_HEARTBEAT_WAIT_SECONDS),
        undelivered_seconds=_query_number(query, "undelivered", 10**9),
    )


def _query_number(query: Mapping[str, str], name: str, most: int) -> int:
    text = query.get(name, "0")
    if not text.isascii() or not text.isdecimal() or len(text) > 18 or int(text) > most:
        raise BadInputError(name, f"must be a whole number from 0 to {most}")
    return int(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatAnswer:
    """Answer to a heartbeat: whether to cancel."""

    cancel: CancelKind | None = None

    def to_json(self) -> dict[str, Any]:
        """The answer as a JSON document."""
        return {"cancel": self.cancel.value if self.cancel else None}


def heartbeat_answer_from_json(document: Mapping[str, Any]) -> HeartbeatAnswer:
    """An answer out of a JSON document; BadInputError names the field that is wrong."""
    word = json_fields.optional_text(document, "cancel")
    return HeartbeatAnswer(cancel=CancelKind(word) if word else None)


def _variable_to_json(variable: StepVariable) -> dict[str, Any]:
    return {
        "key": variable.key,
        "value": variable.value,
        "category": variable.category,
        "sensitive": variable.sensitive,
        "hcl": variable.hcl,
    }


def _variable_from_json(document: Any) -> StepVariable:
    if not isinstance(document, Mapping):
        raise BadInputError("variables", "must be a list of objects")
    return StepVariable(
        key=json_fields.required(document, "key", str),
        value=json_fields.required(document, "value", str),
        category=json_fields.required(document, "category", str),
        sensitive=json_fields.optional(document, "sensitive", default=False),
        hcl=json_fields.optional(document, "hcl", default=False),
    )

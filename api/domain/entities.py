"""The things Podform keeps: immutable records, each one row of the database.

Made and changed by services through the pure functions beside this module; stored by api/persistence,
whose columns bear the same names. Times are aware UTC datetimes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from common.executor_api import CancelKind
from common.failure_reasons import FailureReason
from common.statuses import RunStatus, StepKind, StepStatus
from common.step_report import StepReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Organization:
    """A tenant: owns workspaces, templates and tokens."""

    id: str
    name: str
    description: str = ""
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """One state and everything that is run against it."""

    id: str
    organization_id: str
    name: str
    description: str = ""
    directory_id: str | None = None  # the group it stands in; None = the top of the organization
    engine: str = "terraform"  # "terraform" or "tofu"
    engine_version: str = ""  # version or constraint; empty = whatever the executor finds
    folder: str = ""  # sub-folder of the configuration that terraform runs in
    source: str = ""  # where the configuration comes from; empty = uploaded
    branch: str = ""
    vcs_id: str = ""  # the token that its source is read with, or
    ssh_id: str = ""  # the key
    execution_mode: str = "remote"
    default_template: str = ""  # id of a template; empty = "Plan and apply"
    auto_apply: bool | None = None  # None: as the template says
    pool: str = ""  # name that a limit of runs under way may go by
    step_timeout_seconds: int | None = None  # this and the next two: None = as the setting says, 0 = none
    idle_timeout_seconds: int | None = None
    approval_expiry_seconds: int | None = None
    locked: bool = False
    lock_reason: str = ""
    locked_by: str = ""  # name of a token, or the id of the run that left its outcome unknown
    taken_by: str = ""  # id of the run that has the workspace; plan-only runs never take it
    created_at: datetime
    updated_at: datetime


class VariableCategory(StrEnum):
    """Whether a variable is an input of the configuration or an environment variable of terraform."""

    TERRAFORM = "TERRAFORM"
    ENV = "ENV"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A variable of a workspace. `value` is the plain value; it is sealed on its way to the database."""

    id: str
    workspace_id: str
    key: str
    value: str
    category: VariableCategory
    sensitive: bool = False
    hcl: bool = False
    description: str = ""
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationVersion:
    """One uploaded configuration; immutable once uploaded."""

    id: str
    workspace_id: str
    status: str = "pending"  # "pending" or "uploaded"
    sha256: str = ""  # of the tar.gz
    size: int = 0  # bytes of the tar.gz
    run_id: str = ""  # the run that checked it out of git and that alone uses it; empty = uploaded by a person
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A named flow of steps of an organization; `tcl` is its YAML."""

    id: str
    organization_id: str
    name: str
    description: str = ""
    version: str = "1.0.0"
    tcl: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of a workspace. Its integer number is what Terrakube's API calls the job's id."""

    id: str
    number: int
    organization_id: str
    workspace_id: str
    configuration_id: str
    template_name: str
    status: RunStatus = RunStatus.PENDING
    comments: str = ""
    plan_only: bool = False
    is_destroy: bool = False
    refresh: bool = True
    refresh_only: bool = False
    auto_apply: bool = True
    target_addrs: tuple[str, ...] = ()
    replace_addrs: tuple[str, ...] = ()
    has_changes: bool | None = None  # None until a plan has said so
    additions: int | None = None
    changes: int | None = None
    destructions: int | None = None
    cancel: CancelKind | None = None  # asked for; carried out when the running step has ended
    failure_reason: FailureReason | None = None
    message: str = ""  # a sentence for people about how it stands or ended
    engine: str = "terraform"
    engine_version: str = ""  # the workspace's, when the run was created
    folder: str = ""
    source: str = ""  # URL of the git repository it takes its configuration from; empty = uploaded
    branch: str = ""
    commit_id: str = ""
    commit_author: str = ""
    commit_message: str = ""
    created_by: str = ""
    via: str = "API"
    request_id: str | None = None  # makes a repeated creation recognisable
    approval_expiry_seconds: int = 0  # how long its approval may wait, as it was when the run was created; 0 = for ever
    retry_of: int | None = None  # number of the run that this one tries again
    plan_run_id: str = ""  # the run that made the plan which this one has taken over; empty = it makes its own
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One part of a run."""

    id: str
    run_id: str
    number: int  # order within the run: 100, 150, 200
    kind: StepKind
    name: str
    status: StepStatus = StepStatus.PENDING
    attempt: int = 0  # the current one; 0 before the first
    taken_over_from: str = ""  # name of the attempt of an earlier run that did it; empty = it is done in this run
    failure_reason: FailureReason | None = None
    message: str = ""
    report: StepReport | None = None  # of the attempt that settled it
    expires_at: datetime | None = None  # when an approval that nobody gave is discarded
    queued_at: datetime | None = None
    started_at: datetime | None = None  # claimed
    finished_at: datetime | None = None


class AttemptState(StrEnum):
    """How an attempt stands; from `lost` on, only the current attempt's own report may still change the step."""

    LAUNCHING = "launching"  # intent saved; whether the carrier took it is not known yet
    LAUNCHED = "launched"  # the carrier has it
    CLAIMED = "claimed"  # its executor works
    LOST = "lost"  # vanished after its claim
    SETTLED = "settled"  # reported
    FENCED = "fenced"  # may not be claimed any more: superseded, canceled or never started


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try to carry out a step. Hashes are SHA-256 in hex of the code or token."""

    name: str  # ids.attempt_name(step_id, number)
    step_id: str
    run_id: str
    workspace_id: str
    number: int
    launcher: str  # kind of the launcher that carries it
    node: str = ""  # the API process that decided on it; a local process lives there
    state: AttemptState = AttemptState.LAUNCHING
    claim_hash: str
    nonce_hash: str = ""
    token_hash: str = ""
    carrier_uid: str = ""
    cancel: CancelKind | None = None
    cancel_at: datetime | None = None
    warnings: tuple[str, ...] = ()
    created_at: datetime
    claimed_at: datetime | None = None
    heartbeat_at: datetime | None = None
    settled_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StateVersion:
    """One immutable state of a workspace; its content is an artifact."""

    id: str
    workspace_id: str
    run_id: str = ""
    step_id: str = ""
    attempt: int = 0
    serial: int
    lineage: str
    md5: str
    size: int
    final: bool = False
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A bearer token of the public API; only its hash is kept."""

    id: str
    name: str
    hash: str
    organization_id: str = ""  # empty = all organizations
    admin: bool = False
    expires_at: datetime | None = None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One transition, as it was committed."""

    run_id: str
    step_id: str = ""
    kind: str  # e.g. "run.planned", "step.launching"
    data: Mapping[str, str] = field(default_factory=dict)
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """A run with its steps in order: what every rule about runs looks at."""

    run: Run
    steps: tuple[Step, ...]

    def step(self, step_id: str) -> Step:
        """The step of that id; KeyError when it is not of this run."""
        for step in self.steps:
            if step.id == step_id:
                return step
        raise KeyError(step_id)

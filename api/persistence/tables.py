"""The tables. Columns bear the names of the entities' fields (api/domain/entities.py).

Invariants that must hold whatever the code does are constraints here. Changes go through Alembic
(migrations/), and a test holds the migrations to this module.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Sequence,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from api.domain.entities import AttemptState, VariableCategory
from api.persistence.column_types import EnumText, JsonMap, OptionalReport, SealedText, TextTuple, UtcTime
from common.executor_api import CancelKind
from common.failure_reasons import FailureReason
from common.statuses import FINAL_RUN_STATUSES, RunStatus, StepKind, StepStatus

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_ID = String(40)
_NAME = String(255)


def _reference(target: str) -> ForeignKey:
    return ForeignKey(target, ondelete="CASCADE")


organizations = Table(
    "organizations",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("name", _NAME, nullable=False, unique=True),
    Column("description", Text, nullable=False),
    Column("created_at", UtcTime, nullable=False),
)

workspaces = Table(
    "workspaces",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("organization_id", _ID, _reference("organizations.id"), nullable=False),
    Column("name", _NAME, nullable=False),
    Column("description", Text, nullable=False),
    Column("engine", String(20), nullable=False),
    Column("engine_version", String(255), nullable=False),
    Column("folder", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("branch", Text, nullable=False),
    Column("vcs_id", _ID, nullable=False),
    Column("ssh_id", _ID, nullable=False),
    Column("execution_mode", String(20), nullable=False),
    Column("default_template", _NAME, nullable=False),
    Column("auto_apply", Boolean, nullable=True),
    Column("pool", String(63), nullable=False, server_default=""),
    Column("step_timeout_seconds", Integer, nullable=True),
    Column("idle_timeout_seconds", Integer, nullable=True),
    Column("approval_expiry_seconds", Integer, nullable=True),
    Column("locked", Boolean, nullable=False),
    Column("lock_reason", Text, nullable=False),
    Column("locked_by", _NAME, nullable=False),
    Column("taken_by", _ID, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    Column("directory_id", _ID, ForeignKey("directories.id"), nullable=True, index=True),
    UniqueConstraint("organization_id", "name"),
)

variables = Table(
    "variables",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("workspace_id", _ID, _reference("workspaces.id"), nullable=False),
    Column("key", _NAME, nullable=False),
    Column("value", SealedText("variables.value"), nullable=False),
    Column("category", EnumText(VariableCategory), nullable=False),
    Column("sensitive", Boolean, nullable=False),
    Column("hcl", Boolean, nullable=False),
    Column("description", Text, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    UniqueConstraint("workspace_id", "category", "key"),
)

configuration_versions = Table(
    "configuration_versions",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("workspace_id", _ID, _reference("workspaces.id"), nullable=False),
    Column("status", String(20), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("run_id", _ID, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Index(None, "workspace_id", "status", "id"),
)

templates = Table(
    "templates",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("organization_id", _ID, _reference("organizations.id"), nullable=False),
    Column("name", _NAME, nullable=False),
    Column("description", Text, nullable=False),
    Column("version", String(40), nullable=False),
    Column("tcl", Text, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    UniqueConstraint("organization_id", "name"),
)

#: SQL for "this run has not ended", for partial indexes.
UNFINISHED = "status NOT IN (" + ", ".join(f"'{status}'" for status in sorted(FINAL_RUN_STATUSES)) + ")"
#: SQL for "this run is to be canceled".
CANCELED = f"cancel IS NOT NULL AND {UNFINISHED}"
#: SQL for "this run has not begun".
WAITING = "status = 'pending'"
#: SQL for "this run has its workspace": begun, not ended, not plan-only. One per workspace, whatever happens.
_TAKING = f"{UNFINISHED} AND status <> 'pending' AND NOT plan_only"

runs = Table(
    "runs",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("number", BigInteger, nullable=False, unique=True),
    Column("organization_id", _ID, nullable=False),
    Column("workspace_id", _ID, _reference("workspaces.id"), nullable=False),
    Column("configuration_id", _ID, nullable=False),
    Column("template_name", _NAME, nullable=False),
    Column("status", EnumText(RunStatus), nullable=False),
    Column("comments", Text, nullable=False),
    Column("plan_only", Boolean, nullable=False),
    Column("is_destroy", Boolean, nullable=False),
    Column("refresh", Boolean, nullable=False),
    Column("refresh_only", Boolean, nullable=False),
    Column("auto_apply", Boolean, nullable=False),
    Column("target_addrs", TextTuple, nullable=False),
    Column("replace_addrs", TextTuple, nullable=False),
    Column("has_changes", Boolean, nullable=True),
    Column("additions", Integer, nullable=True),
    Column("changes", Integer, nullable=True),
    Column("destructions", Integer, nullable=True),
    Column("cancel", EnumText(CancelKind), nullable=True),
    Column("failure_reason", EnumText(FailureReason), nullable=True),
    Column("message", Text, nullable=False),
    Column("engine", String(20), nullable=False),
    Column("engine_version", String(255), nullable=False),
    Column("folder", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("branch", Text, nullable=False),
    Column("commit_id", String(64), nullable=False),
    Column("commit_author", Text, nullable=False),
    Column("commit_message", Text, nullable=False),
    Column("created_by", _NAME, nullable=False),
    Column("via", String(40), nullable=False),
    Column("request_id", String(64), nullable=True),
    Column("approval_expiry_seconds", Integer, nullable=False, server_default="0"),
    Column("retry_of", BigInteger, nullable=True),
    Column("plan_run_id", _ID, nullable=False, server_default=""),
    Column("created_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    Column("finished_at", UtcTime, nullable=True),
    UniqueConstraint("workspace_id", "request_id"),
    Index(None, "organization_id", "id"),
    Index(None, "workspace_id", "id"),
    Index("ix_runs_unfinished", "workspace_id", sqlite_where=text(UNFINISHED), postgresql_where=text(UNFINISHED)),
    Index("ix_runs_canceled", "id", sqlite_where=text(CANCELED), postgresql_where=text(CANCELED)),
    Index(
        "ix_runs_waiting",
        "workspace_id",
        "plan_only",
        "number",
        sqlite_where=text(WAITING),
        postgresql_where=text(WAITING),
    ),
    Index(
        "uq_runs_one_takes_a_workspace",
        "workspace_id",
        unique=True,
        sqlite_where=text(_TAKING),
        postgresql_where=text(_TAKING),
    ),
)

steps = Table(
    "steps",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("run_id", _ID, _reference("runs.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("kind", EnumText(StepKind), nullable=False),
    Column("name", _NAME, nullable=False),
    Column("status", EnumText(StepStatus), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("taken_over_from", String(63), nullable=False, server_default=""),
    Column("failure_reason", EnumText(FailureReason), nullable=True),
    Column("message", Text, nullable=False),
    Column("report", OptionalReport, nullable=True),
    Column("expires_at", UtcTime, nullable=True),
    Column("queued_at", UtcTime, nullable=True),
    Column("started_at", UtcTime, nullable=True),
    Column("finished_at", UtcTime, nullable=True),
    UniqueConstraint("run_id", "number"),
    # `errored` always says why
    CheckConstraint("status <> 'errored' OR failure_reason IS NOT NULL", name="errored_has_a_reason"),
    Index(
        "ix_steps_to_expire",
        "expires_at",
        sqlite_where=text("status = 'waiting_approval'"),
        postgresql_where=text("status = 'waiting_approval'"),
    ),
    Index(
        "ix_steps_queued", "run_id", sqlite_where=text("status = 'queued'"), postgresql_where=text("status = 'queued'")
    ),
    Index(
        "ix_steps_under_way",
        "run_id",
        sqlite_where=text("status IN ('launching', 'running')"),
        postgresql_where=text("status IN ('launching', 'running')"),
    ),
)

attempts = Table(
    "attempts",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("step_id", _ID, _reference("steps.id"), nullable=False),
    Column("run_id", _ID, nullable=False),
    Column("workspace_id", _ID, nullable=False),
    Column("number", Integer, nullable=False),
    Column("launcher", String(20), nullable=False),
    Column("node", _ID, nullable=False, server_default=""),
    Column("state", EnumText(AttemptState), nullable=False),
    Column("claim_hash", String(64), nullable=False),
    Column("nonce_hash", String(64), nullable=False),
    Column("token_hash", String(64), nullable=False),
    Column("carrier_uid", String(80), nullable=False),
    Column("cancel", EnumText(CancelKind), nullable=True),
    Column("cancel_at", UtcTime, nullable=True),
    Column("warnings", TextTuple, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("claimed_at", UtcTime, nullable=True),
    Column("heartbeat_at", UtcTime, nullable=True),
    Column("settled_at", UtcTime, nullable=True),
    UniqueConstraint("step_id", "number"),
    Index(None, "workspace_id", "state"),
)

state_versions = Table(
    "state_versions",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("workspace_id", _ID, _reference("workspaces.id"), nullable=False),
    Column("run_id", _ID, nullable=False),
    Column("step_id", _ID, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("serial", BigInteger, nullable=False),
    Column("lineage", _NAME, nullable=False),
    Column("md5", String(32), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("final", Boolean, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    # two different states of one serial would mean that one of them was lost
    UniqueConstraint("workspace_id", "serial"),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("name", _NAME, nullable=False),
    Column("hash", String(64), nullable=False, unique=True),
    Column("organization_id", _ID, nullable=False),
    Column("admin", Boolean, nullable=False),
    Column("expires_at", UtcTime, nullable=True),
    Column("created_at", UtcTime, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("run_id", _ID, _reference("runs.id"), nullable=False, index=True),
    Column("step_id", _ID, nullable=False),
    Column("kind", String(80), nullable=False),
    Column("data", JsonMap, nullable=False),
    Column("at", UtcTime, nullable=False),
)

#: One sealed word: whether this installation's master key is the one that everything was sealed with.
seal_checks = Table(
    "seal_checks",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("seal", LargeBinary, nullable=False),
)

#: What one node holds until it expires, by the database's own clock in microseconds since 1970.
leases = Table(
    "leases",
    metadata,
    Column("name", String(80), primary_key=True),
    Column("holder", _ID, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)

#: PostgreSQL numbers runs by it; SQLite, with its one writer, by the table below.
run_numbers = Sequence("run_numbers", metadata=metadata)

counters = Table(
    "counters",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("value", BigInteger, nullable=False),
)

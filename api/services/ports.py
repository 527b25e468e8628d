"""What services need from the outside, as Protocols: database, artifacts, logs, bells, clock, launchers.

Implemented by api/persistence and api/launchers, put together in api/app.py. A service gets one `Ports`.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from api.domain.entities import Attempt, ConfigurationVersion, Event, Run, RunRecord, StateVersion, Template, Workspace
from api.domain.slots import Turns
from api.services.figures import Figures, NoFigures
from api.services.key_ports import Keys
from api.services.known_tokens import KnownTokens
from api.services.node_ports import Nodes, OneNode
from common.errors import PodformError
from common.launcher_port import Launcher

Entity = TypeVar("Entity")


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list: `number` from 1, `size` rows."""

    number: int = 1
    size: int = 20


@dataclass(frozen=True, slots=True)
class Listing(Generic[Entity]):
    """A part of a list and how many there are in all."""

    items: tuple[Entity, ...]
    total: int


class AlreadyExistsError(Exception):
    """An insert met a row with the same id or the same unique value."""


class WorkspaceBusyError(Exception):
    """Another transaction has the workspace: look again in a moment."""


class Reading(Protocol):
    """What can be asked inside a transaction. Entities are the classes of domain/entities.py."""

    async def get(self, kind: type[Entity], key: str) -> Entity | None:
        """The entity of that id (an attempt: of that name), or None."""
        ...

    async def find(self, kind: type[Entity], **equal: Any) -> Entity | None:
        """The first entity whose columns have these values, or None."""
        ...

    async def listing(
        self, kind: type[Entity], page: Page, where: Mapping[str, Any], *, newest_first: bool = False
    ) -> Listing[Entity]:
        """A page of the entities whose columns have these values, by creation."""
        ...

    async def all(self, kind: type[Entity], **equal: Any) -> tuple[Entity, ...]:
        """All entities whose columns have these values, by creation; for lists that are short by nature."""
        ...

    async def record(self, run_id: str) -> RunRecord | None:
        """A run with its steps."""
        ...

    async def unfinished_runs(self, workspace_id: str) -> tuple[Run, ...]:
        """The workspace's runs that have not ended, by number."""
        ...

    async def workspaces_with_work(self) -> tuple[tuple[str, str], ...]:
        """Organization and workspace ids of those with a step to launch or a run that may begin, first asked first."""
        ...

    async def runs_under_way(self) -> Mapping[tuple[str, str], int]:
        """Organization id and pool -> how many of their runs have a step that is launching or running."""
        ...

    async def startable_runs(self, workspace_id: str, at_most: int) -> tuple[Run, ...]:
        """The workspace's runs with a queued step, its first pending plan-only ones and the first of the others, by
        number: what waits behind those, thousands perhaps, need not be read."""
        ...

    async def first_waiting(self, workspace_id: str) -> Run | None:
        """The first pending run of the workspace that wants it for itself."""
        ...

    async def count_waiting_before(self, workspace_id: str, number: int) -> int:
        """How many pending runs of the workspace want it for themselves and have a smaller number."""
        ...

    async def next_expiry(self) -> tuple[str, datetime] | None:
        """The run whose approval expires next, and when."""
        ...

    async def attempts_of_canceled_runs(self) -> tuple[Attempt, ...]:
        """Those of the attempts under way whose run is to be canceled."""
        ...

    async def attempts_under_way(self) -> tuple[Attempt, ...]:
        """Attempts that may have a carrier: launching, launched, claimed, or fenced while their step waits."""
        ...

    async def newest_configuration(self, workspace_id: str) -> ConfigurationVersion | None:
        """The workspace's newest uploaded configuration."""
        ...

    async def current_state(self, workspace_id: str) -> StateVersion | None:
        """The workspace's newest state version."""
        ...

    async def template_named(self, organization_id: str, reference: str) -> Template | None:
        """The organization's template of that id or name."""
        ...

    async def counts(self) -> Mapping[str, int]:
        """Runs by status, for metrics."""
        ...


class Writing(Reading, Protocol):
    """What can be done inside a writing transaction; all of it is committed together or not at all."""

    async def add(self, entity: Any) -> None:
        """Insert; AlreadyExistsError when the id or a unique value is taken."""
        ...

    async def save(self, entity: Any) -> None:
        """Update the row of the entity's id."""
        ...

    async def remove(self, entity: Any) -> None:
        """Delete the entity's row and what belongs to it."""
        ...

    async def save_record(self, old: RunRecord | None, new: RunRecord, events: Sequence[Event]) -> None:
        """Insert or update a run and those of its steps that changed, with their events."""
        ...

    async def claim_workspace(self, workspace_id: str) -> Workspace | None:
        """The workspace, kept from others until the commit; WorkspaceBusyError when another transaction has it now."""
        ...

    async def next_run_number(self) -> int:
        """The next run's number; gaps are possible, repeats are not."""
        ...

    async def touch_heartbeat(self, attempt_name: str, now: datetime) -> None:
        """Note that the attempt's executor was heard of."""
        ...


class Database(Protocol):
    """Transactions."""

    def reading(self) -> AbstractAsyncContextManager[Reading]:
        """A consistent view."""
        ...

    def writing(self) -> AbstractAsyncContextManager[Writing]:
        """A transaction that is committed at the end of the block, rolled back on an exception."""
        ...


class Artifacts(Protocol):
    """Sealed contents by key: configurations, plans, states. A key is written once, or again with the same bytes."""

    async def put(self, key: str, content: bytes) -> None:
        """Store; durable when it returns. ContentDiffersError, StorageFullError, StorageAwayError."""
        ...

    async def get(self, key: str) -> bytes | None:
        """The content, or None."""
        ...

    async def remove_below(self, prefix: str) -> None:
        """Remove every content whose key continues the prefix after a slash; none is as good. StorageAwayError."""
        ...


class StorageFullError(Exception):
    """No room is left for an artifact, a log or a row."""


class StorageAwayError(Exception):
    """The artifact store does not answer now; nothing was changed, and the request may be repeated."""


class ContentDiffersError(Exception):
    """A key has its content already, and it is another one: what is stored is never overwritten."""


class DatabaseAwayError(Exception):
    """The database is away or asks to try again: nothing was changed, or the answer to the commit was lost."""


class EngineMirrorError(PodformError):
    """No engine can be had from a mirror or the store; the text says what is missing and what would help."""


@dataclass(frozen=True, slots=True)
class FetchedArchive:
    """An archive of an engine as a file of this machine, checked."""

    path: Path
    sha256: str
    size: int


class EngineMirror(Protocol):
    """A release site of one engine."""

    url: str
    signed: bool  # signatures are checked

    async def versions(self) -> tuple[str, ...]:
        """All versions that it names. EngineMirrorError."""
        ...

    async def fetch(self, version: str, platform: str, target: Path) -> str:
        """Fetch an archive into a file; its checked SHA-256. EngineMirrorError."""
        ...


class EngineArchives(Protocol):
    """Archives of engines, fetched once and kept."""

    @property
    def mirrors(self) -> Mapping[str, EngineMirror]:
        """The mirror of each engine that has one."""
        ...

    async def ensure(
        self, name: str, version: str, platform: str, *, sha256: str, wait_seconds: float
    ) -> FetchedArchive | None:
        """The archive as a file; None while it is being fetched. An empty `sha256`: out of the mirror, else out of
        what is kept. EngineMirrorError."""
        ...


class Logs(Protocol):
    """Raw bytes of logs, appended at offsets. A name is an attempt's (common/ids.py)."""

    async def append(self, name: str, offset: int, content: bytes) -> int:
        """Append at an offset; the log's new length. A repeat changes nothing; LogGapError beyond the end."""
        ...

    async def read(self, name: str, offset: int, limit: int) -> bytes:
        """At most `limit` bytes from an offset; empty at or beyond the end."""
        ...

    async def size(self, name: str) -> int:
        """The log's length in bytes."""
        ...

    async def remove(self, name: str) -> None:
        """Remove the log; none is as good."""
        ...


class LogGapError(Exception):
    """An append starts beyond the log's end; `expected` is where to go on."""

    def __init__(self, expected: int) -> None:
        super().__init__(f"the log ends at {expected}")
        self.expected = expected


class Bells(Protocol):
    """Wake-ups between services: only hints, never the truth."""

    @property
    def closing(self) -> bool:
        """Whether the server ends: what is held (a long-poll, a stream) is answered now."""
        ...

    def close(self) -> None:
        """The server ends: wake everybody."""
        ...

    def ring(self, topic: str) -> None:
        """Wake whoever waits for the topic."""
        ...

    def ring_here(self, topic: str) -> None:
        """Wake whoever waits in this process."""
        ...

    def listen(self, topic: str) -> "Bell":
        """Start listening; what rings from now on is not missed."""
        ...


class Bell(Protocol):
    """One listener."""

    async def wait(self, seconds: float) -> bool:
        """Whether it rang within so many seconds (or since the last wait)."""
        ...

    def close(self) -> None:
        """Stop listening."""
        ...


class Codes(Protocol):
    """Secret codes and their hashes."""

    def claim_code(self, attempt_name: str) -> str:
        """The one-time claim code of an attempt: derived, so that the same order can be made again after a crash."""
        ...

    def attempt_token(self, attempt_name: str, nonce: str) -> str:
        """The token of an attempt: the same for the same nonce, so that a lost answer can be repeated."""
        ...

    def new_user_token(self) -> str:
        """A bearer token of the public API."""
        ...

    def hashed(self, code: str) -> str:
        """SHA-256 in hex: all that is ever stored of a code."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Settings that rules need (api/settings.py reads them)."""

    internal_secret: str
    api_url: str  # where executors reach the API
    metrics_token: str = ""  # what `/metrics` asks for; empty = nothing
    kubernetes_enabled: bool = False
    process_allowed: bool = True
    max_configuration_bytes: int = 100 * 1024**2
    max_state_bytes: int = 512 * 1024**2
    max_variable_bytes: int = 4 * 1024**2
    max_concurrent_runs: int = 0
    max_concurrent_runs_per_organization: int = 0
    max_concurrent_runs_per_pool: Mapping[str, int] = field(default_factory=dict)
    git_protocols: tuple[str, ...] = ("https", "ssh")
    git_known_hosts: str = ""  # of every ssh key, besides its own
    git_timeout_seconds: int = 600
    step_timeout_seconds: int = 0
    idle_timeout_seconds: int = 0
    approval_expiry_seconds: int = 0
    start_patience_seconds: int = 120  # with a pod that says what is wrong
    start_timeout_seconds: int = 1800  # with one that does not start for whatever reason
    cancel_grace_seconds: int = 900  # from a cancel until the carrier is told to end the executor


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Everything a service may need."""

    database: Database
    artifacts: Artifacts
    logs: Logs
    bells: Bells
    codes: Codes
    clock: Callable[[], datetime]
    launchers: Mapping[str, Launcher]
    rules: Rules
    turns: Turns = field(default_factory=Turns)  # the workspaces that the scheduler is to look at
    engines: EngineArchives | None = None
    figures: Figures = field(default_factory=NoFigures)
    keys: Keys | None = None  # None where nothing is served
    nodes: Nodes = field(default_factory=OneNode)
    probes: Mapping[str, Callable[..., Any]] = field(default_factory=dict)  # name -> a Probe of services/doctor
    known_tokens: KnownTokens = field(default_factory=KnownTokens)


WORK_TOPIC = "work"  # topics of the bells


def workspace_topic(workspace_id: str) -> str:
    """Rings when the scheduler should look at a workspace."""
    return f"workspace:{workspace_id}"


def run_topic(run_id: str) -> str:
    """Rings when a run or one of its steps moved."""
    return f"run:{run_id}"


def decision_topic(step_id: str) -> str:
    """Rings when a step's run moved or was decided on: what heartbeats wait for."""
    return f"decision:{step_id}"


def step_topic(step_id: str) -> str:
    """Rings when a step's log grew or it moved."""
    return f"step:{step_id}"

"""The composition root: builds everything in the order of the flow. The only module that knows both the API and k8s.

One step's way: routes -> services -> database -> scheduler -> launcher -> executor -> routes/executor -> services.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import structlog
from pydantic import SecretStr
from starlette.applications import Starlette

from api import doctor_probes, observed
from api.bells import LocalBells
from api.domain import known_hosts
from api.domain.slots import pool_limits
from api.launchers.local_process import LocalProcessLauncher
from api.mirrors.engine_archives import EngineArchiveFiles
from api.mirrors.release_mirror import ReleaseMirror
from api.mirrors.signatures import Keyring
from api.persistence import object_stores, sealing
from api.persistence.artifacts import SealedArtifacts
from api.persistence.codes import DerivedCodes
from api.persistence.database import SqliteDatabase
from api.persistence.logs import FileLogs
from api.persistence.object_stores import S3Access
from api.persistence.rotation import KeyRotation
from api.persistence.sealing import Sealer
from api.prepared import opened_stores
from api.routes import executor, public
from api.routes.metrics import Metrics
from api.scheduler import Scheduler
from api.services import tokens
from api.services.node_ports import Nodes, OneNode
from api.services.ports import Bells, Ports, Rules
from api.settings import MINIMUM_SECRET_CHARACTERS, Settings, is_database_url
from common import environment
from common.errors import BadInputError
from common.launcher_port import Launcher

if TYPE_CHECKING:
    from api.failpoints import Failpoints
    from api.persistence.postgres import PostgresDatabase

_log = structlog.get_logger()

_DATABASE = "podform.db"
_KEY_FILE = "PODFORM_MASTER_KEY_FILE"


@dataclass(frozen=True, slots=True)
class Server:
    """A composed server: the ASGI application, and what must run beside it."""

    app: Starlette
    ports: Ports
    running: Callable[[], AbstractAsyncContextManager[str | None]]
    prepared: Callable[[], AbstractAsyncContextManager[None]]  # the stores alone: nothing is scheduled or served
    checks: dict[str, Callable[[], str]]  # what `/readyz` asks besides the database; may be added to


def build(settings: Settings, api_url: str) -> Server:
    """Compose the server. `api_url` is where executors reach it.

    `running` prepares the database, adopts what an earlier process left and schedules until its block ends; it
    yields the first admin token when one was made.
    """
    data = settings.data_dir
    _make_directories(settings)
    sealer = Sealer(_master_key(settings), _previous_master_key(settings))
    bucket = object_stores.s3_store(_s3_access(settings)) if settings.artifacts_url else None
    ground = _ground(settings, sealer)
    database, kept = ground.database, settings.shared_dir or data
    internal_secret, points = _internal_secret(settings), _failpoints(settings)
    artifacts, figures = SealedArtifacts(bucket or kept / "artifacts", sealer), Metrics()
    rotation = KeyRotation(database, artifacts, sealer)
    checks: dict[str, Callable[[], str]] = {"disk": lambda: _disk_problem(data, settings.minimum_free_bytes)}
    ports = Ports(
        database=database,
        keys=rotation,
        artifacts=artifacts,
        engines=(archives := EngineArchiveFiles(data / "engines", artifacts, _mirrors(settings))),
        logs=FileLogs(kept / "logs", settings.max_log_bytes),
        bells=ground.bells,
        codes=DerivedCodes(sealer),
        clock=lambda: datetime.now(UTC),
        launchers=(launchers := _launchers(settings, internal_secret, points)),
        rules=_rules(settings, internal_secret, api_url),
        figures=figures,
        nodes=ground.nodes,
        probes=doctor_probes.probes(checks, data, launchers),
    )
    ports = points.around(observed.around(ports)) if points else observed.around(ports)
    scheduler = Scheduler(ports)
    checks["scheduler"] = scheduler.problem
    prepared = partial(opened_stores, settings.artifacts_url, bucket, database)

    @asynccontextmanager
    async def running() -> AsyncIterator[str | None]:
        async with prepared():
            fresh = await tokens.ensure_admin_token(ports, _revealed(settings.admin_token))
            try:
                async with _beside(ground, scheduler), rotation.running():
                    yield fresh
            finally:
                await archives.close()

    figures.ask("scheduler_overdue", scheduler.overdue_seconds)
    return Server(_application(ports, checks), ports, running, prepared, checks)


def _application(ports: Ports, checks: Mapping[str, Callable[[], str]]) -> Starlette:
    return Starlette(
        routes=[*public.routes(ports, checks), *executor.routes(ports)],
        middleware=public.middleware(ports),
        exception_handlers=public.exception_handlers(),
    )


def _revealed(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None


def _disk_problem(directory: Path, minimum_bytes: int) -> str:
    """What is wrong with the room for database, logs and artifacts; empty when all is well."""
    free = shutil.disk_usage(directory).free
    return "" if free >= minimum_bytes else f"has {free // 1024**2} MiB left (PODFORM_MINIMUM_FREE_BYTES)"


def _s3_access(settings: Settings) -> S3Access:
    return S3Access(
        url=settings.artifacts_url,
        endpoint=settings.artifacts_endpoint or os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT"),
        region=settings.artifacts_region,
        access_key_id=_revealed(settings.artifacts_access_key_id),
        secret_access_key=_revealed(settings.artifacts_secret_access_key),
        path_style=settings.artifacts_path_style,
    )


def _failpoints(settings: Settings) -> Failpoints | None:
    if not settings.failpoint:
        return None
    from api.failpoints import Failpoints  # only tests of crashes load it

    return Failpoints(settings.failpoint)


class _Beside(Protocol):
    """What runs as long as the server does."""

    async def start(self) -> None: ...

    async def end(self) -> None: ...


@dataclass(frozen=True, slots=True)
class _Ground:
    """What a database brings: transactions, wake-ups, the other nodes; and what must run for them."""

    database: SqliteDatabase | PostgresDatabase
    bells: Bells
    nodes: Nodes
    beside: tuple[_Beside, ...] = ()


@asynccontextmanager
async def _beside(ground: _Ground, scheduler: Scheduler) -> AsyncIterator[None]:
    """Wake-ups, leases and the scheduler, from the first to the last and back."""
    started: list[_Beside] = []
    try:
        for part in ground.beside:
            await part.start()
            started.append(part)
        await scheduler.start()
        try:
            yield
        finally:
            await scheduler.close()
    finally:
        for part in reversed(started):
            await part.end()


def _ground(settings: Settings, sealer: Sealer) -> _Ground:
    url = settings.database_url.get_secret_value()
    if not url and settings.database_url_file is not None:
        url = _read("PODFORM_DATABASE_URL_FILE", settings.database_url_file)
        if not is_database_url(url):
            raise BadInputError("PODFORM_DATABASE_URL_FILE", "must hold postgresql://user:password@host/database")
    if not url:
        return _Ground(SqliteDatabase(settings.data_dir / _DATABASE, sealer), LocalBells(), OneNode())
    # imported here: SQLite need not pay for PostgreSQL's driver
    from api.nodes import LeasedNode
    from api.persistence.node_id import own_node_id
    from api.persistence.postgres import PostgresDatabase
    from api.persistence.postgres_bells import PostgresBells

    database = PostgresDatabase(url, sealer, shared=settings.shared_dir is not None)
    bells = PostgresBells(database.listening)
    node = LeasedNode(own_node_id(settings.data_dir), database, bells, settings.lease_seconds)
    return _Ground(database, bells, node, (bells, node))


def _launchers(settings: Settings, internal_secret: str, points: Failpoints | None) -> Mapping[str, Launcher]:
    launchers: dict[str, Launcher] = {}
    if not settings.kubernetes_enabled:
        if os.geteuid() == 0:
            _log.warning(
                "running_as_root",
                message="process mode as root: code in a configuration can read everything of this server. "
                "Run Podform as a user of its own, or use Kubernetes mode",
            )
        launchers["process"] = LocalProcessLauncher(
            work_root=settings.root_working_directory or settings.data_dir / "work",
            internal_secret=internal_secret,
            engine_cache=settings.engine_cache,
            inherited={**os.environ, **_for_executors(settings)},
            failpoint=points.at if points else None,
        )
    if settings.job_namespace:
        if "KUBERNETES_SERVICE_HOST" in os.environ and not settings.api_url:
            raise BadInputError(
                "AzBuilderApiUrl",
                "must be set in a cluster: executors in other pods cannot reach this one's own address",
            )
        launchers["kubernetes"] = _kubernetes(settings)
    return launchers


def _mirrors(settings: Settings) -> dict[str, ReleaseMirror]:
    if settings.ca_file is not None:
        _read("PODFORM_CA_FILE", settings.ca_file)
    keyring = Keyring(settings.engine_keys_file) if settings.engine_keys_file else None
    places = {
        "terraform": (settings.engine_mirror_terraform, settings.engine_index_terraform),
        "tofu": (settings.engine_mirror_tofu, settings.engine_index_tofu),
    }
    ca_file = str(settings.ca_file or "")
    return {
        name: ReleaseMirror(name, base, index=index, keyring=keyring, ca_file=ca_file)
        for name, (base, index) in places.items()
        if base
    }


def _for_executors(settings: Settings) -> dict[str, str]:
    root = settings.root_working_directory or settings.data_dir / "work"
    return {
        environment.DELIVERY_SECONDS: str(settings.delivery_seconds),
        environment.PROVIDER_MIRRORS: settings.provider_mirrors,
        environment.PROVIDER_NETWORK_MIRROR: settings.provider_network_mirror,
        environment.PROVIDER_CACHE: str((settings.provider_cache or root / "providers").absolute()),
    }


def _kubernetes(settings: Settings) -> Launcher:
    # imported here: process mode need not pay for the Kubernetes library
    from k8s.launcher import KubernetesLauncher
    from k8s.settings import ClusterSettings, JobSettings

    kubeconfig = "" if "KUBERNETES_SERVICE_HOST" in os.environ else os.environ.get("KUBECONFIG", "~/.kube/config")
    jobs = JobSettings(
        namespace=settings.job_namespace,
        image=settings.ephemeral_image,
        secrets=tuple(name.strip() for name in settings.ephemeral_secret.split(",") if name.strip()),
        volumes=settings.ephemeral_volumes,
        default_timeout_seconds=settings.ephemeral_deadline_seconds,
        ttl_seconds_after_finished=settings.ephemeral_ttl_seconds,
    )
    if (grace := settings.ephemeral_grace_seconds) is not None:
        jobs = replace(jobs, plan_grace_seconds=grace, apply_grace_seconds=grace)
    return KubernetesLauncher(ClusterSettings(kubeconfig=kubeconfig, context=settings.kubernetes_context), jobs)


def _rules(settings: Settings, internal_secret: str, api_url: str) -> Rules:
    return Rules(
        internal_secret=internal_secret,
        api_url=settings.api_url or api_url,
        metrics_token=_revealed(settings.metrics_token) or "",
        kubernetes_enabled=settings.kubernetes_enabled,
        max_configuration_bytes=settings.max_configuration_bytes,
        max_state_bytes=settings.max_state_bytes,
        max_variable_bytes=settings.max_variable_bytes,
        max_concurrent_runs=settings.max_concurrent_runs,
        max_concurrent_runs_per_organization=settings.max_concurrent_runs_per_organization,
        git_protocols=tuple(settings.git_protocols.split(",")),
        git_known_hosts=_known_hosts(settings),
        git_timeout_seconds=settings.git_timeout_seconds,
        max_concurrent_runs_per_pool=pool_limits(settings.max_concurrent_runs_per_pool),
        step_timeout_seconds=settings.step_timeout_seconds,
        idle_timeout_seconds=settings.idle_timeout_seconds,
        approval_expiry_seconds=settings.approval_expiry_seconds,
        start_patience_seconds=settings.start_patience_seconds,
        start_timeout_seconds=settings.start_timeout_seconds,
        cancel_grace_seconds=settings.cancel_grace_seconds,
    )


def _known_hosts(settings: Settings) -> str:
    if settings.git_known_hosts_file is None:
        return ""
    return known_hosts.check_known_hosts(_read("PODFORM_GIT_KNOWN_HOSTS_FILE", settings.git_known_hosts_file))


def _master_key(settings: Settings) -> bytes:
    if settings.master_key is not None:
        return sealing.parse_master_key(settings.master_key.get_secret_value())
    if settings.master_key_file is not None:
        return sealing.parse_master_key(_read(_KEY_FILE, settings.master_key_file), _KEY_FILE)
    path = settings.data_dir / "master.key"
    if not path.exists() and (settings.data_dir / _DATABASE).exists():
        raise BadInputError(
            "PODFORM_MASTER_KEY",
            f"{path} is missing, but the database is there: put back the key it is sealed with",
        )
    return sealing.parse_master_key(_made("PODFORM_DATA_DIR", path), str(path))


def _previous_master_key(settings: Settings) -> bytes | None:
    name = "PODFORM_MASTER_KEY_PREVIOUS"
    if settings.master_key_previous is not None:
        return sealing.parse_master_key(settings.master_key_previous.get_secret_value(), name)
    if settings.master_key_previous_file is not None:
        return sealing.parse_master_key(_read(f"{name}_FILE", settings.master_key_previous_file), f"{name}_FILE")
    return None


def _internal_secret(settings: Settings) -> str:
    if settings.internal_secret is not None:
        return settings.internal_secret.get_secret_value()
    if settings.internal_secret_file is not None:
        return _long_enough("InternalSecretFile", _read("InternalSecretFile", settings.internal_secret_file))
    return _made("PODFORM_DATA_DIR", (settings.shared_dir or settings.data_dir) / "internal.secret")


def _long_enough(setting: str, secret: str) -> str:
    if len(secret) < MINIMUM_SECRET_CHARACTERS:
        raise BadInputError(setting, f"must hold at least {MINIMUM_SECRET_CHARACTERS} characters")
    return secret


def _read(setting: str, path: Path) -> str:
    """What a secret's file holds; BadInputError that names the setting when it cannot be read."""
    try:
        return path.read_text().strip()
    except OSError as error:
        raise BadInputError(setting, f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise BadInputError(setting, f"{path} is no text") from error


def _made(setting: str, path: Path) -> str:
    """What a secret's file in the data directory holds; made when absent."""
    try:
        return sealing.read_or_make_secret(path)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise BadInputError(setting, f"{path} cannot be read or made: {why}") from error


def _make_directories(settings: Settings) -> None:
    _make_directory("PODFORM_DATA_DIR", settings.data_dir)
    for name, directory in (
        ("Terraform__RootWorkingDirectory", settings.root_working_directory),
        ("PODFORM_SHARED_DIR", settings.shared_dir),
    ):
        if directory is not None:
            _make_directory(name, directory)


def _make_directory(setting: str, path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise BadInputError(setting, f"{path} cannot be used: {error.strerror}") from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise BadInputError(setting, f"{path} cannot be used: it is not writable")

"""Every setting of the API: its one home. Read once at start through settings_source.py; a bad one stops the start.

Names that users of Terrakube and Caster know keep those names; our own begin with PODFORM_.
"""

import re
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from api.domain.slots import pool_limits

#: Shorter secrets and tokens can be guessed.
MINIMUM_SECRET_CHARACTERS = 8


def is_database_url(text: str) -> bool:
    """Whether it may be PostgreSQL's; the rest is said by the server."""
    return re.fullmatch(r"postgres(ql)?://\S*", text) is not None


class Settings(BaseModel):
    """The settings of one API process; the alias of a field is the name it is set by."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # where it serves
    host: str = Field(
        "127.0.0.1", alias="PODFORM_HOST", description="Address to listen on; loopback unless said otherwise"
    )
    port: int = Field(8080, alias="PODFORM_PORT", ge=0, le=65535, description="Port to listen on; 0 = any free one")
    data_dir: Path = Field(
        Path("podform-data"),
        alias="PODFORM_DATA_DIR",
        description="Directory of the embedded defaults: database, artifacts, logs, keys",
    )
    artifacts_url: str = Field(
        "",
        alias="PODFORM_ARTIFACTS_URL",
        description="Where artifacts lie: s3://BUCKET/PREFIX; empty = `artifacts` in the data directory",
    )
    artifacts_endpoint: str | None = Field(
        None,
        alias="PODFORM_ARTIFACTS_ENDPOINT",
        pattern=r"^https?://\S+$",
        description="URL of an S3 server that is not AWS's; absent = AWS_ENDPOINT_URL, or AWS itself",
    )
    artifacts_region: str | None = Field(
        None, alias="PODFORM_ARTIFACTS_REGION", description="Region of the bucket; absent = AWS_REGION, or us-east-1"
    )
    artifacts_path_style: bool = Field(
        default=True,
        alias="PODFORM_ARTIFACTS_PATH_STYLE",
        description="The bucket stands in the URL's path, which every server understands; off = in its host name",
    )
    artifacts_access_key_id: SecretStr | None = Field(
        None,
        alias="PODFORM_ARTIFACTS_ACCESS_KEY_ID",
        description="Key id of the bucket; absent = AWS_ACCESS_KEY_ID, or the role of the machine or pod",
    )
    artifacts_secret_access_key: SecretStr | None = Field(
        None,
        alias="PODFORM_ARTIFACTS_SECRET_ACCESS_KEY",
        description="Key of the bucket; absent = AWS_SECRET_ACCESS_KEY, or the role of the machine or pod",
    )
    api_url: str = Field(
        "", alias="AzBuilderApiUrl", description="Where executors reach the API; empty = the address it listens on"
    )
    log_format: Literal["json", "text"] = Field(
        "text", alias="PODFORM_LOG_FORMAT", description="`json` for machines; `text` because a newcomer reads it first"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", alias="PODFORM_LOG_LEVEL", description="One line per request and per step at `info`"
    )
    failpoint: str = Field(
        "",
        alias="PODFORM_FAILPOINT",
        description="For tests of crashes alone: where this process kills itself; empty = nowhere, at no cost",
    )

    drain_seconds: float = Field(
        0,
        alias="PODFORM_DRAIN_SECONDS",
        ge=0,
        le=600,
        description="From SIGTERM, when `/readyz` turns 503, until no request is taken; 0 = no load balancer",
    )
    shutdown_seconds: int = Field(
        20,
        alias="PODFORM_SHUTDOWN_SECONDS",
        ge=1,
        le=600,
        description="How long requests under way may take to end; Kubernetes kills 30 s after SIGTERM by default",
    )
    minimum_free_bytes: int = Field(
        64 * 1024**2,
        alias="PODFORM_MINIMUM_FREE_BYTES",
        ge=0,
        description="Less left in the data directory and `/readyz` says so with 503: the next states would not fit",
    )
    database_url: SecretStr = Field(
        SecretStr(""),
        alias="PODFORM_DATABASE_URL",
        description="`postgresql://user:password@host/database?sslmode=…`; empty = SQLite in the data directory",
    )
    database_url_file: Path | None = Field(
        None, alias="PODFORM_DATABASE_URL_FILE", description="File with the database's URL, for mounted secrets"
    )

    shared_dir: Path | None = Field(
        None,
        alias="PODFORM_SHARED_DIR",
        description="Directory of logs and artifacts that all replicas reach; absent = the data directory, one process",
    )
    lease_seconds: float = Field(
        15,
        alias="PODFORM_LEASE_SECONDS",
        ge=1,
        description="After so long a replica that is silent is taken to be away; it gives up itself a third earlier",
    )

    # secrets
    admin_token: SecretStr | None = Field(
        None,
        alias="PODFORM_ADMIN_TOKEN",
        min_length=MINIMUM_SECRET_CHARACTERS,
        description="The first admin token; absent = made and printed once",
    )
    master_key: SecretStr | None = Field(
        None,
        alias="PODFORM_MASTER_KEY",
        description="Base64 of 32 bytes that seal everything at rest; absent = a file in the data directory",
    )
    master_key_file: Path | None = Field(
        None, alias="PODFORM_MASTER_KEY_FILE", description="File with the master key, for mounted secrets"
    )
    master_key_previous: SecretStr | None = Field(
        None,
        alias="PODFORM_MASTER_KEY_PREVIOUS",
        description="The master key before a change of it: for the first start with a new one",
    )
    master_key_previous_file: Path | None = Field(
        None, alias="PODFORM_MASTER_KEY_PREVIOUS_FILE", description="File with the previous master key"
    )
    internal_secret: SecretStr | None = Field(
        None,
        alias="InternalSecret",
        min_length=MINIMUM_SECRET_CHARACTERS,
        description="Proves executors of this installation; absent = a file in the data directory",
    )
    internal_secret_file: Path | None = Field(
        None, alias="InternalSecretFile", description="File with the internal secret, for mounted secrets"
    )

    metrics_token: SecretStr | None = Field(
        None,
        alias="PODFORM_METRICS_TOKEN",
        min_length=MINIMUM_SECRET_CHARACTERS,
        description="Bearer token that `/metrics` asks for; absent = none, for a network usually keeps strangers out",
    )

    # limits
    max_configuration_bytes: int = Field(
        100 * 1024**2,
        alias="PODFORM_MAX_CONFIGURATION_BYTES",
        ge=1024,
        description="Largest upload of a configuration; configurations are text",
    )
    max_state_bytes: int = Field(
        512 * 1024**2,
        alias="PODFORM_MAX_STATE_BYTES",
        ge=1024,
        description="Largest state; 5,000 resources have about 3 MB",
    )
    max_log_bytes: int = Field(
        1024**3,
        alias="PODFORM_MAX_LOG_BYTES",
        ge=4096,
        description="Most that is kept of an attempt's log; a longer one says that it was cut, and its step goes on",
    )
    max_variable_bytes: int = Field(
        4 * 1024**2, alias="PODFORM_MAX_VARIABLE_BYTES", ge=1024, description="Largest value of a variable"
    )
    max_concurrent_runs: int = Field(
        0,
        alias="Terraform__MaxConcurrentRuns",
        ge=0,
        description="Runs carried out at once; 0 = no limit, clusters have theirs",
    )
    max_concurrent_runs_per_organization: int = Field(
        0,
        alias="PODFORM_MAX_CONCURRENT_RUNS_PER_ORGANIZATION",
        ge=0,
        description="The same for each organization; 0 = no limit, for most installations have one organization",
    )
    max_concurrent_runs_per_pool: str = Field(
        "",
        alias="PODFORM_MAX_CONCURRENT_RUNS_PER_POOL",
        description="The same for pools of workspaces, as in `small=2,big=10`; a pool that is not named has no limit",
    )
    step_timeout_seconds: int = Field(
        0,
        alias="PODFORM_STEP_TIMEOUT_SECONDS",
        ge=0,
        description="Ends a step gracefully when it passes; 0 = none, for applies may take hours",
    )
    idle_timeout_seconds: int = Field(
        0,
        alias="PODFORM_IDLE_TIMEOUT_SECONDS",
        ge=0,
        description="Ends steps without a sign of life; 0 = none: some are silent",
    )
    approval_expiry_seconds: int = Field(
        0,
        alias="PODFORM_APPROVAL_EXPIRY_SECONDS",
        ge=0,
        description="Discards unapproved plans; 0 = none: people are away",
    )
    start_patience_seconds: int = Field(
        120,
        alias="PODFORM_START_PATIENCE_SECONDS",
        ge=1,
        description="How long a step may not start for a reason that somebody must mend: an image, a missing Secret",
    )
    start_timeout_seconds: int = Field(
        1800,
        alias="PODFORM_START_TIMEOUT_SECONDS",
        ge=1,
        description="How long a step may wait to start at all; nodes that are made on demand take minutes",
    )
    cancel_grace_seconds: int = Field(
        900,
        alias="PODFORM_CANCEL_GRACE_SECONDS",
        ge=1,
        description="From a cancel until the carrier is told to end the executor; terraform may need minutes to stop",
    )
    delivery_seconds: int = Field(
        86400,
        alias="PODFORM_DELIVERY_SECONDS",
        ge=1,
        description="How long executors try to deliver what they have; a day outlives most outages",
    )

    # configurations from git
    git_protocols: str = Field(
        "https,ssh",
        alias="PODFORM_GIT_PROTOCOLS",
        description="Protocols that a workspace's source may have, of https, ssh, http and file; the last two "
        "prove nothing about who answers",
    )
    git_timeout_seconds: int = Field(
        600,
        alias="PODFORM_GIT_TIMEOUT_SECONDS",
        ge=1,
        description="How long a step may fetch its configuration from git, so that a server that hangs holds up nobody",
    )

    git_known_hosts_file: Path | None = Field(
        None,
        alias="PODFORM_GIT_KNOWN_HOSTS_FILE",
        description="SSH host keys that hold for every `ssh` key besides its own, as ~/.ssh/known_hosts has them",
    )

    # process mode
    root_working_directory: Path | None = Field(
        None,
        alias="Terraform__RootWorkingDirectory",
        description="Where local executors work; absent = `work` in the data directory",
    )
    engine_cache: Path | None = Field(
        None, alias="PODFORM_ENGINE_CACHE", description="Directory of engines besides PATH: <name>/<version>/<name>"
    )
    provider_mirrors: str = Field(
        "",
        alias="PODFORM_PROVIDER_MIRRORS",
        description="Directories of provider packages, separated by `:`; what is in them comes from nowhere else",
    )
    provider_network_mirror: str = Field(
        "",
        alias="PODFORM_PROVIDER_NETWORK_MIRROR",
        pattern=r"^(https://[^\s/@]+/(\S*/)?)?$",
        description="Provider network mirror, an https URL that ends with `/`, in place of all registries",
    )
    provider_cache: Path | None = Field(
        None,
        alias="PODFORM_PROVIDER_CACHE",
        description="Where installed providers are kept for later steps; absent = `providers` beside their work",
    )

    # engines that the API fetches for its executors
    engine_mirror_terraform: str = Field(
        "",
        alias="PODFORM_ENGINE_MIRROR_TERRAFORM",
        description="Release mirror of terraform, a URL or a directory; empty: nothing is ever fetched",
    )
    engine_mirror_tofu: str = Field(
        "", alias="PODFORM_ENGINE_MIRROR_TOFU", description="Release mirror of tofu, likewise"
    )
    engine_index_terraform: str = Field(
        "",
        alias="PODFORM_ENGINE_INDEX_TERRAFORM",
        description="Its index of versions, where that is not index.json or api.json of the mirror",
    )
    engine_index_tofu: str = Field("", alias="PODFORM_ENGINE_INDEX_TOFU", description="The same for tofu")
    engine_keys_file: Path | None = Field(
        None,
        alias="PODFORM_ENGINE_KEYS_FILE",
        description="Public keys (gpg --export) of which one must have signed SHA256SUMS; absent = checksums alone",
    )
    ca_file: Path | None = Field(
        None,
        alias="PODFORM_CA_FILE",
        description="PEM file of further authorities for mirrors; local executors get it for TLS to the API",
    )

    # Kubernetes mode
    kubernetes_enabled: bool = Field(
        default=False,
        alias="Terraform__KubernetesJobs__Enabled",
        description="Every step is a Kubernetes Job; off, for a newcomer has no cluster",
    )
    kubernetes_namespace: str = Field(
        "", alias="Terraform__KubernetesJobs__Namespace", description="Namespace of the Jobs (Caster's name of it)"
    )
    kubernetes_context: str = Field(
        "",
        alias="Terraform__KubernetesJobs__Context",
        description="Context of the kubeconfig outside a cluster; empty = the current one",
    )
    ephemeral_namespace: str = Field(
        "", alias="ExecutorEphemeralNamespace", description="Namespace of the Jobs (Terrakube's name of it)"
    )
    ephemeral_image: str = Field(
        "podform/executor:0.1.0",
        alias="ExecutorEphemeralImage",
        description="Image of the executor; by default ours of the same version",
    )
    ephemeral_secret: str = Field(
        "terrakube-executor-secrets",
        alias="ExecutorEphemeralSecret",
        description="Secrets, a comma list: the first holds InternalSecret, further ones are given to terraform",
    )
    ephemeral_volumes: bool = Field(
        default=True,
        alias="PODFORM_EPHEMERAL_VOLUMES",
        description="emptyDirs and a read-only root; off = a writable root and about 300 ms less at every pod start",
    )
    ephemeral_deadline_seconds: int = Field(
        86400,
        alias="ExecutorEphemeralActiveDeadlineSeconds",
        ge=60,
        description="Last resort for a step that never ends",
    )
    ephemeral_grace_seconds: int | None = Field(
        None,
        alias="ExecutorEphemeralTerminationGracePeriodSeconds",
        ge=1,
        description="From SIGTERM to SIGKILL; absent = 600 for a plan, 3600 for an apply, which must save its state",
    )
    ephemeral_ttl_seconds: int = Field(
        600,
        alias="ExecutorEphemeralTtlSecondsAfterFinished",
        ge=0,
        description="Long enough to read a failed pod, short enough to keep the cluster clean",
    )

    @field_validator("database_url")
    @classmethod
    def _database_url(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() and not is_database_url(value.get_secret_value()):
            raise ValueError("must be postgresql://user:password@host/database, or empty for SQLite")
        return value

    @field_validator("max_concurrent_runs_per_pool")
    @classmethod
    def _pools(cls, value: str) -> str:
        pool_limits(value)
        return value

    @field_validator("api_url")
    @classmethod
    def _url(cls, value: str) -> str:
        if value and not re.fullmatch(r"https?://[^\s/]+(/.*)?", value):
            raise ValueError("must be an http or https URL")
        return value.rstrip("/")

    @field_validator("provider_mirrors")
    @classmethod
    def _directories(cls, value: str) -> str:
        for path in filter(None, value.split(":")):
            if not path.startswith("/") or not Path(path).is_dir():
                raise ValueError(f"{path} is no directory; allowed are absolute paths of directories, separated by ':'")
        return value

    @field_validator("git_protocols")
    @classmethod
    def _protocols(cls, value: str) -> str:
        names = [name.strip() for name in value.split(",")]
        if not set(names) <= {"https", "ssh", "http", "file"}:
            raise ValueError("must be a comma list of https, ssh, http and file")
        return ",".join(names)

    @field_validator("engine_mirror_terraform", "engine_mirror_tofu", "engine_index_terraform", "engine_index_tofu")
    @classmethod
    def _place(cls, value: str) -> str:
        if value and not re.fullmatch(r"https?://[^\s/@]+(/\S*)?|/.*", value):
            raise ValueError("must be an http or https URL without a password, or the absolute path of a directory")
        return value

    @model_validator(mode="after")
    def _one_namespace(self) -> "Settings":
        one, other = self.ephemeral_namespace, self.kubernetes_namespace
        if one and other and one != other:
            raise ValueError(
                f"ExecutorEphemeralNamespace is {one!r} and Terraform__KubernetesJobs__Namespace is {other!r}; "
                "set one of them, or both alike"
            )
        if self.kubernetes_enabled and not (one or other):
            raise ValueError("Terraform__KubernetesJobs__Enabled is true; ExecutorEphemeralNamespace must be set too")
        return self

    @property
    def job_namespace(self) -> str:
        """Namespace of the Jobs; empty = no Kubernetes mode here."""
        return self.ephemeral_namespace or self.kubernetes_namespace

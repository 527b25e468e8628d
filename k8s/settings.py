"""What the composition root tells k8s: where the cluster is and how every Job is shaped.

Built by api/app.py from the API's settings; read by job_manifest, ephemeral_config, client, launcher and
watcher. Plain values only: nothing here reads an environment or a file.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

#: uid and gid of the executor in our image; it has a passwd entry there (ssh refuses a uid without one).
EXECUTOR_UID = 10001


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSettings:
    """How to reach the API server. With neither file nor context the pod's own service account is used."""

    kubeconfig: str = ""  # a path, or several as in KUBECONFIG; empty = in-cluster, unless a context is named
    context: str = ""  # Terraform__KubernetesJobs__Context; empty = the file's current one


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchSettings:
    """Rhythm of the watcher, in seconds. The defaults suit a real cluster; tests shorten them."""

    watch_seconds: int = 240  # the server ends a watch after this long; another follows where it ended
    silent_seconds: float = 90.0  # a socket without a byte for so long is dead (bookmarks come about every 60)
    relist_seconds: float = 300.0  # a list besides the watch: a restored etcd makes a watch silent for good
    diagnose_seconds: float = 5.0  # how often an attempt that does not start is looked at again
    settle_seconds: float = 1.0  # how long a bad end waits for what the other watch knows of its cause
    forbidden_seconds: float = 300.0  # how long to leave a resource alone that the Role does not allow
    first_backoff_seconds: float = 0.5
    longest_backoff_seconds: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeRules:
    """What a workspace may ask for in its EPHEMERAL_* variables. Refused until listed here."""

    service_accounts: frozenset[str] = frozenset()
    #: never given to an executor, whatever is listed: it may create Jobs
    api_service_account: str = "terrakube-api-service-account"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSettings:
    """The same for every Job; a workspace's PodShape comes on top."""

    namespace: str  # ExecutorEphemeralNamespace, else Terraform__KubernetesJobs__Namespace
    image: str  # ExecutorEphemeralImage
    #: ExecutorEphemeralSecret: the first holds InternalSecret, further ones are given to terraform as environment
    secrets: tuple[str, ...] = ("terrakube-executor-secrets",)
    #: tells apart installations that share a namespace; part of every selector
    installation: str = "podform"
    image_pull_policy: str = ""  # empty = Kubernetes' own rule: IfNotPresent, Always for :latest
    image_pull_secrets: tuple[str, ...] = ()
    #: InternalSecret as a read-only file, for clusters that forbid secrets in environments. Code run by
    #: terraform can read a file of its own uid, but not the executor's environment: hence not the default.
    secret_as_file: bool = False
    #: False = no volume at all and a writable root: every volume costs 300 ms of a pod's start
    volumes: bool = True
    #: deadline of a step without a timeout, in seconds: as long as an executor tries to deliver (24 h)
    default_timeout_seconds: int = 24 * 3600
    #: from SIGTERM to SIGKILL, in seconds; long enough for terraform to end its resource calls and save
    plan_grace_seconds: int = 600
    apply_grace_seconds: int = 3600
    #: the exit reason and the log outlive an API that is down this long, in seconds
    ttl_seconds_after_finished: int = 600
    #: a pod without requests is the first to be evicted and the first to be killed for memory
    requests: Mapping[str, str] = field(default_factory=lambda: {"cpu": "100m", "memory": "256Mi"})
    limits: Mapping[str, str] = field(default_factory=dict)
    node_selector: Mapping[str, str] = field(default_factory=dict)
    rules: ShapeRules = field(default_factory=ShapeRules)

"""Names of environment variables: what an executor is started with, and which names are reserved.

The reserved names are one table: it binds workspace ENV variables, EPHEMERAL_JOB_ENV_VARS and Direct
values alike. Used when a variable is saved (refused early) and again by the executor (belt and braces).
"""

import re

#: Given to every executor by its launcher.
FLAG_BATCH = "EphemeralFlagBatch"
JOB_DATA = "EphemeralJobData"
INTERNAL_SECRET = "InternalSecret"  # noqa: S105 - a variable's name, not a secret
#: Instead of it: the path of a file that holds it, for clusters that forbid secrets in environments.
INTERNAL_SECRET_FILE = "InternalSecretFile"  # noqa: S105 - a variable's name, not a secret
#: Where the executor works; everything it writes is below.
WORK_DIRECTORY = "PODFORM_WORK_DIR"
#: A directory searched for engines besides PATH: <dir>/<terraform|tofu>/<version>/<terraform|tofu>.
ENGINE_CACHE = "PODFORM_ENGINE_CACHE"
#: Directories with provider packages (terraform's mirror layouts), separated by `:`.
PROVIDER_MIRRORS = "PODFORM_PROVIDER_MIRRORS"
#: A network mirror (https) that takes the place of the registries.
PROVIDER_NETWORK_MIRROR = "PODFORM_PROVIDER_NETWORK_MIRROR"
#: Where provider packages that a step installed are kept for later steps on this machine.
PROVIDER_CACHE = "PODFORM_PROVIDER_CACHE"
#: How long an executor goes on trying to deliver what it has, in seconds.
DELIVERY_SECONDS = "PODFORM_DELIVERY_SECONDS"
#: How long terraform may take after SIGINT before the executor gives up waiting, in seconds.
INTERRUPT_GRACE_SECONDS = "PODFORM_INTERRUPT_GRACE_SECONDS"
#: PEM file of additional authorities for TLS to the API.
CA_FILE = "PODFORM_CA_FILE"

#: The toggle of Kubernetes mode on a workspace.
TOGGLE = "TERRAKUBE_ENABLE_EPHEMERAL_EXECUTOR"

#: Reserved: exact names, and prefixes. The reason beside each group.
RESERVED_NAMES = frozenset(
    {
        # how the executor itself is found, started and proves itself
        FLAG_BATCH,
        JOB_DATA,
        INTERNAL_SECRET,
        INTERNAL_SECRET_FILE,
        # would let one workspace steer the executor's own Python or dynamic linker
        "PATH",
        "HOME",
        "TMPDIR",
        "BASH_ENV",
        "ENV",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        # belong to the platform: our own engine settings would be undone
        "TF_CLI_CONFIG_FILE",
        "TF_DATA_DIR",
        "TF_INPUT",
        "TF_IN_AUTOMATION",
        "TF_WORKSPACE",
        "TF_LOG_PATH",
        "TF_REATTACH_PROVIDERS",
        "TF_STATE_PERSIST_INTERVAL",
        "CHECKPOINT_DISABLE",
    }
)
RESERVED_PREFIXES = (
    "PODFORM_",
    "Ephemeral",
    "PYTHON",
    "LD_",
    "DYLD_",
    "GCONV_",
    "TF_CLI_ARGS",
    "KUBERNETES_",
)

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OFF = frozenset({"", "0", "false", "no", "off"})
_ON = frozenset({"1", "true", "yes", "on"})


def is_name(name: str) -> bool:
    """Whether a name is one that every shell and every Kubernetes version accepts for a variable."""
    return _NAME.fullmatch(name) is not None


def is_reserved(name: str) -> bool:
    """Whether the platform keeps this name for itself."""
    return name in RESERVED_NAMES or name.startswith(RESERVED_PREFIXES)


def truth(text: str) -> bool | None:
    """True or false as users write it (1/true/yes/on, 0/false/no/off/empty); None when it is neither."""
    word = text.strip().lower()
    if word in _OFF:
        return False
    return True if word in _ON else None

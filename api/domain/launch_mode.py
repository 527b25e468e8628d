"""Which launcher carries a step: the rule of the modes. Pure.

Asked by services/start_next_step when the intent is saved and by services/variables when a toggle is saved.
"""

from collections.abc import Mapping

from common.environment import TOGGLE, truth
from common.errors import BadInputError

PROCESS = "process"
KUBERNETES = "kubernetes"


def shapes_carrier(name: str) -> bool:
    """Whether an ENV variable of this name shapes the carrier of a step."""
    return name == TOGGLE or name.startswith("EPHEMERAL_") or name in {"TF_PLUGIN_CACHE_DIR", "PVC_CLAIM_NAME"}


def launcher_kind(shape: Mapping[str, str], *, kubernetes_enabled: bool) -> str:
    """`kubernetes` where it is enabled for all or switched on by the workspace, else `process`."""
    if kubernetes_enabled:
        return KUBERNETES
    return KUBERNETES if truth(shape.get(TOGGLE, "")) else PROCESS


def check_toggle(value: str, *, kubernetes_enabled: bool, kubernetes_available: bool) -> None:
    """Refuse a toggle that could not be honoured, at save."""
    on = truth(value)
    if on is None:
        raise BadInputError(TOGGLE, "must be one of 1, true, yes, on or 0, false, no, off (or empty)")
    if on and not kubernetes_available:
        raise BadInputError(TOGGLE, "this installation has no Kubernetes mode; ExecutorEphemeralNamespace is not set")
    if not on and kubernetes_enabled:
        raise BadInputError(
            TOGGLE,
            "cannot be switched off here: Terraform__KubernetesJobs__Enabled is true and there is no online executor",
        )

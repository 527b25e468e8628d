"""How long an attempt that does not start is waited for. Pure; asked by services/settle_lost_steps.

A pending pod is not a dead one: nodes are made on demand and registries stumble. But what cannot start by
itself must not hold its workspace for ever.
"""

from common.failure_reasons import FailureReason

#: Failures that somebody has to mend: waiting long does not help.
_TO_BE_MENDED = frozenset(
    {
        FailureReason.IMAGE_PULL,
        FailureReason.MISSING_REFERENCE,
        FailureReason.START_FAILED,
        FailureReason.BAD_CONFIGURATION,
    }
)


def exhausted(
    reason: FailureReason | None, waited_seconds: float, *, patience_seconds: int, timeout_seconds: int
) -> bool:
    """Whether an attempt that waits for so long is given up: after the patience when it says that something is
    wrong which will not mend itself, after the timeout in any case."""
    limit = min(patience_seconds, timeout_seconds) if reason in _TO_BE_MENDED else timeout_seconds
    return waited_seconds > limit

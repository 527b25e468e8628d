"""What becomes of a step whose carrier ended without a report.

Pure; asked by services/settle_lost_steps. The rule behind it: a step that was never claimed has touched
nothing and may start again; a plan only reads; an apply is never started twice.
"""

from enum import StrEnum

from common.executor_api import CancelKind
from common.failure_reasons import INFRASTRUCTURE, FailureReason
from common.statuses import APPLY_KINDS, StepKind

#: How often a step may be started before its carrier's failures count as the step's.
MAX_ATTEMPTS = 3

#: Failures that another attempt would only repeat.
_PERMANENT = frozenset(FailureReason) - INFRASTRUCTURE
#: Memory is as short the second time.
_NOT_AGAIN_ONCE_CLAIMED = _PERMANENT | {FailureReason.OUT_OF_MEMORY}


class Verdict(StrEnum):
    """What becomes of the step."""

    AGAIN = "again"
    ERRORED = "errored"
    CANCELED = "canceled"
    FORCE_CANCELED = "force_canceled"
    OUTCOME_UNKNOWN = "outcome_unknown"


def verdict(
    *, kind: StepKind, claimed: bool, cancel: CancelKind | None, reason: FailureReason | None, attempt: int
) -> Verdict:
    """The verdict on an attempt that is gone.

    `reason` is what the carrier itself gave (None: it just ended), `attempt` counts from 1.
    """
    if claimed and kind in APPLY_KINDS:
        return Verdict.FORCE_CANCELED if cancel is CancelKind.FORCE else Verdict.OUTCOME_UNKNOWN
    if cancel is not None:
        return Verdict.FORCE_CANCELED if cancel is CancelKind.FORCE else Verdict.CANCELED
    final = _NOT_AGAIN_ONCE_CLAIMED if claimed else _PERMANENT
    if attempt >= MAX_ATTEMPTS or reason in final:
        return Verdict.ERRORED
    return Verdict.AGAIN

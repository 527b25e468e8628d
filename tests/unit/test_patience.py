"""How long an attempt that does not start is waited for."""

import pytest

from api.domain import patience
from common.failure_reasons import FailureReason


@pytest.mark.parametrize(
    ("reason", "waited", "expected"),
    [
        (None, 100, False),
        (None, 1801, True),
        (FailureReason.UNSCHEDULABLE, 121, False),
        (FailureReason.UNSCHEDULABLE, 1801, True),
        (FailureReason.IMAGE_PULL, 119, False),
        (FailureReason.IMAGE_PULL, 121, True),
        (FailureReason.MISSING_REFERENCE, 121, True),
    ],
)
def test_when_patience_ends(reason: FailureReason | None, waited: float, expected: bool) -> None:
    """What somebody must mend is given up soon, what may still come only after the timeout."""
    assert patience.exhausted(reason, waited, patience_seconds=120, timeout_seconds=1800) is expected

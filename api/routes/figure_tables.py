"""The figures that there are: names, labels, buckets. Read by metrics.py, and by the tests of docs and alerts.

Labels have few values: kinds, outcomes and reasons of our own enumerations, never an id or a name that a user chose.
"""

from collections.abc import Mapping
from dataclasses import dataclass

#: What this process does itself: from a fast disk to a stuck one.
_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30)
#: Starts: a process takes tenths of a second, a pod seconds, a node that is made on demand minutes.
_STARTS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900)
#: What waits for others and what terraform does: seconds to hours.
_LONG = (0.1, 0.5, 1, 5, 15, 30, 60, 120, 300, 900, 1800, 3600, 7200, 21600)


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: its name for Prometheus (counters get `_total`), what it says, its labels."""

    name: str
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = _FAST


HISTOGRAMS: Mapping[str, Row] = {
    "step_queue": Row("podform_step_queue_seconds", "From queued until launched", ("kind",), _LONG),
    "step_start": Row(
        "podform_step_start_seconds", "From launched until claimed: process or pod start", ("launcher",), _STARTS
    ),
    "step": Row("podform_step_seconds", "From claimed until ended", ("kind", "outcome"), _LONG),
    "claim": Row("podform_claim_seconds", "Until a claim was answered", ("outcome",)),
    "transaction": Row("podform_transaction_seconds", "Transactions of the database", ("kind", "outcome")),
    "artifact": Row("podform_artifact_request_seconds", "Requests to the artifact store", ("operation", "outcome")),
    "scheduler_round": Row("podform_scheduler_round_seconds", "Rounds of the scheduler", ("outcome",)),
}

COUNTERS: Mapping[str, Row] = {
    "step": Row("podform_steps", "Steps that ended", ("kind", "outcome", "reason")),
    "log_bytes": Row("podform_log_bytes", "Bytes of logs taken from executors"),
    "state_versions": Row("podform_state_versions", "State versions taken from executors"),
    "state_bytes": Row("podform_state_bytes", "Bytes of state versions taken from executors"),
}

#: Asked for when `/metrics` is.
GAUGES: Mapping[str, Row] = {
    "runs": Row("podform_runs", "Runs by status", ("status",)),
    "attempts": Row("podform_attempts_under_way", "Attempts under way", ("launcher", "state")),
    "watch_age": Row(
        "podform_watch_age_seconds", "Since the watch of the cluster was last known to be good", ("resource",)
    ),
    "spool_age": Row(
        "podform_spool_age_seconds", "The longest that an executor has held what it could not deliver, as it says"
    ),
    "scheduler_overdue": Row("podform_scheduler_overdue_seconds", "By how much the scheduler's next round is late"),
}

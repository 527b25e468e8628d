"""Why a step or a run ended `errored`: stable words that programs may rely on.

Set by the launchers, by the executor's report and by the services; shown on the step and on the run
together with a sentence for people.
"""

from enum import StrEnum


class FailureReason(StrEnum):
    """Stable reason of a failure; the comment beside each says what happened."""

    TERRAFORM_FAILED = "terraform_failed"  # terraform ran and ended with an error of its own
    BAD_CONFIGURATION = "bad_configuration"  # the configuration, image or engine cannot be used as it is
    STATE_CONFLICT = "state_conflict"  # a state was refused: serial, lineage or checksum do not fit
    PLAN_MISMATCH = "plan_mismatch"  # the apply does not find what was planned (plan, lock file, engine, …)
    ENGINE_UNAVAILABLE = "engine_unavailable"  # no terraform or tofu that satisfies the workspace's version
    IMAGE_PULL = "image_pull"  # the executor's image cannot be pulled
    UNSCHEDULABLE = "unschedulable"  # no node takes the pod
    MISSING_REFERENCE = "missing_reference"  # a Secret, ConfigMap, claim or service account does not exist
    OUT_OF_MEMORY = "out_of_memory"  # the container was killed for its memory
    EVICTED = "evicted"  # the pod was evicted, preempted or drained
    NODE_LOST = "node_lost"  # the node is gone
    TIMED_OUT = "timed_out"  # a deadline passed
    START_FAILED = "start_failed"  # the container or process could not be started
    EXECUTOR_LOST = "executor_lost"  # the executor vanished before it reported, nothing was applied
    OUTCOME_UNKNOWN = "outcome_unknown"  # the executor vanished in an apply: what it did is not fully known
    REJECTED_BY_CLUSTER = "rejected_by_cluster"  # the cluster refused the Job
    EXECUTOR_FAILED = "executor_failed"  # the executor itself failed; its message says how
    WORKSPACE_DELETED = "workspace_deleted"  # the workspace went away under a waiting run


#: Failures of the carrier, not of the work: a plan may be tried again after one of them.
INFRASTRUCTURE = frozenset(
    {
        FailureReason.OUT_OF_MEMORY,
        FailureReason.EVICTED,
        FailureReason.NODE_LOST,
        FailureReason.EXECUTOR_LOST,
        FailureReason.START_FAILED,
    }
)

"""What a Job, its pod and its events say about an attempt, row by row."""

from typing import Any

import pytest

from common.failure_reasons import FailureReason as Reason
from k8s import pod_diagnosis

Json = dict[str, Any]


def pod(state: Json | None = None, *conditions: Json, limit: str = "", **status: object) -> Json:
    """A pod with one container in this state."""
    resources = {"limits": {"memory": limit}} if limit else {}
    found: Json = {"conditions": list(conditions), **status}
    if state is not None:
        found["containerStatuses"] = [{"state": state}]
    return {"spec": {"containers": [{"image": "registry/x:1", "resources": resources}]}, "status": found}


def condition(kind: str, reason: str = "", message: str = "", status: str = "True") -> Json:
    """A condition."""
    return {"type": kind, "status": status, "reason": reason, "message": message}


def job(*conditions: Json) -> Json:
    """A Job with these conditions."""
    return {"status": {"conditions": list(conditions)}}


def ended(code: int, reason: str = "Error", message: str = "") -> Json:
    """The state of a terminated container."""
    return {"terminated": {"exitCode": code, "reason": reason, "message": message}}


def waiting(reason: str, message: str = "") -> Json:
    """The state of a waiting container."""
    return {"waiting": {"reason": reason, "message": message}}


def event(reason: str, message: str) -> Json:
    """An event."""
    return {"reason": reason, "message": message}


DEADLINE = condition("FailureTarget", "DeadlineExceeded", "Job was active longer than specified deadline")
EVICTED = condition("DisruptionTarget", "EvictionByEvictionAPI", "Eviction API: evicting")
BACKOFF = condition("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit")

ENDS: list[tuple[Json | None, Json | None, Reason | None, str]] = [
    (None, None, None, ""),
    (job(condition("Complete")), pod(ended(0, "Completed")), None, ""),
    (job(), pod(ended(0, "Completed"), EVICTED), Reason.EVICTED, "EvictionByEvictionAPI: Eviction API: evicting"),
    (job(DEADLINE), pod(ended(1)), Reason.TIMED_OUT, "active longer than specified deadline"),
    (job(condition("Failed", "DeadlineExceeded", "late")), None, Reason.TIMED_OUT, "late"),
    (job(BACKOFF), pod(ended(137, "OOMKilled"), limit="512Mi"), Reason.OUT_OF_MEMORY, "its limit is 512Mi"),
    (job(BACKOFF), pod(ended(137, "OOMKilled")), Reason.OUT_OF_MEMORY, "the node ran out"),
    (job(BACKOFF), pod(ended(137)), Reason.EXECUTOR_LOST, "killed by signal 9"),
    (job(BACKOFF), pod(ended(3)), Reason.EXECUTOR_FAILED, "exit code 3"),
    (job(BACKOFF), pod(ended(127)), Reason.BAD_CONFIGURATION, "not a Podform executor image (registry/x:1)"),
    (job(BACKOFF), pod(ended(128, "StartError", "no such file")), Reason.START_FAILED, "no such file"),
    (job(BACKOFF), pod(ended(128, "ContainerCannotRun")), Reason.START_FAILED, "ContainerCannotRun"),
    (job(), pod(ended(143), EVICTED), Reason.EVICTED, "evicted"),
    (job(), pod(None, condition("DisruptionTarget", "PreemptionByScheduler", "x")), Reason.EVICTED, "Preemption"),
    (job(), pod(None, condition("DisruptionTarget", "DeletionByPodGC", "gone")), Reason.NODE_LOST, "gone"),
    (job(), pod(None, condition("DisruptionTarget", "DeletionByTaintManager")), Reason.NODE_LOST, "TaintManager"),
    (job(), pod(None, condition("DisruptionTarget", status="False"), phase="Failed"), None, ""),
    (job(), pod(None, phase="Failed", reason="Evicted", message="low on memory"), Reason.EVICTED, "low on memory"),
    (job(), pod(None, phase="Failed", reason="NodeLost"), Reason.NODE_LOST, "NodeLost"),
    (job(), pod(None, phase="Failed", reason="UnexpectedAdmissionError"), Reason.START_FAILED, "refused the pod"),
    (job(), pod(None, phase="Failed", reason="DeadlineExceeded"), Reason.TIMED_OUT, "the pod's deadline"),
    (job(BACKOFF), None, Reason.EXECUTOR_LOST, "BackoffLimitExceeded: Job has reached"),
    (job(condition("Failed", "PodFailurePolicy", "Pod a/b has")), None, Reason.EVICTED, "Pod a/b has"),
    (job(condition("Complete")), None, None, ""),
]


@pytest.mark.parametrize(("found_job", "found_pod", "reason", "words"), ENDS)
def test_why_an_attempt_ended(
    found_job: Json | None, found_pod: Json | None, reason: Reason | None, words: str
) -> None:
    """The cause comes before its consequences, in the cluster's own words."""
    told, message = pod_diagnosis.why_ended(found_job, found_pod)
    assert told is reason
    assert words in message
    assert bool(message) is bool(reason)


UNSCHEDULABLE = condition("PodScheduled", "Unschedulable", "0/3 nodes are available", status="False")
WAITS: list[tuple[Json | None, list[Json], Reason | None, str]] = [
    (None, [], None, ""),
    (pod(), [], None, ""),
    ({"spec": {}, "status": {}}, [], None, ""),
    (pod(waiting("ContainerCreating")), [], None, ""),
    (
        pod(waiting("ErrImagePull", "denied")),
        [],
        Reason.IMAGE_PULL,
        "registry/x:1 cannot be pulled (ErrImagePull: denied)",
    ),
    (pod(waiting("ImagePullBackOff")), [], Reason.IMAGE_PULL, "ImagePullBackOff"),
    (
        pod(waiting("CreateContainerConfigError", 'secret "s" not found')),
        [],
        Reason.MISSING_REFERENCE,
        'secret "s" not found',
    ),
    (
        pod(waiting("CreateContainerConfigError", "container has runAsNonRoot and image will run as root")),
        [],
        Reason.BAD_CONFIGURATION,
        "runAsNonRoot",
    ),
    (pod(waiting("RunContainerError", "oci")), [], Reason.START_FAILED, "oci"),
    (pod(None, UNSCHEDULABLE), [], Reason.UNSCHEDULABLE, "0/3 nodes"),
    (
        pod(None, condition("PodScheduled", "Unschedulable", 'persistentvolumeclaim "c" not found', status="False")),
        [],
        Reason.MISSING_REFERENCE,
        '"c" not found',
    ),
    (pod(None, condition("PodScheduled", "SchedulingGated", "gated", status="False")), [], None, ""),
    (pod(None, condition("PodScheduled")), [], None, ""),
    (None, [event("FailedCreate", 'serviceaccount "s" not found')], Reason.MISSING_REFERENCE, '"s" not found'),
    (None, [event("FailedCreate", "violates PodSecurity")], Reason.REJECTED_BY_CLUSTER, "violates PodSecurity"),
    (None, [event("FailedCreate", "exceeded quota: q")], Reason.UNSCHEDULABLE, "exceeded quota"),
    (pod(), [event("Pulled", "x"), event("FailedMount", 'configmap "c" not found')], Reason.MISSING_REFERENCE, '"c"'),
    (pod(), [event("FailedMount", "timed out")], None, "timed out"),
    (pod(), [event("Scheduled", "to node-1")], None, ""),
]


@pytest.mark.parametrize(("found", "events", "reason", "words"), WAITS)
def test_what_an_attempt_waits_for(found: Json | None, events: list[Json], reason: Reason | None, words: str) -> None:
    """What keeps a pod from starting has a reason; an ordinary start has none."""
    told, message = pod_diagnosis.why_pending(found, events)
    assert told is reason
    assert words in message


@pytest.mark.parametrize(
    ("found", "running", "over"),
    [
        (pod(), False, False),
        (pod({"running": {}}, phase="Running"), True, False),
        (pod(ended(0), phase="Running"), False, True),
        (pod(None, phase="Failed"), False, True),
        (pod(None, phase="Succeeded"), False, True),
    ],
)
def test_whether_a_pod_runs_or_has_ended(found: Json, running: bool, over: bool) -> None:
    """A terminated container is the end, before the pod's phase says so."""
    assert (pod_diagnosis.pod_running(found), pod_diagnosis.pod_ended(found)) == (running, over)


def test_the_final_condition() -> None:
    """Complete and Failed are final, FailureTarget is not."""
    assert pod_diagnosis.final_condition(job(DEADLINE)) is None
    assert pod_diagnosis.final_condition(job(BACKOFF)) == BACKOFF
    assert pod_diagnosis.final_condition(job(condition("Complete"))) is not None
    assert pod_diagnosis.final_condition({}) is None

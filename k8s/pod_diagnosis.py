"""How an attempt stands, read from its Job, its pod and the events about them, in the cluster's own words.

Called by picture. Pure. Where several things went wrong at once, the cause is told, not the consequence: a
pod that was evicted also has an exit code.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from common.failure_reasons import FailureReason as Reason

Json = Mapping[str, Any]
Finding = tuple[Reason | None, str]
NOTHING: Finding = (None, "")

IMAGE_PULL = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "ImageInspectError",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    }
)
CONTAINER_START = frozenset({"CreateContainerError", "RunContainerError", "StartError", "ContainerCannotRun"})
#: reason of the condition DisruptionTarget, or of the pod's status, when the node is gone; others are evictions
NODE_LOST = frozenset(
    {"DeletionByTaintManager", "DeletionByPodGC", "NodeLost", "NodeShutdown", "Shutdown", "Terminated"}
)
EVICTED = frozenset({"Evicted", "Preempting"})
UNADMITTED = frozenset({"UnexpectedAdmissionError", "NodeAffinity", "OutOfcpu", "OutOfmemory", "OutOfpods"})
_MISSING_WORDS = ("not found", "couldn't find key", "non-existent", "references non-existent")
#: exit codes of a shell or `env` that finds no such program: the image holds no executor
_NO_PROGRAM = frozenset({126, 127})


def final_condition(job: Json) -> Json | None:
    """The Job's condition Complete or Failed, which comes when nothing of it runs any more."""
    return _condition(job, "Complete") or _condition(job, "Failed")


def terminated(pod: Json) -> Json | None:
    """How the container ended, when it has."""
    found = _state(pod).get("terminated")
    return found if isinstance(found, Mapping) else None


def pod_ended(pod: Json) -> bool:
    """Whether nothing of the pod runs any more: its container is terminated, or it will never have one."""
    return terminated(pod) is not None or _status(pod).get("phase") in ("Succeeded", "Failed")


def pod_running(pod: Json) -> bool:
    """Whether its container runs."""
    return "running" in _state(pod)


def why_ended(job: Json | None, pod: Json | None) -> Finding:
    """Why an attempt ended, when the carrier had a part in it; NOTHING for an executor that ended well."""
    finders: tuple[Callable[[], Finding], ...] = (
        lambda: _deadline(job),
        lambda: _disruption(pod),
        lambda: _pod_reason(pod),
        lambda: _container_end(pod),
        lambda: _job_failure(job) if pod is None or terminated(pod) is None else NOTHING,
    )
    return next((finding for find in finders if (finding := find()) != NOTHING), NOTHING)


def why_pending(pod: Json | None, events: Sequence[Json]) -> Finding:
    """What an attempt that does not run yet waits for; without a reason where waiting is normal."""
    if pod is not None:
        for find in (_waiting, _unscheduled):
            if (finding := find(pod)) != NOTHING:
                return finding
    return _events(events)


def _deadline(job: Json | None) -> Finding:
    for kind in ("Failed", "FailureTarget"):
        condition = _condition(job or {}, kind)
        if condition and condition.get("reason") == "DeadlineExceeded":
            return Reason.TIMED_OUT, f"the Job's deadline passed: {condition.get('message', '')}"
    return NOTHING


def _disruption(pod: Json | None) -> Finding:
    condition = _condition(pod or {}, "DisruptionTarget")
    if condition is None:
        return NOTHING
    words = f"{condition.get('reason', '')}: {condition.get('message', '')}".strip(": ")
    if condition.get("reason") in NODE_LOST:
        return Reason.NODE_LOST, f"the node is gone ({words})"
    return Reason.EVICTED, f"the pod was evicted ({words})"


def _pod_reason(pod: Json | None) -> Finding:
    status = _status(pod or {})
    reason, message = str(status.get("reason", "")), str(status.get("message", ""))
    words = f"{reason}: {message}".strip(": ")
    if reason in NODE_LOST:
        return Reason.NODE_LOST, f"the node is gone ({words})"
    if reason in EVICTED:
        return Reason.EVICTED, f"the pod was evicted ({words})"
    if reason in UNADMITTED:
        return Reason.START_FAILED, f"the node refused the pod ({words})"
    if reason == "DeadlineExceeded":
        return Reason.TIMED_OUT, f"the pod's deadline passed ({words})"
    return NOTHING


def _container_end(pod: Json | None) -> Finding:
    end = terminated(pod or {})
    if pod is None or end is None or end.get("exitCode") == 0:
        return NOTHING
    code, reason, message = int(end.get("exitCode", 0)), str(end.get("reason", "")), str(end.get("message", ""))
    if reason == "OOMKilled":
        return Reason.OUT_OF_MEMORY, f"the container was killed for its memory ({_memory_limit(pod)})"
    if reason in CONTAINER_START:
        return Reason.START_FAILED, f"the container could not be started: {message or reason}"
    if code in _NO_PROGRAM:
        return Reason.BAD_CONFIGURATION, f"exit code {code}: not a Podform executor image ({_image(pod)})"
    if code > 128:
        return Reason.EXECUTOR_LOST, f"the executor was killed by signal {code - 128}"
    return Reason.EXECUTOR_FAILED, f"the executor ended with exit code {code}"


def _job_failure(job: Json | None) -> Finding:
    condition = _condition(job or {}, "Failed")
    if condition is None:
        return NOTHING
    words = f"{condition.get('reason', '')}: {condition.get('message', '')}".strip(": ")
    if condition.get("reason") == "PodFailurePolicy":
        return Reason.EVICTED, f"the pod was disrupted ({words})"
    return Reason.EXECUTOR_LOST, f"the Job failed ({words})"


def _waiting(pod: Json) -> Finding:
    waiting = _state(pod).get("waiting")
    if not isinstance(waiting, Mapping):
        return NOTHING
    reason, message = str(waiting.get("reason", "")), str(waiting.get("message", ""))
    words = f"{reason}: {message}".strip(": ")
    if reason in IMAGE_PULL:
        return Reason.IMAGE_PULL, f"the image {_image(pod)} cannot be pulled ({words})"
    if reason == "CreateContainerConfigError":
        missing = any(word in message for word in _MISSING_WORDS)
        return (Reason.MISSING_REFERENCE if missing else Reason.BAD_CONFIGURATION), f"the container waits ({words})"
    if reason in CONTAINER_START:
        return Reason.START_FAILED, f"the container cannot be started ({words})"
    return NOTHING  # ContainerCreating, PodInitializing: a normal start


def _unscheduled(pod: Json) -> Finding:
    condition = next((c for c in _status(pod).get("conditions") or () if c.get("type") == "PodScheduled"), None)
    if condition is None or condition.get("status") == "True" or condition.get("reason") != "Unschedulable":
        return NOTHING
    message = str(condition.get("message", ""))
    if "persistentvolumeclaim" in message and any(word in message for word in _MISSING_WORDS):
        return Reason.MISSING_REFERENCE, f"the pod waits for a claim ({message})"
    return Reason.UNSCHEDULABLE, f"no node takes the pod ({message})"


def _events(events: Sequence[Json]) -> Finding:
    """The last telling event: no pod could be made, or a volume cannot be mounted."""
    for event in reversed(events):
        message = str(event.get("message", ""))
        missing = any(word in message for word in _MISSING_WORDS)
        if event.get("reason") == "FailedCreate":
            if missing:
                return Reason.MISSING_REFERENCE, f"no pod can be made: {message}"
            if "exceeded quota" in message:
                return Reason.UNSCHEDULABLE, f"no pod can be made for now: {message}"
            return Reason.REJECTED_BY_CLUSTER, f"no pod can be made: {message}"
        if event.get("reason") in ("FailedMount", "FailedAttachVolume"):
            return (Reason.MISSING_REFERENCE if missing else None), f"a volume cannot be mounted: {message}"
    return NOTHING


def _memory_limit(pod: Json) -> str:
    limit = ((_container(pod).get("resources") or {}).get("limits") or {}).get("memory")
    return f"its limit is {limit}" if limit else "it has no limit of its own: the node ran out"


def _image(pod: Json) -> str:
    return str(_container(pod).get("image", "of the executor"))


def _container(pod: Json) -> Json:
    containers = (pod.get("spec") or {}).get("containers") or [{}]
    return containers[0] if isinstance(containers[0], Mapping) else {}


def _status(thing: Json) -> Json:
    return thing.get("status") or {}


def _state(pod: Json) -> Json:
    statuses = _status(pod).get("containerStatuses") or [{}]
    return statuses[0].get("state") or {}


def _condition(thing: Json, kind: str) -> Json | None:
    """A condition of this type that is True."""
    for condition in _status(thing).get("conditions") or ():
        if condition.get("type") == kind and condition.get("status") == "True":
            return dict(condition)
    return None

"""What is known of our Jobs and pods right now, and what that says of each attempt.

Fed by the watcher with lists and events, by the launcher with one list when it looks. Pure: no I/O, no clock.
An attempt never goes backwards: once seen running it is not told pending, once ended it stays ended.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from common.launcher_port import CarrierObservation, CarrierPhase
from k8s import naming, pod_diagnosis, trimming

Json = dict[str, Any]
Resource = Literal["jobs", "pods"]
_ORDER = (CarrierPhase.ABSENT, CarrierPhase.PENDING, CarrierPhase.RUNNING, CarrierPhase.ENDED)


@dataclass(slots=True)
class Attempt:
    """One attempt: its Job and its pods, as last seen; `gone` ones are kept until the attempt is forgotten."""

    job: Json | None = None
    job_gone: bool = False
    pods: dict[str, Json] = field(default_factory=dict)  # by uid
    pods_gone: set[str] = field(default_factory=set)
    events: Sequence[Json] = ()

    @property
    def uid(self) -> str:
        """The Job's uid; a pod may be seen before its Job, and outlive it."""
        if self.job:
            return str(self.job["metadata"]["uid"])
        pod = self.pod() or {"metadata": {}}
        return next((str(owner["uid"]) for owner in pod["metadata"].get("ownerReferences") or ()), "")

    def pod(self) -> Json | None:
        """The pod that counts: one that still runs, else the first one to have ended."""
        alive = [pod for uid, pod in self.pods.items() if not self._over(uid)]
        return next(iter(alive or self.pods.values()), None)

    def phase(self) -> CarrierPhase:
        """How the attempt stands."""
        pod = self.pod()
        if pod is not None and self._over(pod["metadata"]["uid"]):
            # a pod that vanished while it ran says nothing of its end: its Job will
            if pod_diagnosis.pod_ended(pod) or self._job_over():
                return CarrierPhase.ENDED
        elif pod is not None:
            return CarrierPhase.RUNNING if pod_diagnosis.pod_running(pod) else CarrierPhase.PENDING
        elif self._job_over():
            return CarrierPhase.ENDED
        ready = ((self.job or {}).get("status") or {}).get("ready")
        return CarrierPhase.RUNNING if ready else CarrierPhase.PENDING

    def bury(self) -> None:
        """Keep no more of it than that it has ended: there may be thousands like it."""
        self.job = trimming.ended(self.job) if self.job else None
        self.pods = {uid: trimming.ended(pod) for uid, pod in self.pods.items()}
        self.events = ()

    def _over(self, uid: str) -> bool:
        return uid in self.pods_gone or pod_diagnosis.pod_ended(self.pods[uid])

    def _job_over(self) -> bool:
        return self.job_gone or self.job is None or pod_diagnosis.final_condition(self.job) is not None


class Picture:
    """All attempts of one installation, by name."""

    def __init__(self) -> None:
        self.attempts: dict[str, Attempt] = {}
        self._told: dict[str, CarrierObservation] = {}

    def listed(self, resource: Resource, items: Iterable[Json]) -> set[str]:
        """Take in a whole list: what is not in it is gone. The names that may have changed."""
        items = list(items)
        present = {item["metadata"]["uid"] for item in items}
        changed = {name for item in items if (name := self.event(resource, "MODIFIED", item))}
        for name, attempt in self.attempts.items():
            if resource == "jobs" and attempt.job and not attempt.job_gone and attempt.uid not in present:
                attempt.job_gone = True
                changed.add(name)
            missing = set(attempt.pods) - present - attempt.pods_gone
            if resource == "pods" and missing:
                attempt.pods_gone |= missing
                changed.add(name)
        return changed

    def event(self, resource: Resource, kind: str, item: Json) -> str | None:
        """Take in one ADDED, MODIFIED or DELETED; the name of its attempt, None when it is not one of ours."""
        name = naming.attempt_of(item)
        if name is None:
            return None
        attempt = self.attempts.setdefault(name, Attempt())
        if resource == "jobs":
            attempt = self._current(name, item)
            attempt.job, attempt.job_gone = trimming.trimmed(item), kind == "DELETED"
        else:
            self._take_pod(attempt, kind, trimming.trimmed(item))
        return name

    def observation(self, name: str) -> CarrierObservation:
        """What can be said of an attempt now."""
        attempt = self.attempts.get(name)
        if attempt is None:
            return CarrierObservation(name=name, phase=CarrierPhase.ABSENT)
        phase, pod = attempt.phase(), attempt.pod()
        if phase is CarrierPhase.ENDED:
            reason, message = pod_diagnosis.why_ended(attempt.job, pod)
            end = pod_diagnosis.terminated(pod or {}) or {}
            return CarrierObservation(
                name=name, phase=phase, uid=attempt.uid, reason=reason, message=message, exit_code=end.get("exitCode")
            )
        if phase is CarrierPhase.PENDING:
            reason, message = pod_diagnosis.why_pending(pod, attempt.events)
            return CarrierObservation(name=name, phase=phase, uid=attempt.uid, reason=reason, message=message)
        return CarrierObservation(name=name, phase=phase, uid=attempt.uid)

    def news(self, name: str) -> CarrierObservation | None:
        """The observation to tell, or None when it says nothing new or would go backwards."""
        seen, told = self.observation(name), self._told.get(name)
        if told is not None and (told.uid == seen.uid or not told.uid or not seen.uid):
            if seen == told or told.phase is CarrierPhase.ENDED or _ORDER.index(seen.phase) < _ORDER.index(told.phase):
                return None
        elif seen.phase is CarrierPhase.ABSENT:
            return None
        self._told[name] = seen
        return seen

    def pending(self) -> list[str]:
        """The names of attempts that do not run yet."""
        return [name for name, attempt in self.attempts.items() if attempt.phase() is CarrierPhase.PENDING]

    def forget_gone(self, name: str) -> bool:
        """Drop an attempt of which nothing is left in the cluster and whose end has been told; whether it was.

        Of one that has only ended, no more is kept than by which its end is known.
        """
        attempt, told = self.attempts.get(name), self._told.get(name)
        if attempt is None or told is None or told.phase is not CarrierPhase.ENDED:
            return False
        if attempt.phase() is CarrierPhase.ENDED:  # not when another Job of this name has begun
            attempt.bury()
        if not (attempt.job is None or attempt.job_gone) or set(attempt.pods) - attempt.pods_gone:
            return False
        del self.attempts[name], self._told[name]
        return True

    def _current(self, name: str, job: Json) -> Attempt:
        """The attempt of this very Job: one of the same name with another uid is another carrier."""
        attempt = self.attempts[name]
        if attempt.job is not None and attempt.uid != job["metadata"]["uid"]:
            attempt = self.attempts[name] = Attempt()
        return attempt

    def _take_pod(self, attempt: Attempt, kind: str, pod: Json) -> None:
        uid = str(pod["metadata"]["uid"])
        known = attempt.pods.get(uid)
        # a DELETED event carries the final status; what was learnt at the end before it is not overwritten
        if known is None or not pod_diagnosis.pod_ended(known):
            attempt.pods[uid] = pod
        if kind == "DELETED":
            attempt.pods_gone.add(uid)

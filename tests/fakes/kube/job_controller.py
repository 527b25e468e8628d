"""The Job controller and the garbage collector of the stand-in: Job -> pod, conditions, deadlines, TTL, deletion.

One pure-ish pass over all Jobs, run by the cluster's loop after every change and on a short tick.
"""

import copy
import secrets
import time
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.kube.store import Store, now

Json = dict[str, Any]
FINAL_PHASES = ("Succeeded", "Failed")
BACKOFF_SECONDS = 0.3  # a real controller waits 10 s before a replacement


@dataclass
class Record:
    """What the controller remembers of one Job."""

    started: float
    seen: dict[str, Json] = field(default_factory=dict)  # uid -> the pod as last seen
    counted: set[str] = field(default_factory=set)
    failed: int = 0
    succeeded: int = 0
    last_failure: float = 0.0
    created: int = 0
    failure: tuple[str, str] | None = None  # reason and message of the end
    finished: float | None = None


class JobController:
    """Brings pods and Job statuses to what the Jobs ask for."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.records: dict[str, Record] = {}
        self.no_pod: str = ""  # set: every pod is refused with these words, which go into a FailedCreate event

    def reconcile(self) -> None:
        """One pass."""
        for job in self.store.all("jobs"):
            record = self.records.setdefault(job["metadata"]["uid"], Record(time.monotonic()))
            pods = self._pods_of(job)
            if job["metadata"].get("deletionTimestamp"):
                self._finish_deletion(job, pods)
            elif record.finished is not None:
                self._expire(job, record)
            else:
                self._count(job, record, pods)
                self._decide(job, record, pods)
        self._collect_orphans()

    def delete(self, job: Json, propagation: str) -> None:
        """What DELETE of a Job does, by propagation policy."""
        if propagation == "Foreground":
            self.store.change("jobs", job, _mark_foreground)
            self.reconcile()
            return
        if propagation == "Orphan":
            for pod in self._pods_of(job):
                self.store.change("pods", pod, lambda pod: pod["metadata"].pop("ownerReferences", None))
        self.store.remove("jobs", job)
        self.reconcile()

    def delete_pod(self, pod: Json, grace_seconds: int | None = None) -> None:
        """Graceful deletion: a pod that no kubelet has yet goes at once, others when theirs lets them go."""
        grace = pod["spec"].get("terminationGracePeriodSeconds", 30) if grace_seconds is None else grace_seconds

        def mark(pod: Json) -> None:
            earlier = pod["metadata"].get("deletionGracePeriodSeconds")
            pod["metadata"].setdefault("deletionTimestamp", now())
            pod["metadata"]["deletionGracePeriodSeconds"] = grace if earlier is None else min(grace, earlier)

        marked = self.store.change("pods", pod, mark)
        if marked is not None and not marked["spec"].get("nodeName"):
            self.store.remove("pods", marked)

    def _pods_of(self, job: Json) -> list[Json]:
        uid = job["metadata"]["uid"]
        return [pod for pod in self.store.all("pods", job["metadata"]["namespace"]) if _owner(pod) == uid]

    def _finish_deletion(self, job: Json, pods: list[Json]) -> None:
        for pod in pods:
            if pod["status"]["phase"] in FINAL_PHASES:
                self.store.remove("pods", pod)
            elif not pod["metadata"].get("deletionTimestamp"):
                self.delete_pod(pod)
        if not self._pods_of(job):
            self.store.remove("jobs", job)

    def _expire(self, job: Json, record: Record) -> None:
        ttl = job["spec"].get("ttlSecondsAfterFinished")
        if ttl is not None and record.finished is not None and time.monotonic() - record.finished >= ttl:
            self.store.change("jobs", job, _mark_foreground)

    def _count(self, job: Json, record: Record, pods: list[Json]) -> None:
        present = {pod["metadata"]["uid"]: pod for pod in pods}
        gone = [pod for uid, pod in record.seen.items() if uid not in present]
        record.seen |= present
        for pod in [*pods, *gone]:
            uid = pod["metadata"]["uid"]
            ended = pod["status"]["phase"] in FINAL_PHASES or uid not in present
            if uid in record.counted or not (ended or _counts_while_terminating(job, pod)):
                continue
            record.counted.add(uid)
            if pod["status"]["phase"] == "Succeeded":
                record.succeeded += 1
            else:
                self._count_failure(job, record, pod)

    def _count_failure(self, job: Json, record: Record, pod: Json) -> None:
        record.last_failure = time.monotonic()
        for index, rule in enumerate((job["spec"].get("podFailurePolicy") or {}).get("rules", [])):
            condition = _matched_condition(rule, pod)
            if condition and rule["action"] == "Ignore":
                return
            if condition and rule["action"] == "FailJob":
                where = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
                message = f"Pod {where} has condition {condition} matching FailJob rule at index {index}"
                record.failure = record.failure or ("PodFailurePolicy", message)
                return
        record.failed += 1

    def _decide(self, job: Json, record: Record, pods: list[Json]) -> None:
        spec = job["spec"]
        active = [pod for pod in pods if pod["metadata"]["uid"] not in record.counted]
        running = [pod for pod in pods if pod["status"]["phase"] not in FINAL_PHASES]
        if record.failed > spec.get("backoffLimit", 6) and not record.failure:
            record.failure = ("BackoffLimitExceeded", "Job has reached the specified backoff limit")
        deadline = spec.get("activeDeadlineSeconds")
        if deadline is not None and time.monotonic() - record.started >= deadline and not record.failure:
            record.failure = ("DeadlineExceeded", "Job was active longer than specified deadline")
        if record.failure:
            for pod in running:
                if not pod["metadata"].get("deletionTimestamp"):
                    self.delete_pod(pod)
            self._end(job, record, "Failed", running)
        elif record.succeeded >= spec.get("completions", 1):
            self._end(job, record, "Complete", running)
        elif not active:
            self._create_pod(job, record)
        self._write_status(job, record)

    def _end(self, job: Json, record: Record, kind: str, running: list[Json]) -> None:
        early, reason, message = "SuccessCriteriaMet", "CompletionsReached", "Reached expected number of succeeded pods"
        if kind == "Failed" and record.failure:
            early, (reason, message) = "FailureTarget", record.failure
        kinds = [early] if running else [early, kind]

        def note(job: Json) -> None:
            conditions = job.setdefault("status", {}).setdefault("conditions", [])
            for condition in kinds:
                if not any(found["type"] == condition for found in conditions):
                    conditions.append(_condition(condition, reason, message))
            if kinds[-1] == "Complete":
                job["status"].setdefault("completionTime", now())

        self.store.change("jobs", job, note)
        if not running:
            record.finished = time.monotonic()

    def _create_pod(self, job: Json, record: Record) -> None:
        if record.created and time.monotonic() - record.last_failure < BACKOFF_SECONDS:
            return
        if self.no_pod:
            if not record.last_failure:
                record.last_failure = time.monotonic()
                self._event(job, "FailedCreate", f"Error creating: {self.no_pod}")
            return
        record.created += 1
        metadata = copy.deepcopy(job["spec"]["template"].get("metadata") or {})
        name = job["metadata"]["name"]
        metadata |= {
            "name": f"{name}-{secrets.token_hex(3)[:5]}",
            "namespace": job["metadata"]["namespace"],
            "ownerReferences": [
                {
                    "apiVersion": "batch/v1",
                    "kind": "Job",
                    "name": name,
                    "uid": job["metadata"]["uid"],
                    "controller": True,
                }
            ],
        }
        spec = copy.deepcopy(job["spec"]["template"]["spec"])
        self.store.add("pods", {"metadata": metadata, "spec": spec, "status": {"phase": "Pending", "conditions": []}})

    def _event(self, job: Json, reason: str, message: str) -> None:
        metadata = job["metadata"]
        involved = {"kind": "Job", "name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"]}
        self.store.add(
            "events",
            {
                "metadata": {"name": f"{metadata['name']}.{secrets.token_hex(4)}", "namespace": metadata["namespace"]},
                "involvedObject": involved,
                "type": "Warning",
                "reason": reason,
                "message": message,
                "lastTimestamp": now(),
            },
        )

    def _write_status(self, job: Json, record: Record) -> None:
        pods = self._pods_of(job)
        running = [pod for pod in pods if pod["status"]["phase"] not in FINAL_PHASES]
        terminating = [pod for pod in running if pod["metadata"].get("deletionTimestamp")]
        ready = len([pod for pod in running if pod["status"]["phase"] == "Running"])
        status = {
            "active": len(running) - len(terminating),
            "failed": record.failed,
            "succeeded": record.succeeded,
        }

        def write(job: Json) -> None:
            old = job.get("status") or {}
            kept = {name: old[name] for name in ("conditions", "completionTime") if name in old}
            fixed = {
                "startTime": old.get("startTime", now()),
                "ready": ready,
                "terminating": len(terminating),
            }
            job["status"] = {name: value for name, value in status.items() if value} | fixed | kept

        self.store.change("jobs", job, write)

    def _collect_orphans(self) -> None:
        uids = {job["metadata"]["uid"] for job in self.store.all("jobs")}
        for pod in self.store.all("pods"):
            owner = _owner(pod)
            if owner and owner not in uids:
                if pod["status"]["phase"] in FINAL_PHASES:
                    self.store.remove("pods", pod)
                elif not pod["metadata"].get("deletionTimestamp"):
                    self.delete_pod(pod)


def _owner(pod: Json) -> str:
    references = pod["metadata"].get("ownerReferences") or []
    return str(references[0]["uid"]) if references else ""


def _mark_foreground(job: Json) -> None:
    job["metadata"].setdefault("deletionTimestamp", now())
    job["metadata"]["finalizers"] = ["foregroundDeletion"]


def _counts_while_terminating(job: Json, pod: Json) -> bool:
    """The default policy replaces a pod as soon as it is being deleted, while it still runs."""
    spec = job["spec"]
    default = "Failed" if spec.get("podFailurePolicy") else "TerminatingOrFailed"
    only_failed = spec.get("podReplacementPolicy", default) == "Failed"
    return bool(pod["metadata"].get("deletionTimestamp")) and not only_failed


def _matched_condition(rule: Json, pod: Json) -> str:
    for pattern in rule.get("onPodConditions") or []:
        for condition in pod["status"].get("conditions") or []:
            if condition["type"] == pattern["type"] and condition["status"] == pattern.get("status", "True"):
                return str(condition["type"])
    return ""


def _condition(kind: str, reason: str, message: str) -> Json:
    return {
        "type": kind,
        "status": "True",
        "reason": reason,
        "message": message,
        "lastTransitionTime": now(),
        "lastProbeTime": now(),
    }

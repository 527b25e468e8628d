"""The stand-in cluster held to what a real API server (v1.36) and Job controller do, row by row."""

import http.client
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from k8s import job_manifest
from k8s.ephemeral_config import PodShape
from tests.fakes.kube.job_controller import BACKOFF_SECONDS
from tests.fakes.kubelet import Fault
from tests.fakes.kubernetes_api import Cluster
from tests.fakes.orders import SECRETS, job_settings, order

Json = dict[str, Any]
JOBS = "/apis/batch/v1/namespaces/terrakube/jobs"
PODS = "/api/v1/namespaces/terrakube/pods"
EVENTS = "/api/v1/namespaces/terrakube/events"
DISRUPTED = [{"type": "DisruptionTarget", "status": "True"}]
FAIL_JOB: Json = {"podFailurePolicy": {"rules": [{"action": "FailJob", "onPodConditions": DISRUPTED}]}}
IGNORE: Json = {"podFailurePolicy": {"rules": [{"action": "Ignore", "onPodConditions": DISRUPTED}]}}


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A cluster with the executors' Secret."""
    with Cluster(secrets=SECRETS) as running:
        yield running


def call(cluster: Cluster, method: str, path: str, body: object = None, token: str = "") -> tuple[int, Json, Any]:
    """One request: status, document and headers."""
    connection = http.client.HTTPConnection("127.0.0.1", int(cluster.url.rpartition(":")[2]), timeout=20)
    try:
        data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
        connection.request(method, path, data, {"Authorization": f"Bearer {token or cluster.token}"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read()), answer.headers
    finally:
        connection.close()


def job(name: str = "j", command: str = "sleep 60", pod: Json | None = None, **spec: object) -> Json:
    """A small Job that runs a shell command."""
    container = {"name": "c", "image": "i", "command": ["sh", "-c", command]}
    template = {"spec": {"restartPolicy": "Never", "containers": [container], **(pod or {})}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"template": template, **spec},
    }


def until(condition: Callable[[], object], what: str = "") -> None:
    """Wait until something is so; a limit for safety."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.02)


def running_pod(cluster: Cluster) -> Json:
    """The pod of the one Job, once it runs."""
    until(lambda: any(pod["status"]["phase"] == "Running" for pod in cluster.pods()), "a running pod")
    return next(pod for pod in cluster.pods() if pod["status"]["phase"] == "Running")


def conditions(cluster: Cluster, name: str = "j") -> dict[str, Json]:
    """The Job's conditions by type."""
    found = next((job for job in cluster.jobs() if job["metadata"]["name"] == name), {})
    return {condition["type"]: condition for condition in found.get("status", {}).get("conditions", [])}


def with_env(name: str, value: str) -> Json:
    """A Job with one variable."""
    document = job(command="true")
    document["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": name, "value": value}]
    return document


def edited(change: Callable[[Json], object]) -> Json:
    """A Job with a change."""
    document = job()
    change(document)
    return document


REFUSED: dict[str, tuple[Json, int, str, str]] = {
    "label of 64": (
        edited(lambda j: j["metadata"].update(labels={"a": "x" * 64})),
        422,
        "Invalid",
        "must be no more than 63 bytes",
    ),
    "label with a space": (edited(lambda j: j["metadata"].update(labels={"a": "x y"})), 422, "Invalid", "valid label"),
    "annotations too long": (
        edited(lambda j: j["metadata"].update(annotations={"a": "x" * 262_144})),
        422,
        "Invalid",
        "metadata.annotations: Too long: may not be more than 262144 bytes",
    ),
    "name in upper case": (job("Job"), 422, "Invalid", "lowercase RFC 1123"),
    "name of 64": (job("j" * 64), 422, "Invalid", "no more than 63"),
    "unknown field": (job(nonsense=1), 400, "BadRequest", 'strict decoding error: unknown field "spec.nonsense"'),
    "bad type": (job(backoffLimit="six"), 400, "BadRequest", 'Job in version "v1" cannot be handled as a Job'),
    "bad quantity": (
        job(pod={"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "lots"}}}]}),
        400,
        "BadRequest",
        "quantities must match",
    ),
    "failure policy without Never": (
        job(pod={"restartPolicy": "OnFailure"}, **FAIL_JOB),
        422,
        "Invalid",
        "only",
    ),
    "toleration Exists with a value": (
        job(pod={"tolerations": [{"key": "k", "operator": "Exists", "value": "v"}]}),
        422,
        "Invalid",
        "value must be empty",
    ),
    "empty env name": (with_env("", "x"), 422, "Invalid", "Required value"),
    "env name with =": (with_env("A=B", "x"), 422, "Invalid", "valid environment variable name"),
    "env of 1.7 MB": (with_env("A", "x" * 1_700_000), 422, "Invalid", "selector not auto-generated"),
    "body of 3.2 MB": (with_env("A", "x" * 3_200_000), 413, "RequestEntityTooLarge", "too large"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_create_is_refused(cluster: Cluster, case: str) -> None:
    """What a real API server refuses is refused, with its code, reason and words."""
    document, code, reason, words = REFUSED[case]
    status, answer, _ = call(cluster, "POST", JOBS + "?fieldValidation=Strict", document)
    assert (status, answer["code"], answer["reason"], answer["status"]) == (code, code, reason, "Failure")
    assert words in answer["message"]
    if code == 422:
        assert answer["details"]["causes"][0]["field"]
    assert cluster.jobs() == []


def test_a_good_create_is_answered_with_what_was_stored(cluster: Cluster) -> None:
    """201 with a uid, a resourceVersion and the labels that the controller selects by."""
    status, answer, _ = call(cluster, "POST", JOBS, job())
    assert status == 201
    assert answer["metadata"]["uid"]
    labels = answer["metadata"]["labels"]
    assert labels["job-name"] == labels["batch.kubernetes.io/job-name"] == "j"
    assert labels["controller-uid"] == labels["batch.kubernetes.io/controller-uid"]


def test_an_unknown_field_is_a_warning_unless_strict(cluster: Cluster) -> None:
    """Without Strict an unknown field is created and warned of."""
    status, _, headers = call(cluster, "POST", JOBS, job(nonsense=1))
    assert status == 201
    assert headers["Warning"] == '299 - "unknown field "spec.nonsense""'


def test_a_taken_name_is_409(cluster: Cluster) -> None:
    """The second create says AlreadyExists; while the first is being deleted, in other words."""
    call(cluster, "POST", JOBS, job(pod={"terminationGracePeriodSeconds": 1}, command="trap '' TERM; sleep 60"))
    status, answer, _ = call(cluster, "POST", JOBS, job())
    assert status == 409
    assert answer == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'jobs.batch "j" already exists',
        "reason": "AlreadyExists",
        "details": {"name": "j", "group": "batch", "kind": "jobs"},
        "code": 409,
    }
    running_pod(cluster)
    call(cluster, "DELETE", JOBS + "/j", {"propagationPolicy": "Foreground"})
    status, answer, _ = call(cluster, "POST", JOBS, job())
    assert (status, answer["reason"]) == (409, "AlreadyExists")
    assert answer["message"] == 'object is being deleted: jobs.batch "j" already exists'


def test_the_doors_are_guarded() -> None:
    """A bad token is 401, a namespace that is not there 404, a verb outside the Role 403."""
    rules = [{"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create", "get"]}]
    with Cluster(role={"rules": rules}) as cluster:
        assert call(cluster, "GET", JOBS + "/j", token="wrong")[0] == 401
        status, answer, _ = call(cluster, "POST", JOBS.replace("terrakube", "x"), job())
        assert (status, answer["message"]) == (404, 'namespaces "x" not found')
        status, answer, _ = call(cluster, "GET", JOBS)
        assert (status, answer["reason"]) == (403, "Forbidden")
        assert answer["message"].startswith('jobs.batch is forbidden: User "system:serviceaccount:terrakube:')
        assert 'cannot list resource "jobs" in API group "batch" in the namespace "terrakube"' in answer["message"]
        for path in (PODS, PODS + "/p", PODS + "/p/log", EVENTS, JOBS + "?watch=true"):
            assert call(cluster, "GET", path)[0] == 403


def test_a_quota_is_403_in_its_own_words(cluster: Cluster) -> None:
    """A used-up quota is Forbidden like RBAC, told apart by its words."""
    cluster.quota.jobs = 0
    status, answer, _ = call(cluster, "POST", JOBS, job())
    assert (status, answer["reason"]) == (403, "Forbidden")
    assert 'jobs.batch "j" is forbidden: exceeded quota: ' in answer["message"]


def test_a_uid_that_does_not_fit_is_a_conflict(cluster: Cluster) -> None:
    """A precondition on another uid deletes nothing."""
    call(cluster, "POST", JOBS, job())
    status, answer, _ = call(cluster, "DELETE", JOBS + "/j", {"preconditions": {"uid": "other"}})
    assert (status, answer["reason"]) == (409, "Conflict")
    assert "deletionTimestamp" not in cluster.jobs()[0]["metadata"]


@pytest.mark.parametrize(
    ("policy", "job_at_once", "pod_ends"),
    [("Foreground", False, True), ("Background", True, True), ("Orphan", True, False), (None, True, False)],
)
def test_deletion_by_policy(cluster: Cluster, policy: str | None, job_at_once: bool, pod_ends: bool) -> None:
    """Foreground keeps the Job until its pod is gone, Background frees the name first, Orphan leaves the pod."""
    call(cluster, "POST", JOBS, job(command="trap 'sleep 0.3; exit 0' TERM; sleep 60 & wait"))
    running_pod(cluster)
    call(cluster, "DELETE", JOBS + "/j", {"propagationPolicy": policy} if policy else None)
    assert (not cluster.jobs()) is job_at_once
    if pod_ends:
        until(lambda: not cluster.pods(), "no pod")
        until(lambda: not cluster.jobs(), "no Job")
    else:
        time.sleep(0.3)
        assert cluster.pods()[0]["status"]["phase"] == "Running"


MATRIX: dict[str, tuple[Json, tuple[int, int, int]]] = {
    # spec: pods started after (graceful delete while it still runs, forced loss, container failure)
    "backoffLimit 6": ({"backoffLimit": 6}, (2, 2, 2)),
    "6, replacement Failed": ({"backoffLimit": 6, "podReplacementPolicy": "Failed"}, (1, 2, 2)),
    "6, FailJob": ({"backoffLimit": 6, **FAIL_JOB}, (1, 1, 2)),
    "0": ({"backoffLimit": 0}, (1, 1, 1)),
    "0, Ignore": ({"backoffLimit": 0, **IGNORE}, (1, 2, 1)),
    "0, FailJob, replacement Failed": ({"backoffLimit": 0, "podReplacementPolicy": "Failed", **FAIL_JOB}, (1, 1, 1)),
}
DISTURBANCES: tuple[Callable[[Cluster, Json], object], ...] = (
    lambda cluster, pod: cluster.evict(pod),
    lambda cluster, pod: cluster.lose_node(pod),
    lambda cluster, pod: cluster.run_out_of_memory(pod),
)


@pytest.mark.parametrize("disturbance", range(3), ids=["graceful delete", "lost", "failed"])
@pytest.mark.parametrize("spec", MATRIX)
def test_how_many_pods_a_job_starts(cluster: Cluster, spec: str, disturbance: int) -> None:
    """The matrix of Job specs and disturbances, as measured on a real Job controller."""
    fields, pods = MATRIX[spec]
    call(cluster, "POST", JOBS, job(command="trap '' TERM; sleep 60 & wait; sleep 60", **fields))
    DISTURBANCES[disturbance](cluster, running_pod(cluster))
    if pods[disturbance] > 1:
        until(lambda: cluster.pods_started("j") == pods[disturbance], "another pod")
    time.sleep(BACKOFF_SECONDS + 0.2)
    assert cluster.pods_started("j") == pods[disturbance]
    if disturbance == 0 and pods[0] == 2:
        assert len([pod for pod in cluster.pods() if pod["status"]["phase"] == "Running"]) == 2


@pytest.mark.parametrize(
    ("disturbance", "reason", "words"),
    [
        ("evict", "PodFailurePolicy", "has condition DisruptionTarget matching FailJob rule at index 0"),
        ("lose_node", "PodFailurePolicy", "has condition DisruptionTarget matching FailJob rule at index 0"),
        ("delete_pod", "BackoffLimitExceeded", "backoff limit"),
        ("run_out_of_memory", "BackoffLimitExceeded", "backoff limit"),
    ],
)
def test_why_our_job_failed(cluster: Cluster, disturbance: str, reason: str, words: str) -> None:
    """With our spec every disturbance fails the Job, with the reason that a real controller gives."""
    call(cluster, "POST", JOBS, job(backoffLimit=0, podReplacementPolicy="Failed", **FAIL_JOB))
    getattr(cluster, disturbance)(running_pod(cluster))
    until(lambda: "Failed" in conditions(cluster), "a failed Job")
    assert conditions(cluster)["Failed"]["reason"] == reason
    assert words in conditions(cluster)["Failed"]["message"]
    assert "FailureTarget" in conditions(cluster)


def test_a_deadline_marks_the_job_before_its_pod_has_ended(cluster: Cluster) -> None:
    """FailureTarget comes at the deadline, Failed only when the pod is gone."""
    stubborn = job(command="trap '' TERM; sleep 60 & wait; sleep 60", activeDeadlineSeconds=1)
    stubborn["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 1
    call(cluster, "POST", JOBS, stubborn)
    until(lambda: "FailureTarget" in conditions(cluster), "the deadline")
    assert conditions(cluster)["FailureTarget"]["reason"] == "DeadlineExceeded"
    assert "Failed" not in conditions(cluster)
    until(lambda: "Failed" in conditions(cluster), "the end")


def test_a_finished_job_goes_after_its_ttl(cluster: Cluster) -> None:
    """A finished Job and its pod are removed when the time has come, not before."""
    call(cluster, "POST", JOBS, job(command="true", ttlSecondsAfterFinished=1))
    until(lambda: "Complete" in conditions(cluster), "completion")
    assert cluster.pods()
    until(lambda: not cluster.jobs() and not cluster.pods(), "gone")


def test_a_job_without_a_pod(cluster: Cluster) -> None:
    """No service account, or Pod Security: the Job stands without active and condition, its event says why."""
    cluster.refuse_pods(
        'pods "j-" is forbidden: error looking up service account terrakube/x: serviceaccount "x" not found'
    )
    assert call(cluster, "POST", JOBS, job())[0] == 201
    until(lambda: cluster.store.all("events"), "an event")
    until(lambda: cluster.jobs()[0]["status"], "a status")
    assert set(cluster.jobs()[0]["status"]) == {"ready", "startTime", "terminating"}
    _, answer, _ = call(cluster, "GET", EVENTS + "?fieldSelector=involvedObject.kind%3DJob,involvedObject.name%3Dj")
    assert [event["reason"] for event in answer["items"]] == ["FailedCreate"]
    assert 'serviceaccount "x" not found' in answer["items"][0]["message"]


def test_lists_are_filtered_by_label(cluster: Cluster) -> None:
    """A label selector finds what fits, and the list has a resourceVersion."""
    for name in ("a", "b"):
        call(cluster, "POST", JOBS, job(name) | {"metadata": {"name": name, "labels": {"which": name}}})
    _, answer, _ = call(cluster, "GET", JOBS + "?labelSelector=which%3Db")
    assert [item["metadata"]["name"] for item in answer["items"]] == ["b"]
    assert int(answer["metadata"]["resourceVersion"]) >= int(answer["items"][0]["metadata"]["resourceVersion"])


def watched(cluster: Cluster, version: str, seconds: int = 1, extra: str = "") -> tuple[int, list[Json]]:
    """A watch to its end."""
    path = f"{JOBS}?watch=true&resourceVersion={version}&timeoutSeconds={seconds}{extra}"
    connection = http.client.HTTPConnection("127.0.0.1", int(cluster.url.rpartition(":")[2]), timeout=20)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {cluster.token}"})
        answer = connection.getresponse()
        return answer.status, [json.loads(line) for line in answer.read().splitlines() if line]
    finally:
        connection.close()


def test_a_watch_tells_what_comes_after_its_version(cluster: Cluster) -> None:
    """Changes after the version come in order and end with the timeout."""
    version = call(cluster, "GET", JOBS)[1]["metadata"]["resourceVersion"]
    timer = threading.Timer(0.2, lambda: call(cluster, "POST", JOBS, job(command="true")))
    timer.start()
    status, events = watched(cluster, version)
    timer.join()
    assert status == 200
    assert events[0]["type"] == "ADDED"
    assert events[-1]["object"]["status"]["conditions"][-1]["type"] == "Complete"
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in events]
    assert versions == sorted(versions)


def test_an_old_version_is_an_error_event_in_a_200(cluster: Cluster) -> None:
    """410 Expired comes as an event, not as a status."""
    version = call(cluster, "GET", JOBS)[1]["metadata"]["resourceVersion"]
    cluster.compact()
    status, events = watched(cluster, version)
    assert status == 200
    assert [event["type"] for event in events] == ["ERROR"]
    assert (events[0]["object"]["code"], events[0]["object"]["reason"]) == (410, "Expired")


def test_a_version_from_the_future_is_silence(cluster: Cluster) -> None:
    """After a restored etcd a watch says nothing until its timeout."""
    call(cluster, "POST", JOBS, job())
    assert watched(cluster, "999999") == (200, [])


def test_a_malformed_version_is_500(cluster: Cluster) -> None:
    """A resourceVersion that is no number is the server's own failure."""
    assert call(cluster, "GET", JOBS + "?watch=true&resourceVersion=abc")[0] == 500


def test_bookmarks_are_a_sign_of_life(cluster: Cluster) -> None:
    """Where asked for, bookmarks carry the version reached while nothing happens."""
    cluster.bookmark_seconds = 0.2
    version = call(cluster, "GET", JOBS)[1]["metadata"]["resourceVersion"]
    _, events = watched(cluster, version, extra="&allowWatchBookmarks=true")
    assert {event["type"] for event in events} == {"BOOKMARK"}
    assert watched(cluster, version) == (200, [])


KUBELET: dict[str, tuple[Json, Callable[[Cluster], object], Json]] = {
    "missing Secret": (
        job_manifest.build(order(), PodShape(), job_settings(secrets=("absent",))),
        lambda _: None,
        {"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "absent" not found'}},
    ),
    "image pull": (
        job(),
        lambda cluster: cluster.switch(Fault.IMAGE_PULL),
        {"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "i": not found'}},
    ),
    "slow start": (
        job(),
        lambda cluster: cluster.switch(Fault.SLOW_START),
        {"waiting": {"reason": "ContainerCreating"}},
    ),
    "NUL": (with_env("A", "x\0y"), lambda _: None, {"terminated": {"exitCode": 128, "reason": "StartError"}}),
    "start error": (
        job(),
        lambda cluster: cluster.switch(Fault.START_ERROR),
        {"terminated": {"exitCode": 128, "reason": "StartError"}},
    ),
    "too long": (with_env("A", "x" * 200_000), lambda _: None, {"terminated": {"exitCode": 1, "reason": "Error"}}),
    "failure": (job(command="exit 7"), lambda _: None, {"terminated": {"exitCode": 7, "reason": "Error"}}),
    "success": (job(command="true"), lambda _: None, {"terminated": {"exitCode": 0, "reason": "Completed"}}),
}


@pytest.mark.parametrize("case", KUBELET)
def test_what_the_kubelet_says(cluster: Cluster, case: str) -> None:
    """A container's state is what a real kubelet reports."""
    document, prepare, expected = KUBELET[case]
    prepare(cluster)
    assert call(cluster, "POST", JOBS, document)[0] == 201
    kind, fields = next(iter(expected.items()))

    def state() -> Json:
        statuses = [pod["status"].get("containerStatuses", [{}])[0] for pod in cluster.pods()]
        return dict(statuses[0].get("state", {})) if statuses else {}

    until(lambda: kind in state(), f"{kind}, but {state()}")
    assert fields.items() <= state()[kind].items()
    if case == "too long":
        assert "argument list too long" in cluster.log(cluster.pods()[0])


def test_the_command_runs_with_the_manifests_environment(cluster: Cluster) -> None:
    """Secrets, expansion, directories and the interpreter are as the manifest and the image say."""
    document = job_manifest.build(
        order(), PodShape(environment={"A": "$5 $(HOME)"}), job_settings(secrets=("terrakube-executor-secrets", "more"))
    )
    container = document["spec"]["template"]["spec"]["containers"][0]
    text = "import os, sys; print(sys.prefix, os.environ['A'], os.environ['InternalSecret'], os.environ['EXTRA'])"
    write = "; open(os.environ['PODFORM_WORK_DIR'] + '/x', 'w').close()"
    container["command"] = [*container["command"][:-2], "-c", text + write]
    cluster.add_secret("more", {"EXTRA": "e"})
    call(cluster, "POST", JOBS, document)
    until(lambda: cluster.pods() and cluster.pods()[0]["status"]["phase"] == "Succeeded", "success")
    assert cluster.log(cluster.pods()[0]).split() == [sys.prefix, "$5", "$(HOME)", "the-internal-secret", "e"]


def test_the_grace_ends_in_sigkill_for_all(cluster: Cluster) -> None:
    """SIGTERM goes to the first process alone; after the grace all of the container is killed, sessions included."""
    command = "trap '' TERM; echo $$; setsid sleep 300 & echo $!; wait; sleep 300"
    call(cluster, "POST", JOBS, job(command=command, backoffLimit=0))
    pod = running_pod(cluster)
    until(lambda: len(cluster.log(pod).split()) == 2, "two processes")
    time.sleep(0.2)
    cluster.delete_pod(pod, grace_seconds=1)
    until(lambda: not cluster.pods(), "no pod")

    def alive(pid: str) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False

    until(lambda: not any(alive(pid) for pid in cluster.log(pod).split()), "no process")
    deleted = [change for change in cluster.store.history if change.type == "DELETED" and change.resource == "pods"]
    assert deleted[0].object["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 137

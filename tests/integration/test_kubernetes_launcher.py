"""The Kubernetes launcher and its watcher against the stand-in cluster, through the real client library."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from common.failure_reasons import FailureReason
from common.launcher_port import CarrierPhase, CarrierUnavailableError, LaunchRejectedError
from k8s.launcher import KubernetesLauncher
from k8s.settings import ClusterSettings, WatchSettings
from tests.fakes.kube.http import Answer
from tests.fakes.kubelet import Fault
from tests.fakes.kubernetes_api import Cluster
from tests.fakes.orders import NAMESPACE, QUICK, SECRETS, Notes, job_settings, order

MANIFESTS = Path(__file__).parents[2] / "k8s" / "manifests"

#: Plays the executor: says who it is, then does what the test asks for by EPHEMERAL_JOB_ENV_VARS.
EXECUTOR = f"""#!{sys.executable}
import os, signal, sys, time
def stop(*_):
    print("stopping", flush=True)
    sys.exit(0 if os.environ.get("OBEDIENT") else 1)
signal.signal(signal.SIGTERM, signal.SIG_IGN if os.environ.get("STUBBORN") else stop)
signal.pthread_sigmask(signal.SIG_UNBLOCK, {{signal.SIGTERM}})
print("secret", os.environ["InternalSecret"], "arguments", *sys.argv[1:], flush=True)
time.sleep(float(os.environ.get("SECONDS_TO_RUN", "60")))
sys.exit(int(os.environ.get("EXIT_CODE", "0")))
"""


def role(name: str = "role.yaml") -> dict[str, object]:
    """The Role of a manifest that we ship."""
    documents = yaml.safe_load_all((MANIFESTS / name).read_text())
    return next(dict(document) for document in documents if document["kind"] == "Role")


@contextlib.asynccontextmanager
async def launching(
    cluster: Cluster, watch: WatchSettings = QUICK, **changes: object
) -> AsyncIterator[tuple[KubernetesLauncher, Notes]]:
    """A started launcher on a cluster whose executor is the one above."""
    if cluster.kubelet.image_path is None:
        cluster.install("python3", EXECUTOR)
    launcher = KubernetesLauncher(
        ClusterSettings(kubeconfig=str(cluster.kubeconfig_path)), job_settings(**changes), watch
    )
    notes = Notes()
    await launcher.start(notes)
    try:
        yield launcher, notes
    finally:
        await launcher.close()


def runs(text: str) -> dict[str, str]:
    """A shape that steers the executor."""
    return {"EPHEMERAL_JOB_ENV_VARS": text}


def test_a_step_runs_its_course() -> None:
    """An order becomes one Job and one pod, which runs our command and ends; each phase is told once, in order."""

    async def scenario(cluster: Cluster) -> None:
        async with launching(cluster) as (launcher, notes):
            carried = await launcher.launch(order(shape=runs("SECONDS_TO_RUN=0.3")))
            ended = await notes.until(order().name, CarrierPhase.ENDED)
            assert (ended.exit_code, ended.reason, ended.uid) == (0, None, carried.uid)
            phases = [observation.phase for observation in notes.of(order().name)]
            assert phases == sorted(set(phases), key=list(CarrierPhase).index)
            assert CarrierPhase.RUNNING in phases
            log = cluster.log(cluster.pods(order().name)[0])
            assert log == "secret the-internal-secret arguments -I -m executor\n"
            assert cluster.pods_started(order().name) == 1
            ages = launcher.watch_ages()
            assert sorted(ages) == ["jobs", "pods"]
            assert max(ages.values()) < 30

    with Cluster(secrets=SECRETS) as cluster:
        asyncio.run(scenario(cluster))


def test_launching_twice_is_one_job() -> None:
    """A repeated launch, also of an order whose first answer was lost, finds the Job that is there."""

    async def scenario(cluster: Cluster) -> None:
        async with launching(cluster) as (launcher, _):
            lost = Answer(times=1, status=500, method="POST", after_effect=True)
            cluster.faults.answers.append(lost)
            with pytest.raises(CarrierUnavailableError):
                await launcher.launch(order())
            first = await launcher.launch(order())
            assert await launcher.launch(order()) == first
            assert len(cluster.jobs()) == 1

    with Cluster(secrets=SECRETS) as cluster:
        asyncio.run(scenario(cluster))


def test_a_foreign_job_of_the_same_name_is_refused() -> None:
    """A Job of our name that another installation made is neither adopted nor deleted."""

    async def scenario(cluster: Cluster) -> None:
        async with launching(cluster) as (launcher, _), launching(cluster, installation="other") as (other, _):
            await other.launch(order())
            with pytest.raises(LaunchRejectedError, match="not of this installation") as refused:
                await launcher.launch(order())
            assert refused.value.reason is FailureReason.REJECTED_BY_CLUSTER
            await launcher.stop(order().name, force=True)
            assert cluster.jobs()[0]["metadata"].get("deletionTimestamp") is None

    with Cluster(secrets=SECRETS) as cluster:
        asyncio.run(scenario(cluster))


def test_a_job_being_deleted_takes_the_name_for_a_while() -> None:
    """A launch while the Job is being deleted is refused for now, with a time to come back."""

    async def scenario(cluster: Cluster) -> None:
        async with launching(cluster) as (launcher, notes):
            await launcher.launch(order(shape=runs("STUBBORN=1")))
            await notes.until(order().name, CarrierPhase.RUNNING)
            await launcher.stop(order().name, force=False)
            with pytest.raises(CarrierUnavailableError, match="being deleted") as refused:
                await launcher.launch(order())
            assert refused.value.retry_after_seconds
            await launcher.stop(order().name, force=True)
            await notes.until(order().name, CarrierPhase.ENDED)

    with Cluster(secrets=SECRETS) as cluster:
        asyncio.run(scenario(cluster))


def test_stop_gives_sigterm_and_the_end_is_told() -> None:
    """A graceful stop sends SIGTERM to the executor alone; the Job is gone once it has ended."""

    async def scenario(cluster: Cluster) -> None:
        async with launching(cluster) as (launcher, notes):
            await launcher.launch(order())
            await notes.until(order().name, CarrierPhase.RUNNING)
            pod = cluster.pods(order().name)[0]
            await launcher.stop(order().name, force=False)
            ended = await notes.until(order().name, CarrierPhase.ENDED)
            assert ended.exit_code == 1
            assert "stopping" in cluster.log(pod)
            await launcher.stop(order().name, force=True)  # repeated, and of a Job that is gone
            await launcher.stop("step-0000000000000000000000000000-1", force=False)
            deletes = [path for method, path in cluster.requests if method == "DELETE" and "/jobs/" in path]
            assert len(deletes) == 1

    with Cluster(secrets=SECRETS) as cluster:
        asyncio.run(scenario(cluster))


def test_force_does_not_wait_for_the_grace() -> None:
    """A forced stop ends an executor that ignores SIGTERM long before its grace of an hour."""

    async def scenario(cluster: Cluster) -> None:
        async with launching(cluster, plan_grace_seconds=3600) as (launcher, notes):
            await launcher.launch(order(shape=runs("STUBBORN=1")))
            await notes.until(order().name, CarrierPhase.RUNNING)
            await launcher.stop(order().name, force=True)
            ended = await notes.until(order().name, CarrierPhase.ENDED)
            assert (ended.exit_code, ended.reason) == (137, FailureReason.EXECUTOR_LOST)

    with Cluster(secrets=SECRETS) as cluster:
        asyncio.run(scenario(cluster))


@pytest.mark.parametrize(
    ("answer", "retry_after"),
    [
        (Answer(times=1, status=429, method="POST", headers={"Retry-After": "7"}), 7.0),
        (Answer(times=1, status=500, method="POST"), None),
        (Answer(times=1, status=503, method="POST"), None),
        (Answer(times=1, status=401, method="POST"), None),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Answer) else "",
)
def test_a_cluster_in_trouble_is_tried_again(answer: Answer, retry_after: float | None) -> None:
    """Answers that say nothing about the order make it unavailable, with the cluster's time to come back."""

    async def scenario(cluster: Cluster) -> None:
        cluster.faults.answers.append(answer)
        async with launching(cluster) as (launcher, _):
            with pytest.raises(CarrierUnavailableError) as refused:
                await launcher.launch(order())
            assert refused.value.retry_after_seconds == retry_after

    with Cluster(secrets=SECRETS) as cluster:
        asyncio.run(scenario(cluster))


def test_a_full_quota_is_tried_again() -> None:
    """A namespace whose quota of Jobs is used up takes the order later, not never."""

    async def scenario(cluster: Cluster) -> None:
        cluster.quota.jobs = 0
        async with launching(cluster) as (launcher, _):
            with pytest.raises(CarrierUnavailableError, match="exceeded quota"):
                await launcher.launch(order())

    with Cluster(secrets=SECRETS) as cluster:
        asyncio.run(scenario(cluster))


def test_what_the_role_forbids_is_refused_for_good() -> None:
    """A Role without `create` rejects the order with the cluster's words."""

    async def scenario(cluster: Cluster) -> None:
        async with launching(cluster) as (launcher, _):
            with pytest.raises(LaunchRejectedError, match='cannot create resource "jobs"') as refused:
                await launcher.launch(order())
            assert refused.value.reason is FailureReason.REJECTED_BY_CLUSTER

    with Cluster(secrets=SECRETS, role={"rules": []}) as cluster:
        asyncio.run(scenario(cluster))


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ({"EPHEMERAL_CPU_REQUEST": "lots"}, "EPHEMERAL_CPU_REQUEST.*'lots' is no quantity"),
        ({"EPHEMERAL_CONFIG_SERVICE_ACCOUNT": "admin"}, "EPHEMERAL_CONFIG_SERVICE_ACCOUNT.*refused until"),
    ],
)
def test_a_shape_that_cannot_be_is_a_bad_configuration(shape: dict[str, str], words: str) -> None:
    """A malformed or refused EPHEMERAL_* variable rejects the order and names the variable."""

    async def scenario(cluster: Cluster) -> None:
        async with launching(cluster) as (launcher, _):
            with pytest.raises(LaunchRejectedError, match=words) as refused:
                await launcher.launch(order(shape=shape))
            assert refused.value.reason is FailureReason.BAD_CONFIGURATION

    with Cluster(secrets=SECRETS) as cluster:
        asyncio.run(scenario(cluster))


def test_a_namespace_that_does_not_exist_is_named() -> None:
    """A wrong namespace rejects the order and says which."""

    async def scenario(cluster: Cluster) -> None:
        async with launching(cluster, namespace="elsewhere") as (launcher, _):
            with pytest.raises(LaunchRejectedError, match='namespaces "elsewhere" not found'):
                await launcher.launch(order())

    with Cluster(secrets=SECRETS) as cluster:
        asyncio.run(scenario(cluster))


def test_the_clusters_warnings_come_back() -> None:
    """What the cluster warns about at the create is part of the answer."""

    async def scenario(cluster: Cluster) -> None:
        cluster.warnings = ['would violate PodSecurity "restricted:latest": privileged']
        async with launching(cluster) as (launcher, _):
            assert (await launcher.launch(order())).warnings == tuple(cluster.warnings)

    with Cluster(secrets=SECRETS) as cluster:
        asyncio.run(scenario(cluster))


@pytest.mark.parametrize(
    ("fault", "reason", "words"),
    [
        (Fault.IMAGE_PULL, FailureReason.IMAGE_PULL, "ImagePullBackOff"),
        (Fault.UNSCHEDULABLE, FailureReason.UNSCHEDULABLE, "Insufficient memory"),
    ],
)
def test_a_pod_that_does_not_start_says_why(fault: Fault, reason: FailureReason, words: str) -> None:
    """What keeps a pod from starting is told while it waits; it goes on when the cause is mended."""

    async def scenario(cluster: Cluster) -> None:
        cluster.switch(fault)
        async with launching(cluster) as (launcher, notes):
            await launcher.launch(order(shape=runs("SECONDS_TO_RUN=0")))
            waiting = await notes.until(order().name, CarrierPhase.PENDING, with_message=True)
            assert waiting.reason is reason
            assert words in waiting.message
            cluster.switch(fault, on=False)
            assert (await notes.until(order().name, CarrierPhase.ENDED)).exit_code == 0

    with Cluster(secrets=SECRETS) as cluster:
        asyncio.run(scenario(cluster))


@pytest.mark.parametrize("as_file", [False, True], ids=["environment", "file"])
def test_a_missing_secret_is_named(as_file: bool) -> None:
    """Without its Secret the container waits, and the Secret's name is told, though it be in events alone."""

    async def scenario(cluster: Cluster) -> None:
        async with launching(cluster, secret_as_file=as_file) as (launcher, notes):
            await launcher.launch(order())
            waiting = await notes.until(order().name, CarrierPhase.PENDING, with_message=True)
            assert waiting.reason is FailureReason.MISSING_REFERENCE
            assert "terrakube-executor-secrets" in waiting.message

    with Cluster() as cluster:
        asyncio.run(scenario(cluster))


def test_a_job_without_a_pod_says_why() -> None:
    """When no pod can be made at all, the words of the Job's event are told."""

    async def scenario(cluster: Cluster) -> None:
        cluster.refuse_pods('pods "x-" is forbidden: error looking up service account: serviceaccount "y" not found')
        async with launching(cluster) as (launcher, notes):
            await launcher.launch(order())
            waiting = await notes.until(order().name, CarrierPhase.PENDING, with_message=True)
            assert waiting.reason is FailureReason.MISSING_REFERENCE
            assert 'serviceaccount "y" not found' in waiting.message
            await launcher.stop(order().name, force=False)
            await notes.until(order().name, CarrierPhase.ENDED)

    with Cluster(secrets=SECRETS) as cluster:
        asyncio.run(scenario(cluster))


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        ("run_out_of_memory", FailureReason.OUT_OF_MEMORY),
        ("evict", FailureReason.EVICTED),
        ("preempt", FailureReason.EVICTED),
        ("lose_node", FailureReason.NODE_LOST),
    ],
)
def test_a_pod_that_is_taken_away_is_never_replaced(act: str, reason: FailureReason) -> None:
    """Whatever ends a running pod is told with its cause, and no second pod is made."""

    async def scenario(cluster: Cluster) -> None:
        async with launching(cluster) as (launcher, notes):
            await launcher.launch(order())
            await notes.until(order().name, CarrierPhase.RUNNING)
            getattr(cluster, act)(cluster.pods(order().name)[0])
            ended = await notes.until(order().name, CarrierPhase.ENDED)
            assert ended.reason is reason
            assert cluster.pods_started(order().name) == 1

    with Cluster(secrets=SECRETS) as cluster:
        asyncio.run(scenario(cluster))


def test_an_executor_that_fails_leaves_its_last_words() -> None:
    """The end of the log comes with the end of an executor that could not report."""

    async def scenario(cluster: Cluster) -> None:
        async with launching(cluster) as (launcher, notes):
            await launcher.launch(order(shape=runs("SECONDS_TO_RUN=0;EXIT_CODE=3")))
            ended = await notes.until(order().name, CarrierPhase.ENDED)
            assert (ended.exit_code, ended.reason) == (3, FailureReason.EXECUTOR_FAILED)
            assert "arguments -I -m executor" in ended.log_tail

    with Cluster(secrets=SECRETS) as cluster:
        asyncio.run(scenario(cluster))


def test_a_deadline_is_told_as_one() -> None:
    """A Job whose deadline passes ends as timed out, whatever exit code its executor had."""

    async def scenario(cluster: Cluster) -> None:
        async with launching(cluster, plan_grace_seconds=1) as (launcher, notes):
            await launcher.launch(order(timeout_seconds=1))
            ended = await notes.until(order().name, CarrierPhase.ENDED)
            assert ended.reason is FailureReason.TIMED_OUT

    with Cluster(secrets=SECRETS) as cluster:
        asyncio.run(scenario(cluster))


@pytest.mark.parametrize("trouble", ["compact", "cut", "silent", "unavailable"])
def test_the_watch_survives(trouble: str) -> None:
    """After a 410, a cut watch, a socket gone silent or an API server in trouble, the end is still told."""
    quick = replace(QUICK, silent_seconds=0.5, relist_seconds=1.0)

    async def scenario(cluster: Cluster) -> None:
        async with launching(cluster, quick) as (launcher, notes):
            await launcher.launch(order(shape=runs("SECONDS_TO_RUN=0.5")))
            await notes.until(order().name, CarrierPhase.RUNNING)
            if trouble == "compact":
                cluster.compact()
            elif trouble == "silent":
                cluster.faults.silent_watches = True
            else:
                times = 5 if trouble == "unavailable" else 0
                cluster.faults.answers.append(Answer(times=times, status=503, method="GET"))
                cluster.cut_watches()
            assert (await notes.until(order().name, CarrierPhase.ENDED)).exit_code == 0
            assert len(cluster.requests) < 100

    with Cluster(secrets=SECRETS) as cluster:
        asyncio.run(scenario(cluster))


def test_a_role_with_jobs_alone_is_enough(caplog: pytest.LogCaptureFixture) -> None:
    """With the Role that allows Jobs only, a step runs its course; what is not seen is said once per resource."""

    async def scenario(cluster: Cluster) -> None:
        async with launching(cluster) as (launcher, notes):
            await launcher.launch(order(shape=runs("SECONDS_TO_RUN=0.5")))
            await notes.until(order().name, CarrierPhase.RUNNING)
            assert (await launcher.look([order().name]))[order().name].phase is CarrierPhase.RUNNING
            ended = await notes.until(order().name, CarrierPhase.ENDED)
            assert (ended.reason, ended.exit_code) == (None, None)
            await launcher.launch(order(2))
            await notes.until(order(2).name, CarrierPhase.RUNNING)
            await launcher.stop(order(2).name, force=False)
            await notes.until(order(2).name, CarrierPhase.ENDED)

    with Cluster(secrets=SECRETS, role=role()) as cluster:
        asyncio.run(scenario(cluster))
    said = [record.getMessage() for record in caplog.records if "not watched" in record.getMessage()]
    assert len(said) == 1
    assert said[0].startswith("pods are not watched")


def test_a_new_launcher_finds_what_runs() -> None:
    """After a restart everything that is in the cluster is told, and names that are not there are absent."""

    async def scenario(cluster: Cluster) -> None:
        async with launching(cluster) as (launcher, notes):
            await launcher.launch(order())
            await notes.until(order().name, CarrierPhase.RUNNING)
        async with launching(cluster) as (launcher, notes):
            await notes.until(order().name, CarrierPhase.RUNNING)
            seen = await launcher.look([order().name, order(2).name])
            assert seen[order().name].phase is CarrierPhase.RUNNING
            assert seen[order(2).name].phase is CarrierPhase.ABSENT

    with Cluster(secrets=SECRETS) as cluster:
        asyncio.run(scenario(cluster))


def test_every_delete_names_its_uid_and_policy() -> None:
    """A Job is only ever deleted in the foreground, and only the very one that was looked at."""

    async def scenario(cluster: Cluster) -> None:
        policies: list[str] = []
        real = cluster.controller.delete

        def delete(job: dict[str, Any], propagation: str) -> None:
            policies.append(propagation)
            real(job, propagation)

        cluster.controller.delete = delete  # type: ignore[method-assign]  # a look at what arrives
        async with launching(cluster) as (launcher, notes):
            await launcher.launch(order())
            await notes.until(order().name, CarrierPhase.RUNNING)
            await launcher.stop(order().name, force=False)
            await notes.until(order().name, CarrierPhase.ENDED)
        assert policies == ["Foreground"]

    with Cluster(secrets=SECRETS) as cluster:
        asyncio.run(scenario(cluster))


def test_no_secret_and_no_variable_is_in_the_job() -> None:
    """The Job holds the name of the Secret, never its value."""

    async def scenario(cluster: Cluster) -> None:
        async with launching(cluster) as (launcher, _):
            await launcher.launch(order())
        assert "the-internal-secret" not in json.dumps(cluster.jobs())
        assert NAMESPACE in json.dumps(cluster.jobs())

    with Cluster(secrets=SECRETS) as cluster:
        asyncio.run(scenario(cluster))

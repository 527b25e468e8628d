"""The Kubernetes launcher: every attempt is carried by a Job of its own.

Built by api/app.py, called by services through common.launcher_port. It builds, submits, deletes and looks;
what an attempt's Job and pod mean is in picture and pod_diagnosis, and what becomes of the step is not its business.
"""

import logging
from collections.abc import Mapping, Sequence

from common.errors import BadInputError
from common.failure_reasons import FailureReason
from common.launcher_port import (
    Carried,
    CarrierObservation,
    CarrierObserver,
    CarrierUnavailableError,
    LaunchOrder,
    LaunchRejectedError,
    Right,
)
from k8s import ephemeral_config, errors, job_manifest, naming
from k8s.client import Json, Keep, KubernetesClient, connect
from k8s.picture import Picture
from k8s.settings import ClusterSettings, JobSettings, WatchSettings
from k8s.trimming import trimmed
from k8s.watcher import Watcher

log = logging.getLogger(__name__)

#: Grace of a pod that is stopped by force. Never 0: that takes the pod's object away while it may still run.
FORCE_GRACE_SECONDS = 1
#: When to come back for a name whose Job is just being deleted.
NAME_TAKEN_SECONDS = 2.0


#: Verb and resource: without the first nothing works, without the others nothing is told about pods.
_NEEDED = tuple((verb, "jobs") for verb in ("create", "get", "list", "watch", "delete"))
_WANTED = (("list", "pods"), ("watch", "pods"), ("get", "pods/log"), ("list", "events"))


class KubernetesLauncher:
    """Carries attempts as Jobs of one namespace. Methods are safe to repeat."""

    kind = "kubernetes"

    def __init__(self, cluster: ClusterSettings, jobs: JobSettings, watch: WatchSettings | None = None) -> None:
        self._cluster, self._jobs, self._watch = cluster, jobs, watch or WatchSettings()
        self._client: KubernetesClient | None = None
        self._watcher: Watcher | None = None

    async def start(self, observer: CarrierObserver) -> None:
        """Begin watching. k8s.errors.ConfigurationError when the cluster cannot even be addressed."""
        client = await self._connected()
        self._watcher = Watcher(client, self._jobs, self._watch, observer)
        self._watcher.start()

    async def rights(self) -> Sequence[Right]:
        """What the Role allows, by the cluster's own word."""
        client = await self._connected()
        found = []
        try:
            for verb, resource in (*_NEEDED, *_WANTED):
                allowed, reason = await client.may(self._jobs.namespace, verb, resource)
                what = f"{verb} {resource} in {self._jobs.namespace}"
                found.append(Right(what=what, allowed=allowed, needed=resource == "jobs", reason=reason))
        except errors.ClusterError as error:
            raise CarrierUnavailableError(str(error)) from error
        return found

    async def close(self) -> None:
        """Stop watching; Jobs go on."""
        if self._watcher is not None:
            await self._watcher.close()
        if self._client is not None:
            await self._client.close()
        self._watcher = self._client = None

    def watch_ages(self) -> Mapping[str, float]:
        """Resource -> seconds since its watch was last known to be good."""
        return self._watcher.ages() if self._watcher is not None else {}

    async def launch(self, order: LaunchOrder) -> Carried:
        """Create the attempt's Job, or find that it is there already."""
        manifest = self._manifest(order)
        client = await self._connected()
        try:
            created = await client.create_job(self._jobs.namespace, manifest)
        except errors.AlreadyExistsError:
            return await self._adopt(client, order.name)
        except errors.ClusterError as error:
            raise self._launch_failure(error) from error
        for warning in created.warnings:
            log.warning("the cluster warns about %s: %s", order.name, warning)
        return Carried(uid=created.job["metadata"]["uid"], warnings=created.warnings)

    async def stop(self, name: str, *, force: bool) -> None:
        """Delete the Job in the foreground; by force, its pod gets no more than a second of grace."""
        client = await self._connected()
        try:
            await self._delete_job(client, name)
            if force:
                await self._hurry_pods(client, name)
        except errors.ClusterError as error:
            raise _unavailable(error) from error

    async def look(self, names: Sequence[str]) -> Mapping[str, CarrierObservation]:
        """How these attempts stand, by one list of Jobs and one of pods."""
        client, wanted = await self._connected(), frozenset(names)

        def keep(item: Json) -> Json | None:  # thousands have ended and are still there
            return trimmed(item) if naming.attempt_of(item) in wanted else None

        picture, selector = Picture(), naming.selector(self._jobs.installation)
        try:
            picture.listed("jobs", (await client.list_jobs(self._jobs.namespace, selector, keep)).items)
            picture.listed("pods", await self._pods(client, selector, keep))
        except errors.ClusterError as error:
            raise _unavailable(error) from error
        return {name: picture.observation(name) for name in names}

    def _manifest(self, order: LaunchOrder) -> Json:
        try:
            shape = ephemeral_config.pod_shape(order.shape, self._jobs.rules)
            return job_manifest.build(order, shape, self._jobs)
        except BadInputError as error:
            raise LaunchRejectedError(FailureReason.BAD_CONFIGURATION, str(error)) from error

    async def _adopt(self, client: KubernetesClient, name: str) -> Carried:
        """The name is taken: by this very attempt (the answer to its create was lost), or by another."""
        try:
            job = await client.get_job(self._jobs.namespace, name)
        except errors.NotFoundError as error:
            raise CarrierUnavailableError(f"the Job {name} went away just now", NAME_TAKEN_SECONDS) from error
        except errors.ClusterError as error:
            raise _unavailable(error) from error
        if job["metadata"].get("deletionTimestamp"):
            raise CarrierUnavailableError(f"a Job {name} is still being deleted", NAME_TAKEN_SECONDS)
        if not naming.is_ours(job, name, self._jobs.installation):
            raise LaunchRejectedError(
                FailureReason.REJECTED_BY_CLUSTER,
                f"a Job {name} exists in namespace {self._jobs.namespace} and is not of this installation",
            )
        return Carried(uid=job["metadata"]["uid"])

    def _launch_failure(self, error: errors.ClusterError) -> Exception:
        """Whether a refused create is final: what would be refused again is."""
        if isinstance(error, errors.RejectedError | errors.ForbiddenError | errors.NotFoundError):
            return LaunchRejectedError(FailureReason.REJECTED_BY_CLUSTER, f"the cluster refused the Job: {error}")
        return _unavailable(error)

    async def _delete_job(self, client: KubernetesClient, name: str) -> None:
        try:
            job = await client.get_job(self._jobs.namespace, name)
            if naming.is_ours(job, name, self._jobs.installation):
                await client.delete_job(self._jobs.namespace, name, job["metadata"]["uid"])
        except (errors.NotFoundError, errors.ConflictError):
            return  # it is gone, or another one by now

    async def _hurry_pods(self, client: KubernetesClient, name: str) -> None:
        selector = f"{naming.selector(self._jobs.installation)},batch.kubernetes.io/job-name={name}"
        for pod in await self._pods(client, selector):
            metadata = pod["metadata"]
            try:
                await client.delete_pod(self._jobs.namespace, metadata["name"], metadata["uid"], FORCE_GRACE_SECONDS)
            except (errors.NotFoundError, errors.ConflictError):
                continue  # it has gone by itself
            except errors.ForbiddenError as error:
                log.warning("the pod of %s keeps its whole grace: %s", name, error)
                return

    async def _pods(self, client: KubernetesClient, selector: str, keep: Keep = trimmed) -> list[Json]:
        """The pods, or none where the Role does not allow to see them (the watcher says so)."""
        try:
            return (await client.list_pods(self._jobs.namespace, selector, keep)).items
        except errors.ForbiddenError:
            return []

    async def _connected(self) -> KubernetesClient:
        if self._client is None:
            self._client = await connect(self._cluster)
        return self._client


def _unavailable(error: errors.ClusterError) -> CarrierUnavailableError:
    return CarrierUnavailableError(f"the cluster did not take the request: {error}", error.retry_after_seconds)

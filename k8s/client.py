"""The only door to a Kubernetes API server, and the only importer of its client library.

Called by launcher and watcher. Objects go in and come out as plain JSON dictionaries; every failure comes
out as one of k8s.errors. The library is imported by connect(): an API without Kubernetes mode never loads it.
"""

import contextlib
import json
import os
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from k8s import errors
from k8s.settings import ClusterSettings
from k8s.trimming import trimmed

Json = dict[str, Any]
#: What to keep of a listed object; None = nothing.
Keep = Callable[[Json], Json | None]

_HOME_FILE = str(Path("~/.kube/config").expanduser())
#: Seconds for an ordinary request, connecting included; the API server gives up on its own after 60.
REQUEST_SECONDS = 30.0
CONNECT_SECONDS = 5.0
#: One page of a list; the API server forgets a continuation after some minutes, so pages are read at once.
PAGE_SIZE = 500


@dataclass(frozen=True, slots=True)
class Created:
    """A created Job as the cluster stored it, and what the cluster warned of."""

    job: Json
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Listed:
    """The objects of a list and the resourceVersion to watch from."""

    items: list[Json]
    resource_version: str


async def connect(settings: ClusterSettings) -> "KubernetesClient":
    """A client for the configured cluster; no request is sent. ConfigurationError says what is wrong."""
    from kubernetes.aio import client, config

    configuration = client.Configuration()
    configuration.client_side_validation = False  # the server's words are better
    paths = settings.kubeconfig or os.environ.get("KUBECONFIG", "")
    in_cluster = not paths and not settings.context and "KUBERNETES_SERVICE_HOST" in os.environ
    try:
        if in_cluster:
            config.load_incluster_config(client_configuration=configuration)
        else:
            await config.load_kube_config(
                config_file=paths or _HOME_FILE,
                context=settings.context or None,
                client_configuration=configuration,
                persist_config=False,
            )
    except Exception as error:  # the library raises anything from KeyError to YAMLError for a bad file
        source = "the pod's service account" if in_cluster else f"kubeconfig {paths or '~/.kube/config'}"
        context = f", context {settings.context}" if settings.context else ""
        raise errors.ConfigurationError(f"Kubernetes cannot be addressed by {source}{context}: {error}") from error
    return KubernetesClient(client.ApiClient(configuration))


class KubernetesClient:
    """What we ask of a cluster. Every method raises k8s.errors alone (and CancelledError)."""

    def __init__(self, api: Any) -> None:
        from kubernetes.aio import client

        self._api = api
        self._batch = client.BatchV1Api(api)
        self._core = client.CoreV1Api(api)

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def create_job(self, namespace: str, manifest: Json) -> Created:
        """Create a Job; an unknown field is refused by the server instead of dropped."""
        call = self._batch.create_namespaced_job(namespace, manifest, field_validation="Strict", **_OPTIONS)
        async with _answer(call) as response:
            warnings = tuple(_warning_text(value) for value in response.headers.getall("Warning", ()))
            return Created(await _document(response), warnings)

    async def get_job(self, namespace: str, name: str) -> Json:
        """One Job."""
        async with _answer(self._batch.read_namespaced_job(name, namespace, **_OPTIONS)) as response:
            return await _document(response)

    async def delete_job(self, namespace: str, name: str, uid: str) -> None:
        """Delete exactly this Job, in the foreground: its name stays taken until its pod is gone.

        Without a policy the pod would be orphaned, and in the background a second one could run beside it.
        """
        options = {"propagationPolicy": "Foreground", "preconditions": {"uid": uid}}
        async with _answer(self._batch.delete_namespaced_job(name, namespace, body=options, **_OPTIONS)):
            pass

    async def delete_pod(self, namespace: str, name: str, uid: str, grace_seconds: int) -> None:
        """Delete exactly this pod with a grace of its own, which may shorten one that is running already."""
        options = {"gracePeriodSeconds": grace_seconds, "preconditions": {"uid": uid}}
        async with _answer(self._core.delete_namespaced_pod(name, namespace, body=options, **_OPTIONS)):
            pass

    async def list_jobs(self, namespace: str, selector: str, keep: Keep = trimmed) -> Listed:
        """All Jobs that a label selector finds; `keep` is what stays of each of them in memory."""
        return await self._listed(self._batch.list_namespaced_job, namespace, keep, label_selector=selector)

    async def list_pods(self, namespace: str, selector: str, keep: Keep = trimmed) -> Listed:
        """All pods that a label selector finds; see list_jobs."""
        return await self._listed(self._core.list_namespaced_pod, namespace, keep, label_selector=selector)

    async def list_events_of(self, namespace: str, kind: str, name: str) -> list[Json]:
        """The events about one object."""
        fields = f"involvedObject.kind={kind},involvedObject.name={name}"
        return (await self._listed(self._core.list_namespaced_event, namespace, _whole, field_selector=fields)).items

    async def may(self, namespace: str, verb: str, resource: str) -> tuple[bool, str]:
        """Whether we may do this in a namespace, and the reason that the cluster gives (often none).

        `resource` is `jobs`, `pods`, `pods/log` or `events`. Every account may ask about itself.
        """
        from kubernetes.aio import client

        main, _, sub = resource.partition("/")
        attributes = {"namespace": namespace, "verb": verb, "resource": main, "subresource": sub}
        attributes["group"] = "batch" if main == "jobs" else ""
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        authorization = client.AuthorizationV1Api(self._api)
        async with _answer(authorization.create_self_subject_access_review(review, **_OPTIONS)) as response:
            status = (await _document(response)).get("status") or {}
        return bool(status.get("allowed")), str(status.get("reason") or status.get("evaluationError") or "")

    async def pod_log_tail(self, namespace: str, name: str, *, lines: int, limit_bytes: int) -> str:
        """The last lines of a pod's log."""
        call = self._core.read_namespaced_pod_log(
            name, namespace, tail_lines=lines, limit_bytes=limit_bytes, **_OPTIONS
        )
        async with _answer(call) as response:
            return str(await response.text(errors="replace"))

    def watch_jobs(self, namespace: str, selector: str, since: str, timeouts: "WatchTimeouts") -> AsyncIterator[Json]:
        """Events of Jobs; see _watch."""
        return _watch(self._batch.list_namespaced_job, namespace, selector, since, timeouts)

    def watch_pods(self, namespace: str, selector: str, since: str, timeouts: "WatchTimeouts") -> AsyncIterator[Json]:
        """Events of pods; see _watch."""
        return _watch(self._core.list_namespaced_pod, namespace, selector, since, timeouts)

    async def _listed(self, method: Any, namespace: str, keep: Keep, **filters: str) -> Listed:
        items: list[Json] = []
        more: Mapping[str, str] = {}
        while True:
            async with _answer(method(namespace, limit=PAGE_SIZE, **filters, **more, **_OPTIONS)) as response:
                document = await _document(response)
            items += [kept for item in document.get("items") or [] if (kept := keep(item)) is not None]
            metadata = document.get("metadata") or {}
            if not metadata.get("continue"):
                return Listed(items, str(metadata.get("resourceVersion", "")))
            more = {"_continue": metadata["continue"]}


@dataclass(frozen=True, slots=True)
class WatchTimeouts:
    """How long a watch lasts, and how long its socket may be silent, in seconds."""

    watch_seconds: int
    silent_seconds: float


#: Bodies are read as JSON here and nowhere turned into the library's models.
_OPTIONS: Mapping[str, Any] = {"_preload_content": False, "_request_timeout": REQUEST_SECONDS}


async def _watch(
    method: Any, namespace: str, selector: str, since: str, timeouts: WatchTimeouts
) -> AsyncIterator[Json]:
    """Events after a resourceVersion, bookmarks included, until the server ends the watch.

    ExpiredError when the version is too old, which the server says as an ERROR event in a 200;
    UnavailableError when the socket is silent for too long.
    """
    call = method(
        namespace,
        label_selector=selector,
        resource_version=since,
        watch=True,
        allow_watch_bookmarks=True,
        timeout_seconds=timeouts.watch_seconds,
        _preload_content=False,
        _request_timeout=(CONNECT_SECONDS, timeouts.silent_seconds),
    )
    async with _answer(call) as response:
        async for line in response.content:
            event = _decoded(line)
            if event.get("type") == "ERROR":
                status = event.get("object") or {}
                raise errors.from_answer(int(status.get("code") or 500), json.dumps(status))
            yield event


@contextlib.asynccontextmanager
async def _answer(call: Any) -> AsyncIterator[Any]:
    """An answer that is 2xx; anything else, and any failure on the way, as an error of ours."""
    import aiohttp
    from kubernetes.aio.client.exceptions import OpenApiException

    try:
        async with await call as response:
            if not 200 <= response.status <= 299:
                body = await response.text(errors="replace")
                raise errors.from_answer(response.status, body, response.headers.get("Retry-After"))
            yield response
    except TimeoutError as error:
        raise errors.UnavailableError("the Kubernetes API server did not answer in time") from error
    except (aiohttp.ClientError, OSError) as error:
        raise errors.UnavailableError(f"the Kubernetes API server cannot be reached: {error}") from error
    except (OpenApiException, ValueError, TypeError) as error:
        raise errors.RejectedError(f"the request cannot be sent to the cluster: {error}") from error


def _whole(item: Json) -> Json | None:
    return item


async def _document(response: Any) -> Json:
    return _decoded(await response.read())


def _decoded(text: bytes) -> Json:
    try:
        document = orjson.loads(text)  # pages of lists are long, and everybody waits for this loop
    except ValueError as error:
        raise errors.UnavailableError("the Kubernetes API server's answer is not JSON") from error
    if not isinstance(document, dict):
        raise errors.UnavailableError("the Kubernetes API server's answer is not a JSON object")
    return document


def _warning_text(header: str) -> str:
    """`299 - "text"` without its wrapping (RFC 7234)."""
    return header.split(" ", 2)[-1].strip().strip('"').replace('\\"', '"')

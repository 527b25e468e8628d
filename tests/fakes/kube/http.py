"""The stand-in's API server: paths of batch/v1 Jobs, pods, logs and events; watches; faults on the way."""

import copy
import json
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.fakes.kube import access, answers, validation
from tests.fakes.kube.answers import Refused
from tests.fakes.kube.store import KINDS, Store, matches, now

if TYPE_CHECKING:
    from tests.fakes.kubernetes_api import Cluster

Json = dict[str, Any]


@dataclass
class Answer:
    """A failure to send instead of the real answer, so many times, to requests of a method ("" = any)."""

    times: int
    status: int
    reason: str = "InternalError"
    message: str = "the stand-in was told to fail"
    headers: dict[str, str] = field(default_factory=dict)
    method: str = ""
    path: str = ""  # a part of the path
    after_effect: bool = False  # do what was asked first, then lose the answer


@dataclass
class Faults:
    """Switches of the API server."""

    answers: list[Answer] = field(default_factory=list)
    silent_watches: bool = False  # watches stay open and say nothing, as a half-open connection does
    watch_generation: int = 0
    closing: bool = False


def application(cluster: "Cluster") -> Starlette:
    """The API server of a cluster."""
    api = _Api(cluster)
    jobs = "/apis/batch/v1/namespaces/{namespace}/jobs"
    core = "/api/v1/namespaces/{namespace}"
    return Starlette(
        routes=[
            Route("/version", api.version),
            Route(
                "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
                api.wrapped(api.review_access),
                methods=["POST"],
            ),
            Route(jobs, api.wrapped(api.create_job), methods=["POST"]),
            Route(jobs, api.wrapped(api.list_jobs), methods=["GET"]),
            Route(jobs + "/{name}", api.wrapped(api.get_job), methods=["GET"]),
            Route(jobs + "/{name}", api.wrapped(api.delete_job), methods=["DELETE"]),
            Route(core + "/pods", api.wrapped(api.list_pods), methods=["GET"]),
            Route(core + "/pods/{name}", api.wrapped(api.get_pod), methods=["GET"]),
            Route(core + "/pods/{name}", api.wrapped(api.delete_pod), methods=["DELETE"]),
            Route(core + "/pods/{name}/log", api.wrapped(api.pod_log), methods=["GET"]),
            Route(core + "/events", api.wrapped(api.list_events), methods=["GET"]),
        ]
    )


class _Api:
    def __init__(self, cluster: "Cluster") -> None:
        self.cluster = cluster

    @property
    def store(self) -> Store:
        return self.cluster.store

    def wrapped(self, act: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        """Authentication, faults and Status bodies around an endpoint."""

        async def serve(request: Request) -> Response:
            self.cluster.request_times.append(time.monotonic())
            query = f"?{request.url.query}" if request.url.query else ""
            self.cluster.requests.append((request.method, request.url.path + query))
            try:
                return await self._served(request, act)
            except Refused as refused:
                return JSONResponse(refused.body(), status_code=refused.code, headers=refused.headers)

        return serve

    async def _served(self, request: Request, act: Callable[[Request], Awaitable[Response]]) -> Response:
        fault = self._fault(request)
        if request.headers.get("Authorization") != f"Bearer {self.cluster.token}":
            raise answers.unauthorized()
        if fault is None:
            return await act(request)
        if fault.after_effect:
            await act(request)
        raise Refused(fault.status, fault.reason, fault.message, headers=fault.headers)

    async def version(self, _request: Request) -> Response:
        return JSONResponse({"major": "1", "minor": "36", "gitVersion": "v1.36.2"})

    async def review_access(self, request: Request) -> Response:
        """Whether the Role allows something: every account may ask about itself, and a no is no error."""
        review = json.loads(await request.body())
        asked = review["spec"]["resourceAttributes"]
        resource = "/".join(part for part in (asked["resource"], asked.get("subresource", "")) if part)
        try:
            access.check(self.cluster.role, asked["verb"], resource, asked["namespace"])
            status: Json = {"allowed": True, "reason": "RBAC: allowed by RoleBinding"}
        except Refused:
            status = {"allowed": False}
        return JSONResponse({**review, "metadata": {"creationTimestamp": None}, "status": status}, status_code=201)

    async def create_job(self, request: Request) -> Response:
        namespace = self._allowed(request, "create", "jobs")
        strict = request.query_params.get("fieldValidation") == "Strict"
        job, warnings = validation.check(await request.body(), strict=strict)
        if namespace not in self.cluster.namespaces:
            raise answers.not_found("namespaces", namespace)
        name = job["metadata"]["name"]
        found = self.store.find("jobs", namespace, name)
        if found is not None:
            deleting = bool(found["metadata"].get("deletionTimestamp"))
            raise answers.already_exists("jobs", name, deleting=deleting)
        limit = self.cluster.quota.jobs
        used = len(self.store.all("jobs", namespace))
        if limit is not None and used >= limit:
            raise answers.quota_exceeded(name, used, limit)
        stored = self.store.add("jobs", _with_job_labels(job, namespace))
        headers = [("Warning", f'299 - "{text}"') for text in [*self.cluster.warnings, *warnings]]
        response = JSONResponse(stored, status_code=201)
        for header, value in headers:
            response.headers.append(header, value)
        return response

    async def list_jobs(self, request: Request) -> Response:
        return self._list_or_watch(request, "jobs")

    async def list_pods(self, request: Request) -> Response:
        return self._list_or_watch(request, "pods")

    async def list_events(self, request: Request) -> Response:
        return self._list_or_watch(request, "events")

    async def get_job(self, request: Request) -> Response:
        return JSONResponse(self._found(request, "get", "jobs"))

    async def get_pod(self, request: Request) -> Response:
        return JSONResponse(self._found(request, "get", "pods"))

    async def delete_job(self, request: Request) -> Response:
        job = self._found(request, "delete", "jobs")
        options = await self._delete_options(request, "jobs", job)
        # without a policy a Job's pods are orphaned: the old default of batch/v1
        self.cluster.controller.delete(job, options.get("propagationPolicy") or "Orphan")
        return JSONResponse(self.store.find("jobs", job["metadata"]["namespace"], job["metadata"]["name"]) or job)

    async def delete_pod(self, request: Request) -> Response:
        pod = self._found(request, "delete", "pods")
        options = await self._delete_options(request, "pods", pod)
        self.cluster.controller.delete_pod(pod, options.get("gracePeriodSeconds"))
        return JSONResponse(pod)

    async def pod_log(self, request: Request) -> Response:
        pod = self._found(request, "get", "pods", "pods/log")
        lines = self.cluster.log(pod).splitlines(keepends=True)
        lines = lines[-int(request.query_params.get("tailLines", len(lines) or 1)) :]
        limit = int(request.query_params.get("limitBytes", 1 << 30))
        return PlainTextResponse("".join(lines).encode()[:limit])

    def _fault(self, request: Request) -> Answer | None:
        for answer in self.cluster.faults.answers:
            if answer.times > 0 and answer.method in ("", request.method) and answer.path in request.url.path:
                answer.times -= 1
                return answer
        return None

    def _allowed(self, request: Request, verb: str, resource: str) -> str:
        namespace = str(request.path_params["namespace"])
        access.check(self.cluster.role, verb, resource, namespace, str(request.path_params.get("name", "")))
        return namespace

    def _found(self, request: Request, verb: str, resource: str, checked: str = "") -> Json:
        namespace = self._allowed(request, verb, checked or resource)
        found = self.store.find(resource, namespace, request.path_params["name"])
        if found is None:
            raise answers.not_found(resource, request.path_params["name"])
        return found

    async def _delete_options(self, request: Request, resource: str, document: Json) -> Json:
        body = await request.body()
        options: Json = json.loads(body) if body.strip() else {}
        options = {name: value for name, value in options.items() if value is not None}
        if "propagationPolicy" in request.query_params:
            options.setdefault("propagationPolicy", request.query_params["propagationPolicy"])
        wanted = (options.get("preconditions") or {}).get("uid")
        metadata = document["metadata"]
        if wanted and wanted != metadata["uid"]:
            raise answers.uid_conflict(resource, metadata["name"], wanted, metadata["uid"])
        return options

    def _list_or_watch(self, request: Request, resource: str) -> Response:
        watching = request.query_params.get("watch") in ("true", "True", "1")
        namespace = self._allowed(request, "watch" if watching else "list", resource)
        labels = request.query_params.get("labelSelector", "")
        fields = request.query_params.get("fieldSelector", "")

        def fits(document: Json) -> bool:
            return document["metadata"]["namespace"] == namespace and matches(document, labels, fields)

        if watching:
            return self._watch(request, resource, fits)
        with self.store.lock:
            items = [document for document in self.store.all(resource, namespace) if fits(document)]
            metadata = {"resourceVersion": str(self.store.version)}
        version, kind = KINDS[resource]
        return JSONResponse({"apiVersion": version, "kind": f"{kind}List", "metadata": metadata, "items": items})

    def _watch(self, request: Request, resource: str, fits: Callable[[Json], bool]) -> Response:
        text = request.query_params.get("resourceVersion", "")
        if text and not text.isdecimal():
            raise Refused(500, "InternalError", f'strconv.ParseUint: parsing "{text}": invalid syntax')
        seconds = float(request.query_params.get("timeoutSeconds", 1800))
        bookmarks = request.query_params.get("allowWatchBookmarks") in ("true", "True", "1")
        since = int(text or 0)
        watch = Watch(self.cluster, resource, fits, since=since, seconds=seconds, bookmarks=bookmarks)
        return StreamingResponse(watch.lines(), media_type="application/json")


@dataclass
class Watch:
    """One open watch."""

    cluster: "Cluster"
    resource: str
    fits: Callable[[Json], bool]
    since: int  # 0 = from now on, after what there is
    seconds: float
    bookmarks: bool

    async def lines(self) -> AsyncIterator[bytes]:
        """The events, one JSON document per line."""
        store, faults = self.cluster.store, self.cluster.faults
        end, generation = time.monotonic() + self.seconds, faults.watch_generation
        if 0 < self.since < store.oldest:
            yield _line("ERROR", answers.expired(self.since, store.oldest))
            return
        if not self.since:
            self.since = store.version
            for document in store.all(self.resource):
                if self.fits(document):
                    yield _line("ADDED", document)
        last_said = time.monotonic()
        while time.monotonic() < end and generation == faults.watch_generation and not faults.closing:
            for line in [] if faults.silent_watches else self._news(time.monotonic() - last_said):
                last_said = time.monotonic()
                yield line
            await self.cluster.changed(min(0.25, max(0.0, end - time.monotonic())))

    def _news(self, quiet_seconds: float) -> list[bytes]:
        found = []
        for change in self.cluster.store.since(self.resource, self.since):
            self.since = change.version
            if self.fits(change.object):
                found.append(_line(change.type, change.object))
        if not found and self.bookmarks and quiet_seconds >= self.cluster.bookmark_seconds:
            found.append(self._bookmark())
        return found

    def _bookmark(self) -> bytes:
        """A sign of life with the version reached; a version from the future stays silent otherwise."""
        version, kind = KINDS[self.resource]
        self.since = max(self.since, self.cluster.store.version)
        metadata = {"resourceVersion": str(self.since), "creationTimestamp": None}
        return _line("BOOKMARK", {"kind": kind, "apiVersion": version, "metadata": metadata})


def _line(kind: str, document: Json) -> bytes:
    return json.dumps({"type": kind, "object": document}).encode() + b"\n"


def _with_job_labels(job: Json, namespace: str) -> Json:
    """What the server adds to a Job and its template: the labels that its controller selects pods by."""
    job = copy.deepcopy(job)
    controller_uid = str(uuid.uuid4())
    job["metadata"] |= {"namespace": namespace}
    template = job["spec"]["template"].setdefault("metadata", {})
    added = {
        "job-name": job["metadata"]["name"],
        "batch.kubernetes.io/job-name": job["metadata"]["name"],
        "controller-uid": controller_uid,
        "batch.kubernetes.io/controller-uid": controller_uid,
    }
    for metadata in (job["metadata"], template):
        metadata["labels"] = {**(metadata.get("labels") or {}), **added}
    job["metadata"].setdefault("creationTimestamp", now())
    job["status"] = {}
    return job

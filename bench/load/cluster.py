"""`python -m bench.load.cluster`: a stand-in for a Kubernetes API server that carries thousands of Jobs itself.

Started by the figures as a process of its own. Every answer takes --latency seconds; every Job gets a pod whose
executor (bench/load/executors.py) works over the real protocol. tests/fakes/kubernetes_api.py is the exact
stand-in; this one knows no errors, no deletion of what runs, no second pod, and is made to be no bottleneck.
"""

import argparse
import asyncio
import contextlib
import json
import os
import time
import uuid
from collections import deque
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import uvloop

from bench.load import wire
from bench.load.executors import LoadExecutors
from common import environment, job_data

Json = dict[str, Any]

#: From the create of a Job until its executor claims; a real pod takes a second or more.
POD_START_SECONDS = 0.02
HISTORY = 4000
STATUS_PATH = "/bench/status"
TIMES_PATH = "/bench/times"
GATE_PATH = "/bench/gate"


class Resource:
    """The objects of one kind and whoever watches them."""

    def __init__(self, kind: str, api_version: str) -> None:
        self.kind, self.api_version = kind, api_version
        self.objects: dict[str, bytes] = {}
        self.watchers: set[asyncio.StreamWriter] = set()
        self.history: deque[tuple[int, bytes]] = deque(maxlen=HISTORY)


class Cluster:
    """The stand-in; all times are on the monotonic clock, which processes of one machine share."""

    def __init__(self, latency: float, secret: str, *, carries: bool = True) -> None:
        self._latency = latency
        self._carries = carries
        self._version = 0
        self._jobs = Resource("Job", "batch/v1")
        self._pods = Resource("Pod", "v1")
        self.executors = LoadExecutors(secret)
        self.created_times: list[float] = []
        self.ended = 0
        self.repeated = 0  # creates of a name that was there
        self._running: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, to its end."""
        try:
            while True:
                request = await wire.read_message(reader)
                method, target, _ = request.first.split(" ")
                url = urlsplit(target)
                query = {name: values[-1] for name, values in parse_qs(url.query).items()}
                if query.get("watch"):
                    await self._watch(self._resource(url.path), query, reader, writer)
                    return
                writer.write(await self._answer(method, url.path, query, request.body))
        except (OSError, EOFError):
            pass  # the other side has gone
        finally:
            with contextlib.suppress(OSError):
                writer.close()

    async def _answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> bytes:
        if path.startswith("/bench/"):
            return wire.answer(200, self._asked(path, query))
        await asyncio.sleep(self._latency)
        if method == "POST":
            return self._create(orjson.loads(body))
        if "/events" in path:
            return wire.answer(200, b'{"kind":"EventList","metadata":{"resourceVersion":"1"},"items":[]}')
        resource = self._resource(path)
        name = path.rpartition("/")[2]
        if name in {"jobs", "pods"}:
            return wire.answer(200, self._list(resource, query))
        if method == "DELETE" and (found := resource.objects.pop(name, None)):
            self._tell(resource, "DELETED", orjson.loads(found))
            return wire.answer(200, found)
        found = resource.objects.get(name)
        return wire.answer(200, found) if found else wire.answer(404, _status(404, "NotFound"))

    def _asked(self, path: str, query: dict[str, str]) -> bytes:
        """What the figures ask: counts, times, and holding the executors."""
        if path == GATE_PATH:
            gate = self.executors.gate
            gate.set() if query["open"] == "1" else gate.clear()
        if path == TIMES_PATH:
            return orjson.dumps({"created": self.created_times, "finished": self.executors.finished_times})
        executors = self.executors
        counts = {"created": len(self.created_times), "repeated": self.repeated, "ended": self.ended}
        counts |= {"claimed": executors.claimed, "refused": executors.refused}
        return orjson.dumps(counts | {"finished": len(executors.finished_times)})

    def _create(self, job: Json) -> bytes:
        name = job["metadata"]["name"]
        if name in self._jobs.objects:
            self.repeated += 1
            return wire.answer(409, _status(409, "AlreadyExists"))
        self.created_times.append(time.monotonic())
        job["metadata"] |= {"uid": str(uuid.uuid4()), "creationTimestamp": _now()}
        job["status"] = {}
        stored = self._keep(self._jobs, "ADDED", job)
        if self._carries:
            task = asyncio.create_task(self._carry(job))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return wire.answer(201, stored)

    async def _carry(self, job: Json) -> None:
        """What a Job controller and a kubelet make of a Job."""
        pod = _pod_of(job)
        self._keep(self._pods, "ADDED", pod)
        await asyncio.sleep(POD_START_SECONDS)
        pod["status"] = {"phase": "Running", "startTime": _now(), "containerStatuses": [_container("running", {})]}
        self._keep(self._pods, "MODIFIED", pod)
        job["status"] = {"active": 1, "ready": 1, "startTime": _now()}
        self._keep(self._jobs, "MODIFIED", job)
        variables = pod["spec"]["containers"][0]["env"]
        encoded = next(entry["value"] for entry in variables if entry["name"] == environment.JOB_DATA)
        await self.executors.carry_out(job_data.decode(encoded))
        end = {"exitCode": 0, "reason": "Completed", "finishedAt": _now()}
        pod["status"] |= {"phase": "Succeeded", "containerStatuses": [_container("terminated", end)]}
        self._keep(self._pods, "MODIFIED", pod)
        complete = {"type": "Complete", "status": "True", "reason": "CompletionsReached", "lastTransitionTime": _now()}
        job["status"] = {"succeeded": 1, "startTime": job["status"]["startTime"], "completionTime": _now()}
        job["status"]["conditions"] = [complete]
        self._keep(self._jobs, "MODIFIED", job)
        self.ended += 1

    def _keep(self, resource: Resource, change: str, item: Json) -> bytes:
        self._version += 1
        item["metadata"]["resourceVersion"] = str(self._version)
        stored = orjson.dumps({"kind": resource.kind, "apiVersion": resource.api_version, **item})
        resource.objects[item["metadata"]["name"]] = stored
        self._tell(resource, change, item)
        return stored

    def _tell(self, resource: Resource, change: str, item: Json) -> None:
        line = orjson.dumps({"type": change, "object": item}) + b"\n"
        chunk = b"%x\r\n%b\r\n" % (len(line), line)
        resource.history.append((int(item["metadata"]["resourceVersion"]), chunk))
        for writer in resource.watchers:
            writer.write(chunk)

    async def _watch(
        self, resource: Resource, query: dict[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        since = int(query.get("resourceVersion") or 0)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        history = resource.history
        if len(history) == HISTORY and history[0][0] > since + 1:
            line = orjson.dumps({"type": "ERROR", "object": json.loads(_status(410, "Expired"))}) + b"\n"
            writer.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(line), line))
            return
        for version, chunk in history:
            if version > since:
                writer.write(chunk)
        resource.watchers.add(writer)
        try:
            async with asyncio.timeout(float(query.get("timeoutSeconds") or 300)):
                await reader.read(1)  # nothing more is sent: it returns when the other side goes
        except TimeoutError:
            writer.write(b"0\r\n\r\n")
        finally:
            resource.watchers.discard(writer)

    def _list(self, resource: Resource, query: dict[str, str]) -> bytes:
        names = list(resource.objects)
        begin, size = int(query.get("continue") or 0), int(query.get("limit") or len(names) or 1)
        items = b",".join(resource.objects[name] for name in names[begin : begin + size])
        more = str(begin + size) if begin + size < len(names) else ""
        head = f'{{"kind":"{resource.kind}List","apiVersion":"{resource.api_version}","metadata":'
        metadata = json.dumps({"resourceVersion": str(self._version), "continue": more})
        return f'{head}{metadata},"items":['.encode() + items + b"]}"

    def _resource(self, path: str) -> Resource:
        return self._pods if "/pods" in path else self._jobs


def _pod_of(job: Json) -> Json:
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job["metadata"]["name"], "uid": job["metadata"]["uid"]}
    metadata = dict(job["spec"]["template"]["metadata"])
    metadata |= {"name": f"{owner['name']}-x", "namespace": job["metadata"]["namespace"], "uid": str(uuid.uuid4())}
    metadata |= {"ownerReferences": [owner | {"controller": True}], "creationTimestamp": _now()}
    return {"metadata": metadata, "spec": job["spec"]["template"]["spec"], "status": {"phase": "Pending"}}


def _container(state: str, about: Json) -> Json:
    return {"name": "executor", "state": {state: about}, "ready": state == "running", "restartCount": 0}


def _status(code: int, reason: str) -> bytes:
    return orjson.dumps({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code})


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


async def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--latency", type=float, default=0.005, help="seconds before each answer")
    parser.add_argument("--no-executors", action="store_true", help="Jobs are kept and nobody carries them out")
    options = parser.parse_args()
    secret = os.environ[environment.INTERNAL_SECRET]
    cluster = Cluster(options.latency, secret, carries=not options.no_executors)
    server = await asyncio.start_server(cluster.serve, "127.0.0.1", 0, limit=1 << 20, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_main())

"""A stand-in for the API's executor routes over real HTTP, with a switch for each way an API can fail.

Honest to common/executor_api.py: proof, nonce, offsets, serials and tokens are checked as the API checks
them. Used by the executor's and the launchers' tests.
"""

import hashlib
import json
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from common import executor_api
from common.executor_api import CancelKind, ClaimAnswer, HeartbeatAnswer, Refusal
from common.job_data import JobData
from common.step_report import StepReport, from_json

SECRET = "the-installation-secret-0123456789"


@dataclass
class FakeStep:
    """One attempt of one step as the stand-in keeps it."""

    job: JobData
    answer: ClaimAnswer
    configuration: bytes = b""
    state: bytes | None = None
    nonce: str | None = None
    claims: int = 0
    log: bytearray = field(default_factory=bytearray)
    states: list[tuple[int, bytes, bool]] = field(default_factory=list)  # serial, bytes, final
    artifacts: dict[str, bytes] = field(default_factory=dict)
    reports: list[StepReport] = field(default_factory=list)
    cancel: CancelKind | None = None
    refusal: Refusal | None = None  # answer everything with it
    refuse_state: bool = False
    engine: tuple[str, bytes] | None = None  # version and archive that it is offered

    @property
    def report(self) -> StepReport:
        """The one report."""
        assert self.reports, f"no report; log: {bytes(self.log)!r}"
        return self.reports[0]


@dataclass
class Fault:
    """Something that goes wrong with the next `times` calls of an endpoint."""

    endpoint: str
    kind: str  # drop_request, drop_answer, or a status code
    times: int = 1
    seen: int = 0


class RefusalAnswer(Exception):  # noqa: N818 - an answer, not an error of this module
    """Answer with a refusal."""

    def __init__(self, status: int, code: Refusal, **more: Any) -> None:
        super().__init__(code)
        self.status = status
        self.body = {"code": code.value, "message": f"refused: {code}", **more}


class _BrokenOffError(Exception):
    """The answer ended before its end."""


class FakeExecutorApi:
    """Serves steps until closed; everything it was told can be looked at from the test."""

    def __init__(self, secret: str = SECRET, tls: ssl.SSLContext | None = None) -> None:
        self.secret = secret
        self.steps: dict[str, FakeStep] = {}
        self.faults: list[Fault] = []
        self.away = False  # every connection is cut without an answer
        self.requests: list[tuple[str, str]] = []
        self.undelivered: list[int] = []  # what heartbeats have said, also those that met a fault
        self.changed = threading.Condition()
        self.ranges: list[str] = []  # what was asked of archives
        self.stalled = False  # archives stop in the middle, for as long as this is so
        self._server = _Server(("127.0.0.1", 0), _Exchange)
        self._server.api = self
        self._scheme = "https" if tls else "http"
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}"

    def add(self, step: FakeStep) -> FakeStep:
        """Serve this step from now on."""
        self.steps[step.job.step_id] = step
        return step

    def fault(self, endpoint: str, kind: str, times: int = 1) -> Fault:
        """Let something go wrong with the next calls of an endpoint."""
        fault = Fault(endpoint, kind, times)
        self.faults.append(fault)
        return fault

    def is_away(self) -> bool:
        """Whether it is away by now."""
        return self.away

    def notify(self) -> None:
        """Something changed: wake long-polls and waiting tests."""
        with self.changed:
            self.changed.notify_all()

    def close(self) -> None:
        """Stop serving."""
        self.away = True
        self.notify()
        self._server.shutdown()
        self._server.server_close()

    def take_fault(self, endpoint: str) -> Fault | None:
        """The fault that this call meets, used up by one."""
        for fault in self.faults:
            if fault.endpoint == endpoint and fault.seen < fault.times:
                fault.seen += 1
                return fault
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    api: FakeExecutorApi


class _Exchange(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_PUT = do_GET  # noqa: N815 - the base class's convention

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        api = self.server.api
        url = urlsplit(self.path)
        step_id, _, rest = url.path.removeprefix(executor_api.PREFIX + "/").partition("/")
        endpoint = rest.partition("/")[0]
        if endpoint == executor_api.HEARTBEAT:
            api.undelivered.append(int(parse_qs(url.query).get("undelivered", ["0"])[0]))
        fault = api.take_fault(endpoint)
        if api.away or (fault and fault.kind == "drop_request"):
            self.close_connection = True
            return
        if fault and fault.kind.isdecimal():
            self._answer(int(fault.kind), b"an error page, no JSON")
            return
        api.requests.append((self.command, rest))
        try:
            status, answer = self._route(api, step_id, rest, parse_qs(url.query), body)
        except _BrokenOffError:
            self.close_connection = True
            return
        except RefusalAnswer as refusal:
            status, answer = refusal.status, json.dumps(refusal.body).encode()
        api.notify()
        if api.is_away() or (fault and fault.kind == "drop_answer"):
            self.close_connection = True
            return
        self._answer(status, answer)

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if status != 204:
            self.wfile.write(body)
        self.wfile.flush()

    def _route(
        self, api: FakeExecutorApi, step_id: str, rest: str, query: dict[str, list[str]], body: bytes
    ) -> tuple[int, bytes]:
        step = api.steps.get(step_id)
        if step is None:
            raise RefusalAnswer(404, Refusal.UNKNOWN)
        if step.refusal is not None:
            raise RefusalAnswer(409, step.refusal)
        if rest == executor_api.CLAIM:
            return self._claim(api, step, body)
        if self.headers.get("Authorization") != f"Bearer {step.answer.token}":
            raise RefusalAnswer(404, Refusal.UNKNOWN)
        routes: dict[str, Callable[[], tuple[int, bytes]]] = {
            executor_api.HEARTBEAT: lambda: self._heartbeat(api, step, float(query["wait"][0])),
            executor_api.LOG: lambda: _append_log(step, int(query["offset"][0]), body),
            executor_api.FINISH: lambda: _finish(step, body),
            executor_api.CONFIGURATION: lambda: (200, step.configuration),
            executor_api.STATE: lambda: self._state(step, body),
            executor_api.ENGINE: lambda: _offer(step),
        }
        if rest == executor_api.ENGINE_ARCHIVE and step.engine:
            return self._archive(api, step.engine[1])
        return routes.get(rest, lambda: self._artifact(step, rest.partition("/")[2], body))()

    def _archive(self, api: FakeExecutorApi, content: bytes) -> tuple[int, bytes]:
        """The archive from the byte that is asked for, as the answer's end; in the middle it may stall or break off."""
        wanted = self.headers.get("Range", "")
        api.ranges.append(wanted)
        begun = int(wanted.removeprefix("bytes=").removesuffix("-") or 0)
        fault = api.take_fault(executor_api.ENGINE_ARCHIVE)
        if not fault and not api.stalled:
            return (206 if begun else 200), content[begun:]
        self.send_response(206 if begun else 200)
        self.send_header("Content-Length", str(len(content) - begun))
        self.end_headers()
        self.wfile.write(content[begun : begun + len(content) // 3])
        self.wfile.flush()
        with api.changed:
            while api.stalled and not api.away:
                api.changed.wait(0.2)
        raise _BrokenOffError

    def _claim(self, api: FakeExecutorApi, step: FakeStep, body: bytes) -> tuple[int, bytes]:
        request = executor_api.claim_request_from_json(json.loads(body))
        proof = executor_api.claim_proof(
            api.secret, step_id=step.job.step_id, attempt=request.attempt, claim=request.claim, nonce=request.nonce
        )
        if self.headers.get(executor_api.PROOF_HEADER) != proof or request.claim != step.job.claim:
            raise RefusalAnswer(404, Refusal.UNKNOWN)
        if step.nonce is not None and step.nonce != request.nonce:
            raise RefusalAnswer(409, Refusal.CLAIMED)
        step.nonce = request.nonce
        step.claims += 1
        return 200, json.dumps(step.answer.to_json()).encode()

    def _heartbeat(self, api: FakeExecutorApi, step: FakeStep, wait: float) -> tuple[int, bytes]:
        end = time.monotonic() + wait
        with api.changed:
            while step.cancel is None and step.refusal is None and not api.away and time.monotonic() < end:
                api.changed.wait(0.2)
        if step.refusal is not None:
            raise RefusalAnswer(409, step.refusal)
        return 200, json.dumps(HeartbeatAnswer(cancel=step.cancel).to_json()).encode()

    def _state(self, step: FakeStep, body: bytes) -> tuple[int, bytes]:
        if self.command == "GET":
            return (204, b"") if step.state is None else (200, step.state)
        if step.refuse_state:
            raise RefusalAnswer(409, Refusal.STATE_CONFLICT)
        document = json.loads(body)
        serial = int(self.headers[executor_api.SERIAL_HEADER])
        fits = (
            document["serial"] == serial
            and document["lineage"] == self.headers[executor_api.LINEAGE_HEADER]
            and hashlib.md5(body, usedforsecurity=False).hexdigest() == self.headers[executor_api.MD5_HEADER]
        )
        known = {old: data for old, data, _ in step.states}
        if not fits or known.get(serial, body) != body or serial < max(known, default=0):
            raise RefusalAnswer(409, Refusal.STATE_CONFLICT)
        step.states.append((serial, body, self.headers.get(executor_api.FINAL_HEADER) == "true"))
        return 200, b"{}"

    def _artifact(self, step: FakeStep, name: str, body: bytes) -> tuple[int, bytes]:
        if self.command == "GET":
            if name not in step.artifacts:
                raise RefusalAnswer(404, Refusal.UNKNOWN)
            return 200, step.artifacts[name]
        if hashlib.sha256(body).hexdigest() != self.headers[executor_api.SHA256_HEADER]:
            raise RefusalAnswer(422, Refusal.BAD_REQUEST)
        step.artifacts[name] = body
        return 200, b"{}"


def _offer(step: FakeStep) -> tuple[int, bytes]:
    if step.engine is None:
        raise RefusalAnswer(409, Refusal.ENGINE_UNAVAILABLE)
    version, content = step.engine
    offer = {"version": version, "sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    return 200, json.dumps(offer).encode()


def _finish(step: FakeStep, body: bytes) -> tuple[int, bytes]:
    step.reports.append(from_json(json.loads(body)))
    return 200, b"{}"


def _append_log(step: FakeStep, offset: int, body: bytes) -> tuple[int, bytes]:
    if offset > len(step.log):
        raise RefusalAnswer(409, Refusal.GAP, expected=len(step.log))
    new = body[len(step.log) - offset :]
    step.log.extend(new)
    return 200, json.dumps({"next": len(step.log)}).encode()

"""The executor's side of the protocol in common/executor_api.py, over http.client.

One kept connection per thread. A method makes one attempt (two when a kept connection turns out to be
closed): repeating is the business of delivery.py. Raises UnavailableError or RefusedError, nothing else.
"""

import http.client
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, urlsplit

from common import environment, executor_api, json_fields, step_report
from common.errors import BadInputError
from common.executor_api import ClaimAnswer, ClaimRequest, HeartbeatAnswer, HeartbeatRequest, Refusal
from common.git_source import Commit
from common.step_report import StepReport
from executor.errors import RefusedError, SettingsError, UnavailableError

_TIMEOUT_SECONDS = 30.0
_JSON = "application/json"
_BYTES = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the API that is no refusal."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class OfferedEngine:
    """An engine's archive that the API has."""

    version: str
    sha256: str
    size: int


Body = bytes | IO[bytes]


class ApiClient:
    """Calls of one step. `token` is set once the step is claimed and stays in this object's memory."""

    def __init__(self, api_url: str, step_id: str, ca_file: Path | None = None) -> None:
        url = urlsplit(api_url)
        if url.scheme not in {"http", "https"} or not url.hostname:
            raise BadInputError("apiUrl", f"is {api_url!r}; it must begin with http:// or https:// and name a host")
        self._host, self._port, self._base = url.hostname, url.port, url.path.rstrip("/")
        self._tls = _tls_context(ca_file) if url.scheme == "https" else None
        self._step_id = step_id
        self._kept = threading.local()
        self.token = ""

    def claim(self, request: ClaimRequest, proof: str) -> ClaimAnswer:
        """Claim the step; a repeat with the same nonce gets the same answer."""
        answer = self._call("POST", executor_api.CLAIM, _encoded(request.to_json()), {executor_api.PROOF_HEADER: proof})
        return executor_api.claim_answer_from_json(_document(answer))

    def configuration(self) -> bytes:
        """The configuration as tar.gz."""
        return self._call("GET", executor_api.CONFIGURATION).body

    def put_configuration(self, data: bytes, sha256: str) -> None:
        """Make a checkout the run's configuration."""
        headers = {executor_api.SHA256_HEADER: sha256, "Content-Type": _BYTES}
        self._call("PUT", executor_api.CONFIGURATION, data, headers)

    def put_commit(self, commit: Commit) -> None:
        """Tell which commit the run works on."""
        self._call("PUT", executor_api.COMMIT, _encoded(commit.to_json()))

    def state(self) -> bytes | None:
        """The workspace's current state, None when there is none."""
        answer = self._call("GET", executor_api.STATE)
        return None if answer.status == 204 else answer.body

    def put_state(self, data: bytes, *, serial: int, lineage: str, md5: str, final: bool) -> None:
        """Make these bytes the workspace's next state version."""
        headers = {
            executor_api.SERIAL_HEADER: str(serial),
            executor_api.LINEAGE_HEADER: lineage,
            executor_api.MD5_HEADER: md5,
            "Content-Type": _JSON,
        }
        if final:
            headers[executor_api.FINAL_HEADER] = "true"
        self._call("PUT", executor_api.STATE, data, headers)

    def append_log(self, offset: int, data: bytes) -> int:
        """Append to the log at an offset; the offset to go on at."""
        answer = self._call("POST", f"{executor_api.LOG}?offset={offset}", data, {"Content-Type": _BYTES})
        following = _document(answer).get("next")
        return following if isinstance(following, int) else offset + len(data)

    def heartbeat(self, request: HeartbeatRequest) -> HeartbeatAnswer:
        """Wait for a cancel, at the most as long as the request says."""
        query = "&".join(f"{name}={value}" for name, value in request.to_query().items())
        answer = self._call("GET", f"{executor_api.HEARTBEAT}?{query}", timeout=request.wait_seconds + _TIMEOUT_SECONDS)
        return executor_api.heartbeat_answer_from_json(_document(answer))

    def artifact(self, name: str) -> Answer:
        """What an earlier step of the run left under this name."""
        return self._call("GET", f"{executor_api.ARTIFACTS}/{name}")

    def put_artifact(self, name: str, body: Body, *, size: int, sha256: str) -> None:
        """Store bytes, or a file read from its beginning, under this name."""
        headers = {executor_api.SHA256_HEADER: sha256, "Content-Length": str(size), "Content-Type": _BYTES}
        self._call("PUT", f"{executor_api.ARTIFACTS}/{name}", body, headers)

    def engine(self, platform: str) -> OfferedEngine | None:
        """An engine that fits the step; None while the API fetches it."""
        try:
            answer = self._call("GET", f"{executor_api.ENGINE}?platform={platform}")
        except UnavailableError as error:
            if error.status != 404:
                raise
            raise RefusedError(Refusal.ENGINE_UNAVAILABLE, "the API is too old to serve engines") from error
        if answer.status == 202:
            return None
        document = _document(answer)
        return OfferedEngine(
            version=json_fields.required(document, "version", str),
            sha256=json_fields.required(document, "sha256", str),
            size=json_fields.required(document, "size", int),
        )

    def engine_archive(self, offered: OfferedEngine, platform: str, target: Path) -> None:
        """Bring a file to the whole archive, going on where it ends; what arrived stays when it breaks off."""
        begun = target.stat().st_size if target.exists() else 0
        if begun >= offered.size:
            return
        path = f"{executor_api.ENGINE_ARCHIVE}?version={quote(offered.version)}&platform={platform}"
        connection = self._new_connection(_TIMEOUT_SECONDS)  # of its own: a broken transfer spoils it
        headers = {"Authorization": f"Bearer {self.token}", "Range": f"bytes={begun}-"}
        try:
            with _as_outage(f"GET {path}"):
                connection.request("GET", self._base + executor_api.step_path(self._step_id, path), headers=headers)
                response = connection.getresponse()
                if response.status not in {200, 206}:
                    _accepted(Answer(response.status, dict(response.headers), response.read()), f"GET {path}")
            with target.open("ab" if response.status == 206 else "wb") as file:
                while data := _next(response, f"GET {path}"):
                    file.write(data)
        finally:
            connection.close()
        if target.stat().st_size < offered.size:
            raise UnavailableError(f"GET {path}: the answer ended early")

    def finish(self, report: StepReport) -> None:
        """Deliver the finish report."""
        self._call("POST", executor_api.FINISH, _encoded(step_report.to_json(report)))

    def close(self) -> None:
        """Close this thread's connection."""
        connection = getattr(self._kept, "connection", None)
        if connection is not None:
            connection.close()
            self._kept.connection = None

    def _call(
        self,
        method: str,
        endpoint: str,
        body: Body = b"",
        headers: Mapping[str, str] | None = None,
        timeout: float = _TIMEOUT_SECONDS,
    ) -> Answer:
        path = self._base + executor_api.step_path(self._step_id, endpoint)
        everything = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        if method != "GET":
            everything["Content-Type"] = _JSON
        everything.update(headers or {})
        try:
            answer = self._exchange(method, path, body, everything, timeout)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise UnavailableError(f"{method} {endpoint}: {type(error).__name__} {error}") from error
        return _accepted(answer, f"{method} {endpoint}")

    def _exchange(self, method: str, path: str, body: Body, headers: Mapping[str, str], timeout: float) -> Answer:
        kept = getattr(self._kept, "connection", None) is not None
        try:
            return self._once(method, path, body, headers, timeout)
        except (ConnectionError, http.client.RemoteDisconnected):
            self.close()
            if not kept:
                raise
            return self._once(method, path, body, headers, timeout)  # the server had closed the kept connection

    def _once(self, method: str, path: str, body: Body, headers: Mapping[str, str], timeout: float) -> Answer:
        connection = self._connection(timeout)
        if not isinstance(body, bytes):
            body.seek(0)
        try:
            connection.request(method, path, body=body or None, headers=dict(headers))
        except BrokenPipeError:
            pass  # the API stopped reading a large body: its answer says why
        response = connection.getresponse()
        data = response.read()
        return Answer(response.status, dict(response.getheaders()), data)

    def _connection(self, timeout: float) -> http.client.HTTPConnection:
        connection: http.client.HTTPConnection | None = getattr(self._kept, "connection", None)
        if connection is None:
            connection = self._new_connection(timeout)
            self._kept.connection = connection
        connection.timeout = timeout
        if connection.sock is not None:
            connection.sock.settimeout(timeout)
        return connection

    def _new_connection(self, timeout: float) -> http.client.HTTPConnection:
        if self._tls is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=timeout, blocksize=1 << 16)
        return http.client.HTTPSConnection(
            self._host, self._port, timeout=timeout, blocksize=1 << 16, context=self._tls
        )


@contextmanager
def _as_outage(what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, http.client.HTTPException) as error:
        raise UnavailableError(f"{what}: {type(error).__name__} {error}") from error


def _next(response: http.client.HTTPResponse, what: str) -> bytes:
    with _as_outage(what):
        return response.read(1 << 16)


def _accepted(answer: Answer, what: str) -> Answer:
    """The answer when it is a success; else the error that it stands for.

    Only a refusal in the protocol's own words ends anything: a 404 of some proxy is an outage like another.
    """
    if 200 <= answer.status < 300:
        return answer
    document = _error_document(answer.body)
    expected = document.get("expected")
    code = _refusal(document.get("code")) or (Refusal.GAP if isinstance(expected, int) else None)
    if 400 <= answer.status < 500 and code is not None:
        text = document.get("message") or document.get("detail") or ""
        raise RefusedError(code, str(text), expected if isinstance(expected, int) else None)
    if answer.status in {400, 413, 422}:
        raise RefusedError(Refusal.BAD_REQUEST, f"{what} was answered with {answer.status}")
    raise UnavailableError(f"{what} was answered with {answer.status}", _retry_after(answer.headers), answer.status)


def _error_document(body: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _refusal(word: object) -> Refusal | None:
    try:
        return Refusal(str(word))
    except ValueError:
        return None


def _retry_after(headers: Mapping[str, str]) -> float:
    text = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
    return float(text) if text.isdecimal() else 0.0


def _document(answer: Answer) -> Mapping[str, Any]:
    try:
        document = json.loads(answer.body)
    except ValueError as error:
        raise UnavailableError("the answer is no JSON: something between the executor and the API spoke") from error
    if not isinstance(document, dict):
        raise UnavailableError("the answer is no JSON object")
    return document


def _encoded(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _tls_context(ca_file: Path | None) -> Any:
    import ssl  # costs 20 ms and is not needed for http

    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=ca_file)
        except OSError as error:  # ssl's own errors are some, too
            raise SettingsError(f"{environment.CA_FILE}: {ca_file} holds no certificates ({error})") from error
    return context

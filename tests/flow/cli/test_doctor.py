"""`podform doctor` with all well and with each thing broken."""

import json
import shutil
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.fakes.kubernetes_api import Cluster
from tests.flow.cli.conftest import Podform
from tests.flow.server import ApiProcess
from tests.flow.test_kubernetes_mode import ROLE, settings


def _examined(podform: Podform, **environment: str) -> tuple[int, dict[str, dict[str, Any]]]:
    code, out, said = podform("doctor", "--json", environment=environment)
    assert "Traceback" not in said
    return code, {each["name"]: each for each in json.loads(out)}


def _failed(found: dict[str, dict[str, Any]]) -> list[str]:
    return [name for name, each in found.items() if each["status"] == "failed"]


def test_all_is_well(podform: Podform) -> None:
    """Every part says ok, to people and as JSON, and the exit code is 0."""
    code, found = _examined(podform)
    assert (code, _failed(found)) == (0, [])
    assert {"settings", "API", "clock", "version", "database", "store", "disk", "engines"} <= set(found)
    code, out, _ = podform("doctor")
    assert (code, b"ok       database: " in out) == (0, True)


def test_without_an_api_it_says_what_to_try(podform: Podform, tmp_path: Path) -> None:
    """An API that is away, a wrong token, no token at all and a token of one organization: each is named."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nowhere = f"http://127.0.0.1:{taken.getsockname()[1]}"
    code, found = _examined(podform, PODFORM_URL=nowhere)
    assert (code, _failed(found), "podform serve" in found["API"]["advice"]) == (6, ["API"], True)
    code, found = _examined(podform, PODFORM_TOKEN="wrong")
    assert (code, _failed(found)) == (7, ["API"])
    code, found = _examined(podform, PODFORM_TOKEN="", XDG_CONFIG_HOME=str(tmp_path))
    assert (code, _failed(found)) == (2, ["settings"])


def test_a_broken_store_is_named(own_server: ApiProcess) -> None:
    """With the artifacts' directory gone for a file the store fails, the rest goes on, and the exit code is 8."""
    artifacts = own_server.data_dir / "artifacts"
    shutil.rmtree(artifacts, ignore_errors=True)
    artifacts.write_text("")
    code, found = _examined(Podform(own_server, "acme"))
    assert (code, _failed(found)) == (8, ["store"])


def test_a_broken_database_is_named(own_server: ApiProcess) -> None:
    """A database whose tables are gone fails, with what to look at."""
    with sqlite3.connect(own_server.data_dir / "podform.db") as database:
        database.execute("ALTER TABLE attempts RENAME TO elsewhere")
    database.close()
    code, found = _examined(Podform(own_server, "acme"))
    assert (code, _failed(found), bool(found["database"]["advice"])) == (8, ["database"], True)


@pytest.fixture
def late(shared_server: ApiProcess) -> Iterator[str]:
    """The API behind a proxy whose clock is an hour late."""

    class Late(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            headers = {"Authorization": self.headers["Authorization"]}
            answer = httpx.get(shared_server.url + self.path, headers=headers, timeout=60, trust_env=False)
            self.send_response_only(answer.status_code)
            self.send_header("Date", self.date_time_string(int(time.time()) - 3600))
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Late)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_wrong_clock_is_named(podform: Podform, late: str) -> None:
    """Clocks that differ by an hour fail with the difference."""
    code, found = _examined(podform, PODFORM_URL=late)
    assert (code, _failed(found)) == (8, ["clock"])
    assert "differ by 3" in found["clock"]["message"]


@pytest.mark.parametrize(("role", "failed", "warned"), [("none", 5, 4), ("Jobs alone", 0, 4), ("everything", 0, 0)])
def test_the_cluster_says_what_the_role_allows(tmp_path: Path, role: str, failed: int, warned: int) -> None:
    """Missing rights on Jobs fail, missing rights on pods and events warn, by the cluster's own word."""
    jobs_only = next(each for each in yaml.safe_load_all(ROLE.read_text()) if each["kind"] == "Role")
    given = {"none": {"rules": []}, "Jobs alone": jobs_only, "everything": None}[role]
    with Cluster(role=given, secrets={"terrakube-executor-secrets": {"InternalSecret": "x" * 40}}) as cluster:
        server = ApiProcess(tmp_path / "data", settings(cluster)).start()
        try:
            code, found = _examined(Podform(server, "acme"))
        finally:
            server.end()
    rights = {name: each["status"] for name, each in found.items() if name.startswith("cluster: ")}
    assert list(rights.values()).count("failed") == failed
    assert list(rights.values()).count("warning") == warned
    assert len(rights) == 9
    assert code == 8  # the API's own address is a loopback one, which no pod reaches
    assert found["executors' way to the API"]["status"] == "failed"

"""The PostgreSQL server itself is crashed and started again while a run is under way."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests import databases
from tests.flow import ledger
from tests.flow.conftest import StartServer


@pytest.fixture
def own_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A PostgreSQL that no other test uses."""
    directory = tempfile.mkdtemp(prefix="pg-", dir="/tmp")
    monkeypatch.setenv("TESTS_POSTGRES_DIRECTORY", directory)
    databases.kind = "postgres"
    databases.start()
    yield
    databases.forget()
    databases.stop()


@pytest.mark.timeout(240)
def test_a_crash_of_the_database_loses_nothing(own_server: None, start_server: StartServer, tmp_path: Path) -> None:
    """In mid-apply, for a while: `/readyz` says so, requests are told to come again, and each line is written once."""
    server = start_server()
    book = tmp_path / "ledger"
    workspace = server.client.make_workspace()
    server.client.upload(workspace, ledger.ledger_configuration(book, count=5, seconds=2), tmp_path / "tf")
    number = server.client.run(workspace)
    server.client.wait(number, lambda job: job["runStatus"] == "applying")
    for _ in range(2):
        written = len(ledger.lines(book))
        while len(ledger.lines(book)) == written:
            time.sleep(0.02)
        databases.crash()
        ready = httpx.get(f"{server.api.url}/readyz", timeout=30)
        assert ready.status_code == 503
        assert ready.json()["parts"]["database"] != "ok"
        refused = server.client.call("GET", server.client.path(f"job/{number}"))
        assert refused.status_code == 503, refused.text
        assert refused.headers["Retry-After"]
        databases.serve()
        until = time.monotonic() + 30
        while httpx.get(f"{server.api.url}/readyz", timeout=30).status_code != 200:
            assert time.monotonic() < until
            time.sleep(0.1)
    assert server.client.finished(number, 120)["runStatus"] == "applied"
    assert ledger.lines(book) == [str(index) for index in range(5)]
    assert len(server.client.state(workspace)["resources"]) == 5

"""The API is killed while a run is under way: nothing is lost, nothing is applied twice."""

import hashlib
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.kubernetes_api import Cluster
from tests.flow import ledger
from tests.flow.conftest import StartServer
from tests.flow.test_kubernetes_mode import SECRET, settings


@pytest.fixture(params=["process", "kubernetes"])
def carrier(request: pytest.FixtureRequest) -> Iterator[tuple[dict[str, str], Path | None]]:
    """The API's settings for a launcher, and where its executors work when that is not below the data directory."""
    if request.param == "process":
        yield {}, None
        return
    with Cluster(secrets={"terrakube-executor-secrets": {"InternalSecret": SECRET}}) as cluster:
        yield settings(cluster), cluster.directory


@pytest.mark.timeout(300)
def test_an_apply_survives_three_crashes_of_the_api(
    carrier: tuple[dict[str, str], Path | None], start_server: StartServer, tmp_path: Path
) -> None:
    """An apply of a minute, kill -9 of the API three times at seeded moments: each line of the ledger once."""
    moments = random.Random(random.randrange(2**32))  # pytest-randomly prints the seed behind it
    server = start_server(carrier[0])
    api, client = server.api, server.client
    book = tmp_path / "ledger"
    workspace = client.make_workspace()
    client.upload(workspace, ledger.ledger_configuration(book, count=15, seconds=4), tmp_path / "tf")
    number = client.run(workspace)
    client.wait(number, lambda job: job["runStatus"] == "applying", 60)

    spooled = link_log(carrier[1] or api.data_dir / "work", client.steps(number)[-1]["id"], tmp_path / "spooled")

    for crash in range(3):
        if crash == 1:  # with a state version in flight: right after a line of the ledger
            written = len(ledger.lines(book))
            while len(ledger.lines(book)) == written:
                time.sleep(0.01)
        else:
            time.sleep(moments.uniform(1, 12))
        api.kill()
        time.sleep(moments.uniform(0.2, 6))
        api.start()

    job = client.finished(number, 200)
    assert job["runStatus"] == "applied", job
    assert ledger.lines(book) == [str(index) for index in range(15)]
    stored = client.log(number, client.steps(number)[-1]["id"])
    assert hashlib.sha256(stored).hexdigest() == hashlib.sha256(spooled.read_bytes()).hexdigest()
    assert len(client.state(workspace)["resources"]) == 15


def link_log(work: Path, step_id: str, target: Path) -> Path:
    """A second name for the file that the executor writes its log to: it is removed when all is delivered."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        for path in work.glob(f"**/{step_id}-1/log"):
            os.link(path, target)
            return target
        time.sleep(0.05)
    raise AssertionError("the executor writes no log")

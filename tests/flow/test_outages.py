"""The network between executors and the API breaks: the executor keeps what it has and delivers it later."""

import time
from pathlib import Path

import pytest

from tests.flow import ledger
from tests.flow.conftest import StartServer
from tests.flow.cut import Relay


@pytest.mark.parametrize(
    "seconds", [20, pytest.param(600, marks=[pytest.mark.slow, pytest.mark.timeout(900)])], ids=["short", "ten-minutes"]
)
def test_an_apply_goes_on_without_the_api(start_server: StartServer, tmp_path: Path, seconds: float) -> None:
    """Cut off in mid-apply until long after terraform has ended: nothing lost, the run is applied."""
    with Relay() as relay:
        server = start_server({"AzBuilderApiUrl": relay.url})
        relay.target_port = server.api.port
        client = server.client
        workspace = client.make_workspace()
        book = tmp_path / "ledger"
        client.upload(workspace, ledger.ledger_configuration(book, count=6, seconds=2), tmp_path / "tf")
        number = client.run(workspace)
        client.wait(number, lambda job: job["runStatus"] == "applying")
        time.sleep(3)
        relay.cut()
        time.sleep(seconds)
        assert len(ledger.lines(book)) == 6
        assert client.job(number)["runStatus"] == "applying"
        relay.mend()

        assert client.finished(number)["runStatus"] == "applied"
        log = client.log(number, client.steps(number)[-1]["id"])
        assert log.count(b"Creation complete") == 6
        assert b"Apply complete! Resources: 6 added" in log
        assert ledger.lines(book) == [str(index) for index in range(6)]
        assert len(client.state(workspace)["resources"]) == 6

"""The artifact store goes away in the middle of an apply and comes back: nothing is lost, nothing is done twice."""

from pathlib import Path

import pytest

from tests import s3_server
from tests.flow import ledger
from tests.flow.conftest import StartServer
from tests.s3_server import S3Server


@pytest.mark.terraform
def test_an_apply_outlives_its_bucket(start_server: StartServer, tmp_path: Path) -> None:
    """States are delivered when the S3 server is back; the run is applied once, with every resource in its state."""
    s3 = S3Server(tmp_path / "s3").start()
    try:
        server = start_server(
            {
                "PODFORM_ARTIFACTS_URL": "s3://bucket/podform",
                "AWS_ENDPOINT_URL": s3.endpoint,
                "AWS_ACCESS_KEY_ID": s3_server.ADMIN_ID,
                "AWS_SECRET_ACCESS_KEY": s3_server.ADMIN_KEY,
            }
        )
        client, book = server.client, tmp_path / "ledger"
        workspace = client.make_workspace()
        client.upload(workspace, ledger.ledger_configuration(book, count=4, seconds=1), tmp_path / "tf")
        number = client.run(workspace)
        client.wait(number, lambda job: job["runStatus"] == "applying" and bool(ledger.lines(book)))
        s3.kill()
        client.wait(number, lambda _: len(ledger.lines(book)) == 4)
        assert client.job(number)["runStatus"] == "applying"
        s3.start()
        assert client.finished(number, 90)["runStatus"] == "applied"
        assert ledger.lines(book) == ["0", "1", "2", "3"]
        assert len(client.state(workspace)["resources"]) == 4
        assert s3_server.ADMIN_KEY not in server.api.output()
        assert not (server.api.data_dir / "artifacts").exists()
    finally:
        s3.kill()

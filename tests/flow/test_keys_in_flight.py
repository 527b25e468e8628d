"""Keys change under a run: the data key by `podform keys rotate`, the master key by a restart."""

import base64
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.flow import ledger
from tests.flow.conftest import StartServer
from tests.flow.server import ADMIN_TOKEN


@pytest.mark.terraform
def test_an_apply_outlives_every_change_of_keys(start_server: StartServer, tmp_path: Path) -> None:
    """The executor's token stays valid, its state is kept, and the command line shows what became of the keys."""
    first, second = (base64.b64encode(letter * 32).decode() for letter in (b"1", b"2"))
    server = start_server({"PODFORM_MASTER_KEY": first})
    client, book = server.client, tmp_path / "ledger"
    workspace = client.make_workspace()
    client.upload(workspace, ledger.ledger_configuration(book, count=4, seconds=1), tmp_path / "tf")
    number = client.run(workspace)
    client.wait(number, lambda job: job["runStatus"] == "applying" and bool(ledger.lines(book)))

    rotated = podform(server.api.url, "keys", "rotate", "--wait")
    assert "everything is sealed with" in rotated.stderr, rotated
    shown = podform(server.api.url, "keys", "show").stdout
    assert len(shown.splitlines()) >= 3, shown

    server.api.stop()
    server.api.settings = {"PODFORM_MASTER_KEY": second, "PODFORM_MASTER_KEY_PREVIOUS": first}
    server.api.start()
    assert client.finished(number)["runStatus"] == "applied"
    assert ledger.lines(book) == ["0", "1", "2", "3"]
    server.api.stop()
    server.api.settings = {"PODFORM_MASTER_KEY": second}
    server.api.start()
    assert len(client.state(workspace)["resources"]) == 4
    for key in (first, second):
        assert key not in server.api.output()


def podform(url: str, *words: str) -> subprocess.CompletedProcess[str]:
    """The command line as an admin uses it."""
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PODFORM_URL": url, "PODFORM_TOKEN": ADMIN_TOKEN}
    command = [sys.executable, "-m", "cli.main", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)

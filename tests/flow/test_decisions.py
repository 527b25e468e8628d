"""People decide: approvals, discards and cancels at every moment, also two of them at once."""

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.flow import ledger
from tests.flow.conftest import Started, StartServer
from tests.flow.server import Client

CLI = "Terraform-Plan/Apply-Cli"


def prepared(server: Started, tmp_path: Path, **configuration: Any) -> str:
    """A workspace with a ledger configuration."""
    workspace = server.client.make_workspace()
    files = ledger.ledger_configuration(tmp_path / "ledger", **configuration)
    server.client.upload(workspace, files, tmp_path / "tf")
    return workspace


def test_of_two_approvals_at_once_one_counts(start_server: StartServer, tmp_path: Path) -> None:
    """Many approve at the same moment: one is taken, the others are told so, and it is applied once."""
    server = start_server()
    client = server.client
    workspace = prepared(server, tmp_path, count=1, seconds=0)
    number = client.run(workspace, CLI)
    client.wait(number, lambda job: job["runStatus"] == "planned")
    answers: list[int] = []

    def approve() -> None:
        own = Client(server.api.url)
        own.organization = client.organization
        answers.append(own.decide(number, "approved").status_code)
        own.http.close()

    threads = [threading.Thread(target=approve) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(answers) == [200, 409, 409, 409, 409, 409]
    assert client.finished(number)["runStatus"] == "applied"
    assert ledger.lines(tmp_path / "ledger") == ["0"]


def test_a_discarded_plan_is_not_applied(start_server: StartServer, tmp_path: Path) -> None:
    """Discarded, the run ends and frees its workspace for the next one."""
    server = start_server()
    client = server.client
    workspace = prepared(server, tmp_path, count=1, seconds=0)
    number = client.run(workspace, CLI)
    following = client.run(workspace, CLI)
    client.wait(number, lambda job: job["runStatus"] == "planned")
    assert client.job(following)["waitingFor"] == f"waiting for run {number}"

    assert client.decide(number, "rejected").is_success

    assert client.job(number)["status"] == "rejected"
    assert client.decide(number, "approved").status_code == 409
    client.wait(following, lambda job: job["runStatus"] == "planned")
    assert ledger.lines(tmp_path / "ledger") == []


@pytest.mark.parametrize("moment", ["pending", "launching", "planning", "planned", "applying"])
def test_cancel_in_every_phase(start_server: StartServer, tmp_path: Path, moment: str) -> None:
    """Canceled at any moment, the run ends as canceled, what was made is in the state, the workspace is free."""
    server = start_server()
    client = server.client
    workspace = client.make_workspace()
    book = tmp_path / "ledger"
    files = ledger.many_and_one_long(book, count=2, long_seconds=60)
    if moment == "planning":
        os.mkfifo(tmp_path / "pipe")
        files["held.tf"] = f'output "held" {{\n  value = file("{tmp_path / "pipe"}")\n}}\n'
    client.upload(workspace, files, tmp_path / "tf")
    number = run_until(server, workspace, moment, book)

    assert client.decide(number, "cancelled").is_success
    assert client.decide(number, "cancelled").status_code in {200, 409}

    job = client.finished(number)
    assert (job["runStatus"], job["status"]) == ("canceled", "cancelled"), job
    if moment == "applying":
        assert len(client.state(workspace)["resources"]) == 2  # the long one is there, tainted
        assert b"Interrupt received" in client.log(number, client.steps(number)[-1]["id"])
        assert b"Two interrupts" not in client.log(number, client.steps(number)[-1]["id"])
    assert "long" not in ledger.lines(book)
    if moment != "pending":
        attributes = client.ok("GET", client.path(f"workspace/{workspace}"))["data"]["attributes"]
        assert attributes["locked"] is False
        following = client.run(workspace, "Plan" if moment == "planning" else CLI)
        client.wait(following, lambda job: job["runStatus"] != "pending")


def run_until(server: Started, workspace: str, moment: str, book: Path) -> str:
    """A run that has come to this moment; its number."""
    client = server.client
    if moment == "pending":
        client.ok("PATCH", client.path(f"workspace/{workspace}"), json=lock(workspace))
    number = client.run(workspace, "Plan and apply" if moment == "applying" else CLI)
    if moment != "launching":
        client.wait(number, lambda job: job["runStatus"] == moment)
    if moment == "applying":
        while len(ledger.lines(book)) < 2:
            time.sleep(0.05)
        time.sleep(0.5)
    return number


def lock(workspace: str) -> dict[str, Any]:
    """The request that locks a workspace."""
    attributes = {"locked": True, "lockDescription": "maintenance"}
    return {"data": {"type": "workspace", "id": workspace, "attributes": attributes}}


def test_cancel_against_finish(start_server: StartServer, tmp_path: Path) -> None:
    """A cancel that meets the end of an apply leaves one terminal state, and what it says is true."""
    server = start_server()
    client = server.client
    workspace = prepared(server, tmp_path, count=1, seconds=0)
    book = tmp_path / "ledger"
    for delay in (0.0, 0.05, 0.1, 0.15, 0.2):
        before = len(ledger.lines(book))
        number = client.run(workspace, "Plan and apply", replaceAddrs=["terraform_data.step_0"])
        client.wait(number, lambda job: job["runStatus"] in {"applying", "applied"})
        time.sleep(delay)
        answer = client.decide(number, "cancelled")
        job = client.finished(number)
        written = len(ledger.lines(book)) - before
        assert written <= 1
        assert answer.status_code in {200, 409}
        assert job["runStatus"] in {"applied", "canceled"}
        if job["runStatus"] == "applied":
            assert written == 1
        assert client.ok("GET", client.path(f"workspace/{workspace}"))["data"]["attributes"]["locked"] is False

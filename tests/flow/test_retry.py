"""Runs that are tried again, on real terraform: whole, and from a step with the plan of the old run."""

from pathlib import Path
from typing import Any

import httpx

from tests.flow import ledger
from tests.flow.conftest import StartServer
from tests.flow.server import Client

CLI = "Terraform-Plan/Apply-Cli"


def retry(client: Client, number: str, **attributes: Any) -> httpx.Response:
    """Ask for it."""
    return client.call(
        "POST", client.path(f"job/{number}/retry"), json={"data": {"type": "job", "attributes": attributes}}
    )


def test_a_discarded_plan_is_applied_once_after_all(start_server: StartServer, tmp_path: Path) -> None:
    """From its approval on: the old plan, its log and its facts are the new run's, and it is applied only once."""
    server = start_server()
    client = server.client
    workspace = client.make_workspace()
    book = tmp_path / "ledger"
    client.upload(workspace, ledger.ledger_configuration(book, count=2, seconds=0), tmp_path / "tf")
    old = client.run(workspace, CLI)
    client.wait(old, lambda job: job["runStatus"] == "planned")
    assert client.decide(old, "rejected").is_success

    refused = retry(client, old, fromStep=170)
    assert (refused.status_code, "100, 150, 200" in refused.text) == (422, True)
    assert retry(client, old, fromStep=200).status_code == 409
    answers = [retry(client, old, fromStep=150, requestId="once") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    number = answers[0].json()["data"]["id"]
    assert answers[1].json()["data"]["id"] == number
    assert retry(client, old, fromStep=150).status_code == 409  # the plan is taken over already

    assert client.wait(number, lambda job: job["runStatus"] == "planned")["retryOf"] == int(old)
    taken, was = client.steps(number)[0], client.steps(old)[0]
    assert (taken["takenOverFrom"], taken["status"]) == (was["id"], "completed")
    assert client.log(number, taken["id"]) == client.log(old, was["id"]) != b""
    assert client.decide(number, "approved").is_success
    assert client.finished(number)["runStatus"] == "applied"
    assert sorted(ledger.lines(book)) == ["0", "1"]
    again = retry(client, old, fromStep=150)
    assert (again.status_code, "applied once" in again.text) == (409, True)


def test_a_plan_that_nobody_approves_expires(start_server: StartServer, tmp_path: Path) -> None:
    """It is discarded with its reason, also when the API was away at the time; the workspace is free again."""
    server = start_server({"PODFORM_APPROVAL_EXPIRY_SECONDS": "4"})
    client = server.client
    workspace = client.make_workspace()
    client.upload(workspace, ledger.ledger_configuration(tmp_path / "ledger", count=1, seconds=0), tmp_path / "tf")
    number = client.run(workspace, CLI)
    client.wait(number, lambda job: job["runStatus"] == "planned")
    assert client.steps(number)[1]["expiresAt"]
    server.api.kill()
    server.api.start()
    job = client.finished(number)
    assert (job["runStatus"], job["message"]) == ("discarded", "nobody approved the plan within 4 s: it was discarded")
    assert client.finished(client.run(workspace, "Plan"))["runStatus"] == "planned_and_finished"


def test_a_failed_run_is_tried_again_with_the_variables_of_now(start_server: StartServer, tmp_path: Path) -> None:
    """The whole run anew, once what was missing is there."""
    client = start_server().client
    workspace = client.make_workspace()
    client.upload(workspace, {"main.tf": 'variable "name" {}\noutput "name" { value = var.name }\n'}, tmp_path / "tf")
    old = client.run(workspace)
    assert client.finished(old)["runStatus"] == "errored"
    client.set_variable(workspace, "name", "there")
    number = retry(client, old, comments="once more").json()["data"]["id"]
    job = client.finished(number)
    assert (job["runStatus"], job["comments"], job["retryOf"]) == ("applied", "once more", int(old))
    assert client.state(workspace)["outputs"]["name"]["value"] == "there"
    assert retry(client, number).status_code == 409

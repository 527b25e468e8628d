"""What a run may be asked for, each held to what terraform then does."""

import time
from pathlib import Path

import pytest

from tests.flow import ledger
from tests.flow.conftest import Started, StartServer

TWO = {
    "main.tf": """
resource "terraform_data" "one" {
  input = "1"
}
resource "terraform_data" "two" {
  input = "2"
}
"""
}


def instances(server: Started, workspace: str) -> dict[str, str]:
    """Resource name -> id, out of the current state."""
    resources = server.client.state(workspace)["resources"]
    return {resource["name"]: resource["instances"][0]["attributes"]["id"] for resource in resources}


def test_targets_and_replacements(start_server: StartServer, tmp_path: Path) -> None:
    """targetAddrs limits a run to them, replaceAddrs makes them anew."""
    server = start_server()
    client = server.client
    workspace = client.make_workspace()
    client.upload(workspace, TWO, tmp_path / "tf")

    client.finished(client.run(workspace, targetAddrs=["terraform_data.one"]))
    assert set(instances(server, workspace)) == {"one"}

    client.finished(client.run(workspace))
    before = instances(server, workspace)
    assert set(before) == {"one", "two"}

    client.finished(client.run(workspace, replaceAddrs=["terraform_data.two"]))
    after = instances(server, workspace)
    assert after["one"] == before["one"]
    assert after["two"] != before["two"]


def test_refresh_only_changes_no_resource(start_server: StartServer, tmp_path: Path) -> None:
    """A refresh-only run without drift is finished after its plan."""
    server = start_server()
    client = server.client
    workspace = client.make_workspace()
    client.upload(workspace, TWO, tmp_path / "tf")
    client.finished(client.run(workspace))
    client.upload(workspace, {"main.tf": 'resource "terraform_data" "three" {}\n'}, tmp_path / "other")

    job = client.finished(client.run(workspace, refreshOnly=True))

    assert job["runStatus"] == "planned_and_finished"
    assert set(instances(server, workspace)) == {"one", "two"}


def test_destroy_in_one_step(start_server: StartServer, tmp_path: Path) -> None:
    """A planned destruction changes nothing; the template Destroy leaves an empty state."""
    client = start_server().client
    workspace = client.make_workspace()
    client.upload(workspace, TWO, tmp_path / "tf")
    client.finished(client.run(workspace))

    planned = client.finished(client.run(workspace, "Plan", isDestroy=True))
    assert (planned["runStatus"], planned["resourceDestructions"]) == ("planned_and_finished", 2)
    assert len(client.state(workspace)["resources"]) == 2

    job = client.finished(client.run(workspace, "Destroy"))

    assert (job["runStatus"], job["resourceDestructions"], job["isDestroy"]) == ("applied", 2, True)
    assert client.state(workspace)["resources"] == []


def test_a_repeated_request_is_one_run(start_server: StartServer, tmp_path: Path) -> None:
    """The same requestId answers with the run that the first request made."""
    client = start_server().client
    workspace = client.make_workspace()
    client.upload(workspace, TWO, tmp_path / "tf")

    numbers = {client.run(workspace, requestId="once") for _ in range(3)}

    assert len(numbers) == 1
    assert client.run(workspace, requestId="twice") not in numbers


def test_plan_only_runs_take_no_workspace(start_server: StartServer, tmp_path: Path) -> None:
    """Beside a run that waits for approval, and under a lock, plan-only runs go on."""
    client = start_server().client
    workspace = client.make_workspace()
    client.upload(workspace, TWO, tmp_path / "tf")
    waiting = client.run(workspace, "Terraform-Plan/Apply-Cli")
    client.wait(waiting, lambda job: job["runStatus"] == "planned")

    assert client.finished(client.run(workspace, "Plan"))["runStatus"] == "planned_and_finished"

    body = {"data": {"type": "workspace", "id": workspace, "attributes": {"locked": True, "lockDescription": "x"}}}
    client.ok("PATCH", client.path(f"workspace/{workspace}"), json=body)
    assert client.finished(client.run(workspace, "Plan"))["planOnly"] is True


@pytest.mark.timeout(180)
def test_a_blocked_workspace_delays_no_other(start_server: StartServer, tmp_path: Path) -> None:
    """While one workspace applies and its queue is long, another one's run goes straight through."""
    client = start_server().client
    busy = client.make_workspace("busy")
    client.upload(busy, ledger.ledger_configuration(tmp_path / "ledger", count=1, seconds=20), tmp_path / "busy")
    first = client.run(busy)
    queued = [client.run(busy) for _ in range(5)]
    client.wait(first, lambda job: job["runStatus"] == "applying")

    free = client.make_workspace("free")
    client.upload(free, TWO, tmp_path / "free")
    assert client.finished(client.run(free))["runStatus"] == "applied"

    assert client.job(first)["runStatus"] == "applying"
    assert {client.job(number)["runStatus"] for number in queued} == {"pending"}
    assert client.job(queued[0])["waitingFor"] == f"waiting for run {first}"


def test_a_step_that_takes_too_long_is_ended_gracefully(start_server: StartServer, tmp_path: Path) -> None:
    """A step timeout interrupts terraform once; the run says so and the state is saved."""
    client = start_server({"PODFORM_STEP_TIMEOUT_SECONDS": "3"}).client
    workspace = client.make_workspace()
    client.upload(workspace, ledger.many_and_one_long(tmp_path / "ledger", count=2, long_seconds=60), tmp_path / "tf")

    job = client.finished(client.run(workspace))

    assert (job["runStatus"], job["failureReason"]) == ("errored", "timed_out")
    assert "3 s" in job["message"]
    assert len(client.state(workspace)["resources"]) == 2


def test_a_follower_sees_the_log_while_it_is_written(start_server: StartServer, tmp_path: Path) -> None:
    """The stream of a log delivers what terraform prints while it works, resumes at a byte offset, and ends."""
    server = start_server()
    client = server.client
    workspace = client.make_workspace()
    client.upload(workspace, ledger.ledger_configuration(tmp_path / "ledger", count=1, seconds=3), tmp_path / "tf")
    number = client.run(workspace)
    client.wait(number, lambda job: job["runStatus"] == "applying")
    step = client.steps(number)[-1]["id"]
    path = f"/tfoutput/v1/organization/{client.organization}/job/{number}/step/{step}/stream"

    arrivals: list[float] = []
    last_id = ""
    with client.http.stream("GET", path) as answer:
        for line in answer.iter_lines():
            if line.startswith("id:"):
                last_id = line.removeprefix("id:").strip()
            if "working" in line and "echo" not in line:
                arrivals.append(time.monotonic())
            if len(arrivals) == 2:
                break
    assert arrivals[1] - arrivals[0] > 0.2  # they came one by one, not at the end

    with client.http.stream("GET", path, headers={"Last-Event-ID": last_id}) as answer:
        rest = "\n".join(line.removeprefix("data:").removeprefix(" ") for line in answer.iter_lines())
    assert "Apply complete!" in rest
    assert "Creating..." not in rest
    assert client.finished(number)["runStatus"] == "applied"

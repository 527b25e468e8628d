"""The executor is killed at every stage of a step: what becomes of it is the table of the design, never two applies."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.flow import ledger
from tests.flow.conftest import Started, StartServer
from tests.flow.cut import Relay


def executor_pid(server: Started, step_id: str, attempt: int = 1, seconds: float = 30) -> int:
    """The process of an attempt, as soon as it is there."""
    path = server.api.data_dir / f"work/attempts/{step_id}-{attempt}/process.json"
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if path.exists() and path.read_text():
            return int(json.loads(path.read_text())["pid"])
        time.sleep(0.005)
    raise AssertionError(f"attempt {attempt} of {step_id} was never started")


def applying(server: Started, tmp_path: Path, **configuration: Any) -> tuple[str, str, dict[str, Any]]:
    """A run whose apply works on a ledger: its workspace, its number, the apply step."""
    client = server.client
    workspace = client.make_workspace()
    client.upload(workspace, ledger.many_and_one_long(tmp_path / "ledger", **configuration), tmp_path / "tf")
    number = client.run(workspace)
    client.wait(number, lambda job: job["runStatus"] == "applying")
    return workspace, number, client.steps(number)[-1]


def eventually(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until it is so."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_killed_before_its_claim_it_starts_again(start_server: StartServer, tmp_path: Path) -> None:
    """Nothing was touched: the next attempt does the step, of a plan and of an apply alike."""
    with Relay() as relay:
        server = start_server({"AzBuilderApiUrl": relay.url})
        relay.target_port = server.api.port
        client = server.client
        workspace = client.make_workspace()
        files = ledger.many_and_one_long(tmp_path / "ledger", count=2, long_seconds=0)
        client.upload(workspace, files, tmp_path / "tf")
        relay.cut()  # no claim gets through
        number = client.run(workspace, "Terraform-Plan/Apply-Cli")
        plan, _, apply = client.steps(number)
        os.kill(executor_pid(server, plan["id"]), signal.SIGKILL)
        executor_pid(server, plan["id"], attempt=2)
        relay.mend()
        client.wait(number, lambda job: job["runStatus"] == "planned")

        relay.cut()
        assert client.decide(number, "approved").is_success
        os.kill(executor_pid(server, apply["id"]), signal.SIGKILL)
        executor_pid(server, apply["id"], attempt=2)
        relay.mend()

        assert client.finished(number)["runStatus"] == "applied"
        assert [step["attempt"] for step in client.steps(number)] == [2, 0, 2]
        assert sorted(ledger.lines(tmp_path / "ledger")) == ["long", "short-0", "short-1"]


def test_killed_before_its_claim_three_times_it_errs(start_server: StartServer, tmp_path: Path) -> None:
    """What never starts is not tried for ever, and the run says what was seen."""
    with Relay() as relay:
        server = start_server({"AzBuilderApiUrl": relay.url})
        client = server.client
        workspace = client.make_workspace()
        files = ledger.many_and_one_long(tmp_path / "ledger", count=2, long_seconds=0)
        client.upload(workspace, files, tmp_path / "tf")
        relay.cut()
        number = client.run(workspace)
        plan = client.steps(number)[0]
        for attempt in (1, 2, 3):
            os.kill(executor_pid(server, plan["id"], attempt), signal.SIGKILL)

        job = client.finished(number)

        assert (job["runStatus"], job["failureReason"]) == ("errored", "executor_lost")
        assert "before it began" in job["message"]
        assert ledger.lines(tmp_path / "ledger") == []


def test_killed_after_the_apply_before_its_report(start_server: StartServer, tmp_path: Path) -> None:
    """Everything was applied but nobody heard of it: the outcome is unknown, and nothing is applied again."""
    with Relay() as relay:
        server = start_server({"AzBuilderApiUrl": relay.url})
        relay.target_port = server.api.port
        client = server.client
        workspace = client.make_workspace()
        book = tmp_path / "ledger"
        client.upload(workspace, ledger.ledger_configuration(book, count=2, seconds=2), tmp_path / "tf")
        number = client.run(workspace)
        client.wait(number, lambda job: job["runStatus"] == "applying")
        eventually(lambda: len(ledger.lines(book)) == 1)
        time.sleep(1)  # every change is shipped within a second
        relay.cut()
        eventually(lambda: len(ledger.lines(book)) == 2)
        time.sleep(1)  # terraform has ended; its executor cannot say so
        os.kill(executor_pid(server, client.steps(number)[-1]["id"]), signal.SIGKILL)

        job = client.finished(number)

        assert (job["runStatus"], job["failureReason"]) == ("errored", "outcome_unknown")
        assert ledger.lines(book) == ["0", "1"]
        assert len(client.state(workspace)["resources"]) == 1  # what was delivered before the cut
        relay.mend()
        time.sleep(1)
        assert client.job(number)["runStatus"] == "errored"
        assert ledger.lines(book) == ["0", "1"]


def test_killed_in_a_plan_it_plans_again(start_server: StartServer, tmp_path: Path) -> None:
    """A plan only reads: the next attempt plans, and the run goes on."""
    server = start_server()
    client = server.client
    workspace = client.make_workspace()
    source = tmp_path / "source"
    os.mkfifo(source)  # terraform waits in the middle of its plan for somebody to write into it
    client.upload(
        workspace, {"main.tf": f'resource "terraform_data" "a" {{\n  input = file("{source}")\n}}\n'}, tmp_path / "tf"
    )
    number = client.run(workspace)
    step = client.steps(number)[0]
    client.wait(number, lambda job: job["runStatus"] == "planning")
    eventually(lambda: opened(source))
    ready = tmp_path / "ready"
    ready.write_text("planned")
    ready.replace(source)
    os.kill(executor_pid(server, step["id"]), signal.SIGKILL)

    assert client.finished(number)["runStatus"] == "applied"

    assert client.steps(number)[0]["attempt"] == 2
    assert client.state(workspace)["resources"][0]["instances"][0]["attributes"]["output"]["value"] == "planned"


def opened(pipe: Path) -> bool:
    """Whether somebody has the pipe open for reading."""
    try:
        os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


def test_killed_in_an_apply_the_outcome_is_unknown(start_server: StartServer, tmp_path: Path) -> None:
    """Never a second apply: the run says so, the workspace stays locked, every finished resource is in the state."""
    server = start_server()
    client = server.client
    workspace, number, apply = applying(server, tmp_path, count=30, long_seconds=60)
    eventually(lambda: len(ledger.lines(tmp_path / "ledger")) == 30)
    time.sleep(1.5)  # every change is shipped within a second
    os.kill(executor_pid(server, apply["id"]), signal.SIGKILL)

    job = client.finished(number)

    assert (job["runStatus"], job["failureReason"]) == ("errored", "outcome_unknown")
    kept = [instance for resource in client.state(workspace)["resources"] for instance in resource["instances"]]
    assert sum("index_key" in instance for instance in kept) == 30
    attributes = client.ok("GET", client.path(f"workspace/{workspace}"))["data"]["attributes"]
    assert attributes["locked"] is True
    assert f"run {number}" in attributes["lockDescription"]
    waiting = client.run(workspace)
    assert client.job(waiting)["runStatus"] == "pending"
    assert "locked" in client.job(waiting)["waitingFor"]
    assert "long" not in ledger.lines(tmp_path / "ledger")

    body = {"data": {"type": "workspace", "id": workspace, "attributes": {"locked": False, "force": True}}}
    client.ok("PATCH", client.path(f"workspace/{workspace}"), json=body)
    client.wait(waiting, lambda job: job["runStatus"] != "pending")


@pytest.mark.parametrize("forced", [False, True])
def test_killed_while_it_is_canceled(start_server: StartServer, tmp_path: Path, forced: bool) -> None:
    """A forced cancel ends the run as force_canceled; one that dies of something else leaves its outcome unknown."""
    server = start_server()
    client = server.client
    _, number, apply = applying(server, tmp_path, count=1, long_seconds=60)
    if forced:
        # without a first cancel a forced one is refused
        assert client.decide(number, "cancelled", force=True).status_code == 409
    os.kill(executor_pid(server, apply["id"]), signal.SIGSTOP)  # it cannot hear the cancel
    assert client.decide(number, "cancelled").is_success
    assert client.job(number)["runStatus"] == "applying"
    if forced:
        assert client.decide(number, "cancelled", force=True).is_success
    else:
        os.kill(executor_pid(server, apply["id"]), signal.SIGKILL)

    job = client.finished(number)
    assert job["runStatus"] == ("force_canceled" if forced else "errored")
    assert job["failureReason"] == (None if forced else "outcome_unknown")
    assert "long" not in ledger.lines(tmp_path / "ledger")

"""What users do while the API dies under them, and how each of it must end. Played by test_faults.py."""

import time
from typing import Any

from common import ids
from tests.flow import ledger
from tests.flow.faults import Stage
from tests.flow.test_git_source import Repository


def applies(on: Stage) -> None:
    """Plan, approval, apply: everything is applied once."""
    workspace = on.user.workspace(ledger.ledger_configuration(on.book, count=3, seconds=0.1, tick=0.1))
    number = on.user.run(workspace, "Terraform-Plan/Apply-Cli")
    on.user.until(number, "planned")
    on.user.decide(number, "approved")
    assert on.finish(number)["runStatus"] == "applied"
    assert ledger.lines(on.book) == ["0", "1", "2"]
    assert len(on.user.client.state(workspace)["resources"]) == 3
    for step in on.user.client.steps(number):
        if step["name"] != "Approve":
            log = on.user.client.log(number, step["id"])
            assert log.count(b"complete!") == (1 if step["name"] == "Apply" else 0)


def cancels(on: Stage) -> None:
    """A cancel in the apply: terraform stops once, the state holds what the ledger says, the next run has its turn."""
    workspace = on.user.workspace(ledger.ledger_configuration(on.book, count=100, seconds=0.5))
    number = on.user.run(workspace, "Plan and apply")
    on.user.until(number, "applying")
    until = time.monotonic() + 60
    while not ledger.lines(on.book):
        assert time.monotonic() < until
        time.sleep(0.02)
    on.user.decide(number, "cancelled")
    assert on.finish(number)["runStatus"] == "canceled"
    state = on.user.client.state(workspace)
    done = [resource for resource in state["resources"] if resource["instances"][0].get("status") != "tainted"]
    assert len(done) == len(ledger.lines(on.book))
    number = on.user.run(workspace, "Plan")
    assert on.finish(number)["runStatus"] == "planned_and_finished"


def rejects(on: Stage) -> None:
    """A discarded plan and a run behind it, which gets the workspace."""
    workspace = on.user.workspace(ledger.ledger_configuration(on.book, count=1, seconds=0.1, tick=0.1))
    first = on.user.run(workspace, "Terraform-Plan/Apply-Cli")
    second = on.user.run(workspace, "Plan and apply")
    on.user.until(first, "planned")
    on.user.decide(first, "rejected")
    assert on.finish(first)["runStatus"] == "discarded"
    assert on.finish(second)["runStatus"] == "applied"
    assert ledger.lines(on.book) == ["0"]


def loses_a_plan(on: Stage) -> None:
    """The executor of a plan is killed at its start: another attempt plans, and all is applied once."""
    workspace = on.user.workspace(ledger.ledger_configuration(on.book, count=1, seconds=0.1, tick=0.1))
    number = on.user.run(workspace, "Plan and apply")
    on.kill_executor(on.user.client.steps(number)[0]["id"])
    assert on.finish(number)["runStatus"] == "applied"
    assert ledger.lines(on.book) == ["0"]


def loses_an_apply(on: Stage) -> None:
    """The executor of an apply is killed: the run says that its outcome is not known, and nothing goes on by itself."""
    workspace = on.user.workspace(ledger.ledger_configuration(on.book, count=100, seconds=0.5))
    number = on.user.run(workspace, "Plan and apply")
    apply = on.user.client.steps(number)[-1]["id"]  # before: an API that is away must not delay the kill
    on.user.until(number, "applying")
    until = time.monotonic() + 60
    while not ledger.lines(on.book):
        assert time.monotonic() < until
        time.sleep(0.02)
    on.kill_executor(apply)
    job = on.finish(number)
    assert (job["runStatus"], job["failureReason"]) == ("errored", "outcome_unknown"), job
    path = on.user.client.path(f"workspace/{workspace}")
    assert on.user.client.ok("GET", path)["data"]["attributes"]["locked"] is True


def tries_again(on: Stage) -> None:
    """An apply that fails is tried again, whole: what is there already is not made once more."""
    files = ledger.ledger_configuration(on.book, count=2, seconds=0.1, tick=0.1)
    gate = on.book.with_name("gate")
    files["main.tf"] += (
        'resource "terraform_data" "last" {\n  depends_on = [terraform_data.step_1]\n'
        f'  provisioner "local-exec" {{\n    command = "test -e {gate} && echo last >> {on.book}"\n  }}\n}}\n'
    )
    workspace = on.user.workspace(files)
    first = on.user.run(workspace, "Plan and apply")
    assert on.finish(first)["runStatus"] == "errored"
    gate.touch()
    body = {"data": {"type": "job", "attributes": {"requestId": ids.new_id("run")}}}
    again = str(on.user.client.ok("POST", on.user.client.path(f"job/{first}/retry"), json=body)["data"]["id"])
    assert on.finish(again)["runStatus"] == "applied"
    assert ledger.lines(on.book) == ["0", "1", "last"]


def comes_from_git(on: Stage) -> None:
    """A repository whose branch moves between plan and apply: what was planned is applied, once."""
    repository = Repository(on.book.with_name("infra"))
    planned = repository.commit("first")
    workspace = ids.new_id("workspace")
    source = {"source": repository.path.as_uri(), "branch": "main"}
    _post(on, on.user.client.path("workspace"), "workspace", workspace, name="git", **source)
    number = on.user.run(workspace, "Terraform-Plan/Apply-Cli")
    on.user.until(number, "planned")
    repository.commit("second")
    on.user.decide(number, "approved")
    assert on.finish(number)["runStatus"] == "applied"
    assert on.user.client.job(number)["commitId"] == planned
    assert on.user.client.state(workspace)["outputs"]["o"]["value"] == "first"


def rolls_back(on: Stage) -> None:
    """A state is rolled back to an earlier version: a new version with its content, however often it is asked for."""
    workspace = on.user.workspace(ledger.ledger_configuration(on.book, count=2, seconds=0.1, tick=0.1))
    number = on.user.run(workspace, "Plan and apply")
    assert on.finish(number)["runStatus"] == "applied"
    history = on.user.client.path(f"workspace/{workspace}/history")
    applied = max(on.user.client.ok("GET", history)["data"], key=_serial)
    destroyed = on.user.run(workspace, "Destroy")
    assert on.finish(destroyed)["runStatus"] == "applied"
    newest = max(on.user.client.ok("GET", history)["data"], key=_serial)
    body = {"data": {"type": "history", "attributes": {"rollbackTo": applied["id"]}}}
    on.user.client.ok("POST", history, json=body)
    state = on.user.client.state(workspace)
    assert (state["serial"], len(state["resources"])) == (_serial(newest) + 1, 2)


def _serial(version: dict[str, Any]) -> int:
    return int(version["attributes"]["serial"])


def waits_in_vain(on: Stage) -> None:
    """An approval that nobody gives expires, and the run behind it has its turn."""
    files = ledger.ledger_configuration(on.book, count=1, seconds=0.1, tick=0.1)
    workspace = on.user.workspace(files, approvalExpirySeconds=1)
    first = on.user.run(workspace, "Terraform-Plan/Apply-Cli")
    second = on.user.run(workspace, "Plan and apply")
    assert on.finish(first)["runStatus"] == "discarded"
    assert on.finish(second)["runStatus"] == "applied"
    assert ledger.lines(on.book) == ["0"]
    _gone(on, on.user.client.path(f"job/{first}"))


def keeps_house(on: Stage) -> None:
    """Organizations, workspaces, variables, locks and tokens: what was answered is there, what was not is repeated."""
    user, client = on.user, on.user.client
    workspace = user.workspace(ledger.ledger_configuration(on.book, count=1, seconds=0.1, tick=0.1))
    path = client.path(f"workspace/{workspace}")
    variable = ids.new_id("variable")
    _post(on, f"{path}/variable", "variable", variable, key="color", value="red", category="TERRAFORM")
    _patch(on, f"{path}/variable/{variable}", "variable", variable, value="blue")
    assert client.ok("GET", f"{path}/variable/{variable}")["data"]["attributes"]["value"] == "blue"
    _patch(on, path, "workspace", workspace, locked=True, lockDescription="maintenance until 18:00")
    _patch(on, path, "workspace", workspace, locked=False)
    _patch(on, client.path("").rstrip("/"), "organization", client.organization, description="changed")
    _gone(on, f"{path}/variable/{variable}")
    _gone(on, path)
    for kind, named_id, attributes in (
        ("directory", ids.new_id("directory"), {"name": "network"}),
        ("vcs", ids.new_id("vcs"), {"name": "hub", "vcsType": "GITHUB", "accessToken": "a-token"}),
    ):
        one = client.path(f"{kind}/{named_id}")
        _post(on, client.path(kind), kind, named_id, **attributes)
        _patch(on, one, kind, named_id, description="changed")
        assert client.ok("GET", one)["data"]["attributes"]["description"] == "changed"
        _gone(on, one)
    client.ok("GET", "/doctor/v1")
    client.ok("POST", "/pat/v1", json={"description": "mine"})
    for token in client.ok("GET", "/pat/v1"):
        if token["description"] == "mine":
            _gone(on, f"/pat/v1/{token['id']}")
    _gone(on, client.path("").rstrip("/"))


def _post(on: Stage, path: str, kind: str, wanted_id: str, **attributes: Any) -> None:
    on.user.client.ok("POST", path, json={"data": {"type": kind, "id": wanted_id, "attributes": attributes}})


def _patch(on: Stage, path: str, kind: str, named_id: str, **attributes: Any) -> None:
    on.user.client.ok("PATCH", path, json={"data": {"type": kind, "id": named_id, "attributes": attributes}})


def _gone(on: Stage, path: str) -> None:
    """Delete; when the answer was lost, a repeat finds nothing."""
    answer = on.user.client.call("DELETE", path)
    assert answer.status_code in {200, 204, 404}, answer.text
    assert on.user.client.call("GET", path).status_code in {404, 405}

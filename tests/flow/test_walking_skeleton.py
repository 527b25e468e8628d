"""The first flow: HTTP request -> run -> executor -> real terraform -> report -> applied."""

from pathlib import Path

from tests.flow.conftest import StartServer

HELLO = {
    "main.tf": """
variable "name" {
  default = "world"
}
resource "terraform_data" "greeting" {
  input = "hello ${var.name}"
}
output "greeting" {
  value = terraform_data.greeting.output
}
""",
}


def test_a_run_is_planned_and_applied(start_server: StartServer, tmp_path: Path) -> None:
    """A request for a run ends with what terraform made of it: applied, logged, with its state kept."""
    client = start_server().client
    workspace = client.make_workspace()
    client.set_variable(workspace, "name", 'a "quoted"\n${literal} $(value)')
    client.upload(workspace, HELLO, tmp_path / "hello")

    number = client.run(workspace)
    job = client.finished(number)

    assert (job["runStatus"], job["status"], job["resourceAdditions"]) == ("applied", "completed", 1)
    plan, apply = client.steps(number)
    assert b"Plan: 1 to add" in client.log(number, plan["id"])
    assert b"Apply complete! Resources: 1 added" in client.log(number, apply["id"])
    state = client.state(workspace)
    assert state["outputs"]["greeting"]["value"] == 'hello a "quoted"\n${literal} $(value)'


def test_a_plan_without_changes_is_finished(start_server: StartServer, tmp_path: Path) -> None:
    """Nothing to apply: the run ends after its plan and the apply is not executed."""
    client = start_server().client
    workspace = client.make_workspace()
    client.upload(workspace, HELLO, tmp_path / "hello")
    client.finished(client.run(workspace))

    number = client.run(workspace)
    job = client.finished(number)

    assert (job["runStatus"], job["status"], job["planChanges"]) == ("planned_and_finished", "completed", False)
    assert [step["status"] for step in client.steps(number)] == ["completed", "notExecuted"]


def test_a_destroy_waits_for_its_approval(start_server: StartServer, tmp_path: Path) -> None:
    """A planned destruction waits; approved, it leaves an empty state."""
    client = start_server().client
    workspace = client.make_workspace()
    client.upload(workspace, HELLO, tmp_path / "hello")
    client.finished(client.run(workspace))

    number = client.run(workspace, "Terraform-Plan/Destroy-Cli")
    waiting = client.wait(number, lambda job: job["runStatus"] == "planned")
    assert waiting["status"] == "waitingApproval"
    assert client.decide(number, "approved").is_success

    assert client.finished(number)["runStatus"] == "applied"
    assert client.state(workspace)["resources"] == []

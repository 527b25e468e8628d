"""`podform run` and its companions against a real API and a real terraform."""

import hashlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from tests.flow.cli.conftest import Podform
from tests.flow.server import ADMIN_TOKEN, ApiProcess

pytestmark = pytest.mark.terraform

_HELLO = """
variable "name" {
  default = "world"
}
resource "terraform_data" "a" {
  input = "hello ${var.name}"
}
output "greeting" {
  value = terraform_data.a.output
}
"""
_SLOW = """
resource "terraform_data" "first" {}
resource "terraform_data" "slow" {
  depends_on = [terraform_data.first]
  provisioner "local-exec" {
    command = "echo begun; for i in $(seq 1 %d); do echo tick $i; sleep 0.1; done"
  }
}
"""


@pytest.fixture
def hello(tmp_path: Path) -> str:
    """A directory with a small configuration."""
    return _directory(tmp_path, "hello", _HELLO)


def _directory(parent: Path, name: str, text: str) -> str:
    directory = parent / name
    directory.mkdir()
    (directory / "main.tf").write_text(text)
    return str(directory)


def _run_number(said: str) -> str:
    found = re.search(r"run (\d+) \(run-", said)
    assert found, said
    return found.group(1)


def test_a_run_is_applied_and_its_log_is_all_of_stdout(podform: Podform, hello: str) -> None:
    """A first run creates what is missing, applies, and writes exactly the stored logs to stdout."""
    code, out, said = podform("run", hello, "--auto-approve", "--message", "first")
    assert code == 0, said
    assert b"Apply complete! Resources: 1 added" in out
    assert "created the organization" in said
    assert "created the workspace hello" in said
    assert "applied: 1 added, 0 changed, 0 destroyed" in said
    assert podform("logs", _run_number(said))[:2] == (0, out)
    assert podform("logs", "--workspace", "hello")[:2] == (0, out)
    code, state, _ = podform("state", "pull", "--workspace", "hello")
    assert (code, json.loads(state)["outputs"]["greeting"]["value"]) == (0, "hello world")


def test_no_changes_and_plan_only_exit_zero(podform: Podform, hello: str) -> None:
    """A plan-only run applies nothing; a second apply has nothing to do."""
    code, out, said = podform("run", hello, "--plan-only")
    assert (code, "planned: 1 to add" in said, b"Apply complete" in out) == (0, True, False), said
    assert podform("state", "pull", "--workspace", "hello")[0] == 7
    assert podform("run", hello, "--auto-approve")[0] == 0
    code, _, said = podform("run", hello)
    assert (code, "no changes" in said) == (0, True), said


def test_without_a_terminal_the_command_that_approves_is_named(podform: Podform, hello: str) -> None:
    """A run that nobody can be asked about exits 5 and goes on once it is approved elsewhere."""
    code, out, said = podform("run", hello)
    number = _run_number(said)
    assert (code, f"podform approve {number}" in said) == (5, True), said
    assert b"Plan: 1 to add" in out
    follower = podform.start("logs", "-f", number)
    follower.wait_for(b"Plan: 1 to add")
    follower.wait_for(b"waiting for an approval", "stderr")
    assert podform("approve", number)[0] == 0
    assert follower.end() == 0, follower.said
    assert b"Apply complete!" in follower.stdout
    code, _, said = podform("approve", number)
    assert (code, "Traceback" in said) == (7, False), said


def test_what_a_run_waits_for_is_shown(podform: Podform, hello: str) -> None:
    """A second run of a workspace says which run is ahead of it, and goes on when that one is out of the way."""
    first = _run_number(podform("run", hello)[2])
    second = podform.start("run", hello, "--auto-approve")
    second.wait_for(f"waiting for run {first}".encode(), "stderr")
    assert podform("discard", first)[0] == 0
    assert second.end() == 0, second.said


def test_a_discarded_run_leaves_nothing(podform: Podform, hello: str) -> None:
    """A discard ends the run without an apply; --json shows it as data."""
    number = _run_number(podform("run", hello)[2])
    code, out, said = podform("discard", number, "--json")
    assert (code, json.loads(out)["run_status"]) == (0, "discarded"), said
    assert podform("state", "pull", "--workspace", "hello")[0] == 7


@pytest.mark.parametrize(("answer", "code"), [(b"perhaps\nyes\n", 0), (b"no\n", 3), (b"\x04", 5)])
def test_a_person_is_asked_on_a_terminal(podform: Podform, hello: str, answer: bytes, code: int) -> None:
    """On a terminal yes applies, no discards, anything else asks again, end of input leaves it waiting."""
    controller, terminal = pty.openpty()
    try:
        command = podform.start("run", hello, terminal=terminal)
        shown = b""
        while b"Only 'yes'" not in shown:
            shown += os.read(controller, 65536)
        os.write(controller, answer)
        assert command.end() == code, shown
    finally:
        os.close(terminal)
        os.close(controller)


def test_a_failed_run_exits_one(podform: Podform, tmp_path: Path) -> None:
    """Broken HCL ends errored, with terraform's own words on stdout and the reason on stderr."""
    code, out, said = podform("run", _directory(tmp_path, "broken", 'resource "x" {'), "--auto-approve")
    assert (code, b"Error" in out, "errored" in said) == (1, True, True), said


def test_destroy_leaves_an_empty_state(podform: Podform, hello: str) -> None:
    """--destroy plans the destruction and carries it out."""
    assert podform("run", hello, "--auto-approve")[0] == 0
    code, out, said = podform("run", hello, "--destroy", "--auto-approve")
    assert (code, b"1 destroyed" in out) == (0, True), said
    assert json.loads(podform("state", "pull", "--workspace", "hello")[1])["resources"] == []


def test_json_is_all_of_stdout(podform: Podform, hello: str) -> None:
    """With --json the run is stdout, the log goes to stderr."""
    code, out, said = podform("run", hello, "--auto-approve", "--json")
    assert (code, json.loads(out)["run_status"], "Apply complete!" in said) == (0, "applied", True)


def test_the_first_interrupt_cancels_gracefully(podform: Podform, tmp_path: Path) -> None:
    """Ctrl-C stops terraform once, keeps the state of what was done, and exits 4."""
    command = podform.start("run", _directory(tmp_path, "slow", _SLOW % 300), "--auto-approve")
    command.wait_for(b"tick 2")
    command.process.send_signal(signal.SIGINT)
    assert command.end() == 4, command.said
    assert b"nterrupt" in command.stdout
    state = json.loads(podform("state", "pull", "--workspace", "slow")[1])
    assert "first" in {resource["name"] for resource in state["resources"]}


def test_the_second_interrupt_leaves(podform: Podform, hello: str, tmp_path: Path) -> None:
    """A second Ctrl-C ends the command alone; the run can still be canceled."""
    command = podform.start("run", _directory(tmp_path, "slow", _SLOW % 300), "--auto-approve")
    command.wait_for(b"tick 2")
    command.process.send_signal(signal.SIGINT)
    command.wait_for(b"canceling run", "stderr")
    command.process.send_signal(signal.SIGINT)
    assert command.end() in {4, 130}, command.said  # 4: the run was faster


def test_following_survives_a_killed_api(own_server: ApiProcess, tmp_path: Path) -> None:
    """An API killed twice in an apply costs the follower no byte and gives it none twice."""
    podform = Podform(own_server, "acme")
    command = podform.start("run", _directory(tmp_path, "slow", _SLOW % 50), "--auto-approve")
    for tick in (b"tick 3\n", b"tick 20\n"):
        command.wait_for(tick)
        own_server.kill()
        command.wait_for(b"does not answer", "stderr")
        own_server.start()
    assert command.end() == 0, command.said
    assert command.said.count("answers again") >= 1
    code, log, _ = podform("logs", _run_number(command.said))
    assert (code, log) == (0, bytes(command.stdout))
    assert [int(n) for n in re.findall(rb"tick (\d+)", log.partition(b"begun")[2])] == list(range(1, 51))


def test_the_reader_may_go_away(podform: Podform, hello: str) -> None:
    """A closed pipe ends the command without a traceback; the run goes on."""
    command = podform.start("run", hello, "--auto-approve", stdout=_closed_pipe())
    assert command.end() == 130, command.said
    assert "Traceback" not in command.said
    assert podform("logs", "-f", "--workspace", "hello")[0] == 0


def _closed_pipe() -> int:
    reading, writing = os.pipe()
    os.close(reading)
    return writing


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("run", "HELLO", "--workspace", "büro/../x"), 2, "name: holds '/'"),
        (("run", "HELLO", "--workspace", ""), 2, "name"),
        (("run", "/nowhere"), 2, "does not exist"),
        (("run", "HELLO", "--refresh-only", "--destroy"), 2, "--refresh-only changes no resource"),
        (("logs", "4711"), 7, "4711"),
        (("logs", "--workspace", "unheard-of"), 7, "unheard-of"),
        (("state", "pull", "--workspace", "unheard-of"), 7, "unheard-of"),
        (("approve", "run-01k9zzzzzzzzzzzzzzzzzzzzzz"), 7, "run-01k9"),
        (("cancel", "../../x"), 2, "RUN: is '../../x'"),
    ],
)
def test_what_is_wrong_is_said(podform: Podform, hello: str, words: tuple[str, ...], code: int, said: str) -> None:
    """Bad values and missing things end with the documented code and one sentence that names them."""
    podform("run", hello, "--plan-only")
    got, _, text = podform(*(hello if word == "HELLO" else word for word in words))
    assert (got, "Traceback" in text) == (code, False), text
    assert said in text, text


def test_a_wrong_token_is_named(podform: Podform, hello: str) -> None:
    """A token that the API does not know is refused by its variable, and not shown."""
    code, _, said = podform("run", hello, environment={"PODFORM_TOKEN": "wrong-token"})
    assert (code, "PODFORM_TOKEN" in said, "wrong-token" in said) == (7, True, False), said


def test_force_cancel_needs_a_cancel_before(podform: Podform, tmp_path: Path) -> None:
    """--force is refused first and kills after a cancel."""
    command = podform.start("run", _directory(tmp_path, "slow", _SLOW % 300), "--auto-approve")
    command.wait_for(b"tick 2")
    number = _run_number(command.said)
    assert podform("cancel", number, "--force")[0] == 7
    assert podform("cancel", number)[0] == 0
    podform("cancel", number, "--force")  # may be too late already
    assert command.end() == 4, command.said


@pytest.fixture
def losing_proxy(shared_server: ApiProcess) -> Iterator[str]:
    """A URL in front of the API where the first answer to each request is lost after it was carried out."""
    seen: set[tuple[str, str, str]] = set()

    class Forward(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name: self.headers[name] for name in ("Authorization", "Content-Type") if name in self.headers}
            answer = httpx.request(
                self.command, shared_server.url + self.path, content=body, headers=headers, timeout=60, trust_env=False
            )
            request = (self.command, self.path, hashlib.sha256(body).hexdigest())
            if request not in seen:
                seen.add(request)
                self.close_connection = True
                return
            self.send_response(answer.status_code)
            for name in ("Content-Type", "X-Podform-Log-Next", "X-Podform-Log-End"):
                if name in answer.headers:
                    self.send_header(name, answer.headers[name])
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        do_POST = do_PUT = do_PATCH = do_GET  # noqa: N815 - http.server looks for these names

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Forward)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_lost_answers_change_nothing(podform: Podform, hello: str, losing_proxy: str) -> None:
    """When every first answer is lost there is still one organization, one run, one log and one approval."""
    code, out, said = podform("run", hello, environment={"PODFORM_URL": losing_proxy})
    number = _run_number(said)
    assert code == 5, said
    code, _, said = podform("approve", number, environment={"PODFORM_URL": losing_proxy})
    assert code == 0, said
    code, log, said = podform("logs", "-f", number, environment={"PODFORM_URL": losing_proxy})
    assert (code, log.startswith(out), b"1 added" in log) == (0, True, True), said
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
    client = httpx.Client(base_url=podform.server.url, headers=headers, trust_env=False)
    with client:
        organizations = client.get("/api/v1/organization", params={"page[size]": 100}).json()["data"]
        ours = [each for each in organizations if each["attributes"]["name"] == podform.organization]
        assert len(ours) == 1
        jobs = client.get(f"/api/v1/organization/{ours[0]['id']}/job").json()["data"]
        assert [job["id"] for job in jobs] == [number]


def test_serve_becomes_the_api(tmp_path: Path) -> None:
    """`podform serve` prints the first admin's token once, serves until Ctrl-C, and exits in order."""
    command = [sys.executable, "-m", "cli.main", "serve", "--port", "0", "--data-dir", str(tmp_path / "data")]
    for shows_token in (True, False):
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout is not None
            printed = b""
            while b"serving on" not in printed:
                line = process.stdout.readline()
                assert line, "the API ended"
                printed += line
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
        assert (b"admin token" in printed) is shows_token

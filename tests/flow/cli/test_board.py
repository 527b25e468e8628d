"""The live board, plans for people, retry and completion: the real process against a real API."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.flow.cli.conftest import ROOT, Podform

_SECRET = """
variable "password" {}
variable "token" {
  sensitive = true
}
resource "terraform_data" "a" {
  input = { password = var.password, token = var.token, plain = "shown" }
}
"""


@pytest.fixture
def waiting(podform: Podform, tmp_path: Path) -> tuple[Podform, str]:
    """A run that waits for an approval, of a workspace with secrets; its number."""
    directory = tmp_path / "site"
    directory.mkdir()
    (directory / "main.tf").write_text('output "a" {\n  value = 1\n}\n')
    assert podform("run", str(directory), "--plan-only")[0] == 0
    for words in (("password", "canary-1", "--sensitive"), ("token", "canary-2")):
        assert podform("variable", "set", *words, "--workspace", "site")[0] == 0
    (directory / "main.tf").write_text(_SECRET)
    code, _, said = podform("run", str(directory))
    found = re.search(r"run (\d+) \(run-", said)
    assert code == 5, said
    assert found
    return podform, found[1]


def test_the_board_follows_a_run_and_retry_repeats_it(waiting: tuple[Podform, str]) -> None:
    """The board shows a run in a pipe and, drawn over itself, on a terminal; a discarded run can be tried again."""
    podform, number = waiting
    board = podform.start("run", "watch")
    board.wait_for(f"{number}\tsite\tplanned".encode())

    controller, terminal = pty.openpty()
    on_terminal = podform.start("run", "watch", "--workspace", "site", terminal=terminal, stdout=terminal)
    os.close(terminal)
    shown = b""
    while shown.count(b"planned") < 2:  # drawn and drawn over
        shown += os.read(controller, 65536)
    on_terminal.process.send_signal(signal.SIGINT)
    assert on_terminal.process.wait(60) == 130
    os.close(controller)
    assert b"\x1b[2A" in shown
    assert b"Traceback" not in shown

    assert podform("discard", number)[0] == 0
    assert board.end() == 0, board.said
    assert f"{number}\t\tended".encode() in board.stdout
    code, out, said = podform("retry", number, "--json")
    assert code == 0, said
    again = json.loads(out)["number"]
    assert again != number
    assert podform("cancel", again)[0] == 0
    code, _, said = podform("retry", number, "--from-step", "4711")
    assert (code in {2, 7}, "Traceback" in said) == (True, False), said


def test_a_plan_shows_what_changes_and_no_secret(waiting: tuple[Podform, str]) -> None:
    """Values that terraform or the workspace calls sensitive are shown to admins alone, and only in the raw file."""
    podform, number = waiting
    code, out, said = podform("plan", "show", number)
    assert (code, b"canary" in out, b"+ terraform_data.a" in out) == (0, False, True), said
    assert b'"plain": "shown"' in out
    assert out.endswith(b"1 to add, 0 to change, 0 to destroy\n")
    as_json = json.loads(podform("plan", "show", number, "--json")[1])
    assert "canary" not in json.dumps(as_json)
    assert as_json["resource_changes"][0]["change"]["after"]["input"]["plain"] == "shown"
    assert b"canary-2" in podform("plan", "show", number, "--raw")[1]
    its = {"PODFORM_TOKEN": json.loads(podform("token", "create", "ci", "--json")[1])["token"]}
    assert podform("plan", "show", number, environment=its)[0] == 0
    assert podform("plan", "show", number, "--raw", environment=its)[0] == 7


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("podform wo", ["workspace"]),
        ("podform state ", ["list", "pull", "rollback", "--help"]),
        ("podform run --auto", []),
        ("podform run start --auto", ["--auto-approve"]),
        ("podform workspace lock site --rea", ["--reason"]),
        ("podform completion z", []),
    ],
)
def test_bash_completes(line: str, expected: list[str]) -> None:
    """What bash offers after a line, by the script as it is printed."""
    script = subprocess.run(
        [sys.executable, "-m", "cli.main", "completion", "bash"], cwd=ROOT, capture_output=True, check=True, text=True
    ).stdout
    words = line.split(" ")
    given = " ".join(f"'{word}'" for word in words)
    asked = f'{script}\nCOMP_WORDS=({given}); COMP_CWORD={len(words) - 1}; _podform; printf "%s\\n" "${{COMPREPLY[@]}}"'
    offered = subprocess.run(["bash", "-c", asked], capture_output=True, check=True, text=True).stdout.split()
    assert offered == expected


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_other_shells_have_every_command(shell: str) -> None:
    """Their scripts name each command and its options."""
    script = subprocess.run(
        [sys.executable, "-m", "cli.main", "completion", shell], cwd=ROOT, capture_output=True, check=True, text=True
    ).stdout
    assert all(word in script for word in ("workspace", "rollback", "auto-approve", "podform"))

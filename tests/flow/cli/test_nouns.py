"""The commands about workspaces, variables, runs, states and tokens: a real process against a real API."""

import hashlib
import json
import os
import pty
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.flow.cli.conftest import Podform
from tests.flow.server import ADMIN_TOKEN, Client


@pytest.fixture
def site(podform: Podform) -> Podform:
    """An organization with a workspace `site` that has had no run."""
    client = Client(podform.server.url)
    with client.http:
        client.make_organization(podform.organization)
        client.make_workspace("site")
    return podform


@pytest.fixture
def applied(podform: Podform, tmp_path: Path) -> Podform:
    """An organization whose workspace `site` has had one applied run."""
    directory = tmp_path / "site"
    directory.mkdir()
    (directory / "main.tf").write_text('output "greeting" {\n  value = "hello"\n}\n')
    code, _, said = podform("run", str(directory), "--auto-approve")
    assert code == 0, said
    return podform


def _json(podform: Podform, *words: str) -> Any:
    code, out, said = podform(*words, "--json")
    assert code == 0, said
    return json.loads(out)


def test_a_workspace_from_its_creation_to_its_end(site: Podform) -> None:
    """A workspace is created, changed, locked with a reason, unlocked and deleted, and each shows in its JSON."""
    made = _json(site, "workspace", "create", "büro", "--description", "of the büro", "--auto-apply")
    assert (made["name"], made["autoApply"], made["locked"]) == ("büro", True, False)
    assert {each["name"] for each in _json(site, "workspace", "list")} == {"site", "büro"}
    changed = _json(site, "workspace", "set", "büro", "--no-auto-apply", "--engine-version", "~> 1.9")
    assert (changed["autoApply"], changed["terraformVersion"], changed["description"]) == (
        False,
        "~> 1.9",
        "of the büro",
    )
    locked = _json(site, "workspace", "lock", "büro", "--reason", "until 18:00")
    assert (locked["locked"], locked["lockDescription"]) == (True, "until 18:00")
    code, _, said = site("workspace", "delete", "büro", "--yes")
    assert (code, "until 18:00" in said) == (7, True), said
    assert not _json(site, "workspace", "unlock", "büro")["locked"]
    code, _, said = site("workspace", "delete", "büro")
    assert (code, "--yes" in said) == (2, True), said
    assert site("workspace", "delete", "büro", "--yes")[0] == 0
    assert site("workspace", "show", "büro")[0] == 7
    code, out, _ = site("workspace", "show", "site")
    assert (code, b"iacType" in out) == (0, True)


def test_variables_are_set_and_deleted(site: Podform) -> None:
    """A variable is set twice and is one; a sensitive value is answered by nothing; ENV and TERRAFORM are apart."""
    here = ("--workspace", "site")
    assert _json(site, "variable", "set", "size", "1", "--hcl", *here)["value"] == "1"
    assert _json(site, "variable", "set", "size", "2", "--hcl", *here)["value"] == "2"
    assert site("variable", "set", "size", "other", "--env", *here)[0] == 0
    code, out, said = site("variable", "set", "password", "canary-4711", "--sensitive", *here)
    assert (code, b"canary" in out, "canary" in said) == (0, False, False), said
    code, out, said = site("variable", "set", "password", "canary-4712", *here)
    assert (code, b"canary" in out, "canary" in said) == (0, False, False), said
    listed = _json(site, "variable", "list", *here)
    assert {(each["key"], each["category"], each["value"]) for each in listed} == {
        ("size", "TERRAFORM", "2"),
        ("size", "ENV", "other"),
        ("password", "TERRAFORM", None),
    }
    assert site("variable", "delete", "size", *here)[0] == 0
    assert site("variable", "delete", "size", *here)[0] == 7
    assert site("variable", "delete", "size", "--env", *here)[0] == 0


def test_a_tfvars_file_is_imported_and_terraform_gets_it(site: Podform, tmp_path: Path) -> None:
    """Each variable of a file reaches terraform with its value and type; secret ones are never shown."""
    directory = tmp_path / "site"
    directory.mkdir()
    (directory / "main.tf").write_text(
        "".join(f'variable "{name}" {{\n  type = any\n}}\n' for name in ("word", "text", "list", "secret"))
        + 'output "all" {\n  value = jsonencode([var.word, var.text, var.list, sha256(var.secret)])\n}\n'
    )
    file = tmp_path / "x.tfvars"
    file.write_text(
        'word = "a $${b} \\"c\\""\ntext = <<-EOT\n  one\n   two\n  EOT\n'
        'list = [1, "x", { y = null }]\nsecret = "canary-1"\n'
    )
    code, out, said = site("variable", "import", str(file), "--sensitive", "secret", "--workspace", "site")
    assert (code, "canary" in said, b"canary" in out, b"word" in out) == (0, False, False, True), said
    assert site("variable", "import", str(file), "--workspace", "site")[0] == 0
    assert len(_json(site, "variable", "list", "--workspace", "site")) == 4
    code, _, said = site("run", str(directory), "--auto-approve")
    assert code == 0, said
    outputs = json.loads(site("state", "pull", "--workspace", "site")[1])["outputs"]
    secret = hashlib.sha256(b"canary-1").hexdigest()
    assert json.loads(outputs["all"]["value"]) == ['a ${b} "c"', "one\n two\n", [1, "x", {"y": None}], secret]
    file.write_text('a = "x"\nb = "canary-${var.x}"\n')
    code, _, said = site("variable", "import", str(file), "--workspace", "site")
    assert (code, "line 2" in said, "canary" in said) == (2, True, False), said


def test_runs_and_states_are_listed_and_shown(applied: Podform) -> None:
    """The run shows with its steps, and the version that its state has is pulled like the current state."""
    (run,) = _json(applied, "run", "list", "--workspace", "site")
    assert _json(applied, "run", "list") == [run]
    shown = _json(applied, "run", "show", run["id"])
    assert (shown["runStatus"], len(shown["steps"]) > 1) == ("applied", True)
    code, out, _ = applied("run", "show", "--workspace", "site")
    assert (code, b"runStatus" in out, b"stepNumber" in out) == (0, True, True)
    newest = _json(applied, "state", "list", "--workspace", "site")[0]
    current = applied("state", "pull", "--workspace", "site")[1]
    assert applied("state", "pull", "--workspace", "site", "--version", newest["id"])[:2] == (0, current)
    code, _, said = applied("state", "pull", "--workspace", "site", "--version", "sv-none")
    assert (code, "Traceback" in said) == (7, False), said


def test_a_state_is_rolled_back_unless_a_run_has_the_workspace(applied: Podform, tmp_path: Path) -> None:
    """The old content is the newest version again, the next plan sees it, and a waiting run keeps it from happening."""
    here = ("--workspace", "site")
    first = _json(applied, "state", "list", *here)[0]
    before = json.loads(applied("state", "pull", *here)[1])
    main = tmp_path / "site" / "main.tf"
    main.write_text(main.read_text().replace("hello", "bye"))
    code, _, said = applied("run", str(tmp_path / "site"))
    assert code == 5, said
    waiting = _json(applied, "run", "list")[0]["id"]
    code, _, said = applied("state", "rollback", first["id"], *here)
    assert (code, "under way" in said) == (7, True), said
    assert applied("approve", waiting)[0] == 0
    assert applied("logs", "-f", waiting)[0] == 0
    newest = _json(applied, "state", "list", *here)[0]
    made = _json(applied, "state", "rollback", first["id"], *here)
    assert made["serial"] == newest["serial"] + 1
    assert json.loads(applied("state", "pull", *here)[1]) == before | {"serial": made["serial"]}
    assert _json(applied, "state", "rollback", first["id"], *here)["id"] == made["id"]
    code, out, said = applied("run", str(tmp_path / "site"), "--auto-approve")
    assert (code, b'"hello" -> "bye"' in out) == (0, True), said
    code, _, said = applied("state", "rollback", "sv-01k9zzzzzzzzzzzzzzzzzzzzzz", *here)
    assert (code, "rollbackTo" in said) == (2, True), said


def test_directories_hold_workspaces_and_each_other(site: Podform) -> None:
    """Directories are made, shown as a tree, moved, and deleted only empty."""
    for path in ("team", "team/network", "other"):
        assert _json(site, "directory", "create", path)["path"] == path
    assert _json(site, "workspace", "set", "site", "--directory", "team/network")["directory"]
    assert site("workspace", "create", "top")[0] == 0
    assert site("directory", "list")[1].decode().splitlines() == ["top", "other/", "team/", "  network/", "    site"]
    code, _, said = site("directory", "create", "team/network")
    assert (code, "already" in said) == (7, True), said
    code, _, said = site("directory", "move", "team", "--to", "team/network")
    assert (code, "below" in said) == (2, True), said
    assert _json(site, "directory", "move", "team/network", "--to", "other", "--name", "net")["path"] == "other/net"
    assert _json(site, "directory", "show", "other/net")["workspaces"] == ["site"]
    code, _, said = site("directory", "delete", "other/net")
    assert (code, "1 workspaces" in said) == (7, True), said
    assert site("directory", "delete", "other/net", "--move-up")[0] == 0
    assert site("directory", "delete", "team")[0] == 0
    assert _json(site, "directory", "show", "other")["workspaces"] == ["site"]
    assert site("workspace", "set", "site", "--directory", "/")[0] == 0
    assert site("directory", "delete", "other")[0] == 0
    assert site("directory", "show", "other")[0] == 7


def test_a_directory_of_another_organization_does_not_exist(site: Podform) -> None:
    """It is not found, not deleted, and holds none of one's own workspaces."""
    client = Client(site.server.url)
    with client.http:
        foreign = client.make_organization(f"{site.organization}-2")
        body = {"data": {"type": "directory", "attributes": {"name": "theirs"}}}
        theirs = client.ok("POST", f"/api/v1/organization/{foreign}/directory", json=body)["data"]["id"]
    its = {"PODFORM_TOKEN": _json(site, "token", "create", "ci")["token"]}
    stranger = Client(site.server.url, its["PODFORM_TOKEN"])
    with stranger.http:
        assert stranger.call("GET", f"/api/v1/organization/{foreign}/directory/{theirs}").status_code == 404
        assert stranger.call("DELETE", f"/api/v1/organization/{foreign}/directory/{theirs}").status_code == 404
        ours = stranger.ok("GET", "/api/v1/organization")["data"][0]["id"]
        place = {"directory": {"data": {"type": "directory", "id": theirs}}}
        body = {"data": {"type": "workspace", "attributes": {"name": "x"}, "relationships": place}}
        answer = stranger.call("POST", f"/api/v1/organization/{ours}/workspace", json=body)
        assert (answer.status_code, "no directory of this organization" in answer.text) == (422, True)


def test_a_token_opens_its_organization_until_it_is_deleted(site: Podform) -> None:
    """A token of one organization opens that one, may not make tokens, and is worth nothing once deleted."""
    made = _json(site, "token", "create", "ci", "--days", "1")
    its = {"PODFORM_TOKEN": made["token"]}
    code, out, said = site("workspace", "list", environment=its)
    assert (code, b"site" in out) == (0, True), said
    assert site("token", "list", environment=its)[0] == 7
    listed = {each["id"]: each for each in _json(site, "token", "list")}
    assert listed[made["id"]]["description"] == "ci"
    assert made["token"] not in json.dumps(listed)
    assert ADMIN_TOKEN not in json.dumps(listed)
    assert site("token", "delete", made["id"])[0] == 0
    assert site("workspace", "list", environment=its)[0] == 7


def test_a_table_fits_the_terminal(site: Podform) -> None:
    """On a terminal of 40 columns no line is wider; in a pipe nothing is cut."""
    assert site("workspace", "set", "site", "--description", "long " * 30)[0] == 0
    assert b"long " * 29 in site("workspace", "list")[1]
    controller, terminal = pty.openpty()
    shown = bytearray()
    reader = threading.Thread(target=_read_all, args=(controller, shown))
    reader.start()
    command = site.start(
        "workspace", "list", terminal=terminal, stdout=terminal, environment={"COLUMNS": "40", "NO_COLOR": "1"}
    )
    assert command.end() == 0
    os.close(terminal)
    reader.join(60)
    os.close(controller)
    lines = shown.decode().splitlines()
    assert "site" in shown.decode()
    assert max(map(len, lines)) <= 40, lines


def _read_all(descriptor: int, sink: bytearray) -> None:
    try:
        while block := os.read(descriptor, 65536):
            sink += block
    except OSError:
        return  # the terminal is closed


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("workspace", "set", "site"), 2, "nothing to set"),
        (("workspace", "create", "site"), 7, "exists already"),
        (("workspace", "create", "x", "--iac-type", "pulumi"), 2, "iacType"),
        (("workspace", "lock", "unheard-of"), 7, "unheard-of"),
        (("workspace", "create", "x", "--no-such"), 2, "--no-such"),
        (("variable", "set", "a b", "v", "--env", "--workspace", "site"), 2, "key"),
        (("run", "list", "--limit", "0"), 2, "--limit"),
        (("token", "create", "x", "--days", "-1"), 2, "--days"),
        (("token", "delete", "nothing-like-it"), 7, "nothing-like-it"),
        (("unheard-of",), 2, "unheard-of"),
    ],
)
def test_what_is_wrong_is_said(site: Podform, words: tuple[str, ...], code: int, said: str) -> None:
    """What cannot be is refused in one line that names it, with the documented code."""
    got, _, text = site(*words)
    assert (got, text.count("\n"), "Traceback" in text) == (code, 1, False), text
    assert said in text, text


def test_each_word_says_in_the_list_what_its_own_help_says() -> None:
    """The summaries of `podform --help`, which imports no command, are the commands' own."""
    from cli.words import WORDS, command_of

    for word, row in WORDS.items():
        own = (command_of(word).help or "").partition("\n\n")[0].replace("\n", " ")
        assert own == row.summary, word

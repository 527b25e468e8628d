"""`podform login` and `logout`: the real process, its file, a terminal and a pipe."""

import json
import os
import pty
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from cli.target import settings
from tests.flow.cli.conftest import PATIENCE, ROOT, Podform
from tests.flow.server import ADMIN_TOKEN, Client


def _podform(home: Path, *words: str, stdin: str = "", environment: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Exit code and what is said, with nothing in the environment but a home."""
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", *words],
        cwd=ROOT,
        env={"HOME": str(home), "PATH": os.environ["PATH"], "PODFORM_API_WAIT_SECONDS": "0", **(environment or {})},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert ADMIN_TOKEN not in done.stdout + done.stderr
    return done.returncode, done.stdout + done.stderr


def test_a_login_is_stored_for_its_owner_and_forgotten(podform: Podform, tmp_path: Path) -> None:
    """The token from stdin is checked, stored with mode 0600, used by other commands, and gone after logout."""
    url = podform.server.url
    code, said = _podform(tmp_path, "workspace", "list")
    assert (code, "podform login" in said) == (2, True), said
    assert _podform(tmp_path, "login", url + "/", stdin=f"{ADMIN_TOKEN}\n")[0] == 0
    file = tmp_path / ".config/podform/logins.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text()) == {"current": url, "tokens": {url: ADMIN_TOKEN}}
    assert _podform(tmp_path, "token", "list")[0] == 0
    code, said = _podform(tmp_path, "token", "list", environment={"PODFORM_TOKEN": "other"})
    assert (code, "does not accept" in said) == (7, True), said
    assert _podform(tmp_path, "logout")[0] == 0
    assert _podform(tmp_path, "token", "list")[0] == 2
    assert _podform(tmp_path, "logout")[0] == 7


def test_a_token_is_never_sent_to_another_server(tmp_path: Path) -> None:
    """With PODFORM_URL naming a server without a login there is no token, whatever is stored for others."""
    file = tmp_path / "podform/logins.json"
    file.parent.mkdir()
    file.write_text(json.dumps({"current": "http://a", "tokens": {"http://a": "ta", "http://b": "tb"}}))
    given = {"XDG_CONFIG_HOME": str(tmp_path)}
    assert settings(given).token == "ta"
    assert settings(given | {"PODFORM_URL": "http://b/"}).token == "tb"
    code, said = _podform(tmp_path, "token", "list", environment=given | {"PODFORM_URL": "http://127.0.0.1:9"})
    assert (code, "no login at http://127.0.0.1:9" in said) == (2, True), said


@pytest.mark.parametrize(
    ("words", "stdin", "code", "said"),
    [
        (("login", "URL"), "wrong-token\n", 7, "does not accept"),
        (("login", "URL"), "", 2, "the token: is empty"),
        (("login", "URL"), "two words\n", 2, "no token has"),
        (("login", "ftp://x"), "t\n", 2, "URL: is 'ftp://x'"),
        (("login", "http://127.0.0.1:9"), "t\n", 6, "cannot reach"),
        (("login",), "t\n", 2, "URL: is missing"),
        (("login", "URL", "--token-file", "nowhere"), "", 2, "--token-file"),
    ],
)
def test_what_is_refused_is_not_stored(
    podform: Podform, tmp_path: Path, words: tuple[str, ...], stdin: str, code: int, said: str
) -> None:
    """A wrong token, URL or file ends with its reason and leaves no file."""
    given = tuple(podform.server.url if word == "URL" else word for word in words)
    got, text = _podform(tmp_path, *given, stdin=stdin)
    assert (got, said in text) == (code, True), text
    assert not (tmp_path / ".config").exists()


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    """A file that is no JSON of ours is named, not read past."""
    file = tmp_path / ".config/podform/logins.json"
    file.parent.mkdir(parents=True)
    file.write_text("{")
    code, said = _podform(tmp_path, "workspace", "list")
    assert (code, str(file) in said) == (2, True), said


def _typed(home: Path, words: tuple[str, ...], dialog: list[tuple[str, str]], environment: Mapping[str, str]) -> bytes:
    """What a terminal shows while the answers are typed after their questions; the command must end well."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.main", *words],
        cwd=ROOT,
        env={"HOME": str(home), "PATH": os.environ["PATH"], **environment},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,  # without a controlling terminal: what is asked for is asked on stdin
    )
    os.close(terminal)
    shown = b""
    try:
        for question, answer in dialog:
            while question.encode() not in shown:
                shown += os.read(controller, 65536)
            os.write(controller, f"{answer}\n".encode() if answer else b"")
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait(PATIENCE)
        os.close(controller)
    return shown


def test_a_person_is_asked_and_the_token_is_not_shown(podform: Podform, tmp_path: Path) -> None:
    """On a terminal URL and token are asked for, and what is typed as the token does not appear."""
    dialog = [("URL of the API", podform.server.url), ("Token", ADMIN_TOKEN), ("logged in", "")]
    assert ADMIN_TOKEN.encode() not in _typed(tmp_path, ("login",), dialog, {})


def test_a_value_is_asked_for_and_not_shown(podform: Podform, tmp_path: Path) -> None:
    """On a terminal a variable's value that is not given is asked for, and what is typed does not appear."""
    client = Client(podform.server.url)
    with client.http:
        client.make_organization(podform.organization)
        client.make_workspace("site")
    environment = {
        "PODFORM_URL": podform.server.url,
        "PODFORM_TOKEN": ADMIN_TOKEN,
        "PODFORM_ORGANIZATION": podform.organization,
    }
    words = ("variable", "set", "password", "--sensitive", "--workspace", "site")
    shown = _typed(tmp_path, words, [("Value of password", "canary-9"), ("sensitive", "")], environment)
    assert b"canary" not in shown

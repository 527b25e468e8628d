"""Private repositories: a real smart HTTP server behind a token, a real sshd; where the secret is and is not."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from common.ids import new_id
from tests.fakes.git_servers import SSHD, HttpGit, http_git, make_key, ssh_git
from tests.flow.conftest import Started, StartServer
from tests.flow.test_git_source import SETTINGS, Repository, failed, output

CANARY = "glpat-canary-4711-never-seen"
PRYING = """
module "m" {
  source = "./mod"
}
resource "terraform_data" "x" {
  provisioner "local-exec" {
    command = "env; find .. -name .git; cat ../git/home/* || true"
  }
}
output "o" {
  value = module.m.o
}
"""
WITH_SSH = {"PODFORM_GIT_PROTOCOLS": SETTINGS["PODFORM_GIT_PROTOCOLS"] + ",ssh"}


def credential(server: Started, kind: str, **attributes: Any) -> str:
    """A credential; its id."""
    body = {"data": {"type": kind, "attributes": {"name": new_id("vcs"), **attributes}}}
    return str(server.client.ok("POST", server.client.path(kind), json=body)["data"]["id"])


def make(server: Started, kind: str, credential_id: str, **attributes: Any) -> Any:
    """The answer to making a workspace with a credential."""
    data = {
        "type": "workspace",
        "attributes": {"name": new_id("workspace"), **attributes},
        "relationships": {kind: {"data": {"type": kind, "id": credential_id}}},
    }
    return server.client.call("POST", server.client.path("workspace"), json={"data": data})


def made(server: Started, kind: str, credential_id: str, **attributes: Any) -> str:
    """A workspace with a credential; its id."""
    answer = make(server, kind, credential_id, **attributes)
    assert answer.is_success, answer.text
    return str(answer.json()["data"]["id"])


class Watch:
    """Looks through every process's command line and environment until it is stopped."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._ended = threading.Event()
        self.found: set[str] = set()
        self.commands: set[bytes] = set()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def stop(self) -> None:
        """No more."""
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(0.002):
            for process in Path("/proc").iterdir():
                if process.name.isdecimal():
                    for name in ("cmdline", "environ"):
                        self._read(process / name)

    def _read(self, path: Path) -> None:
        try:
            content = path.read_bytes()
        except OSError:
            return
        if path.name == "cmdline":
            self.commands.add(content.partition(b"\0")[0].rpartition(b"/")[2])
        if self._secret in content:
            self.found.add(str(content))


def files_with(directory: Path, secret: bytes) -> list[Path]:
    """Files below a directory that hold a secret."""
    return [path for path in directory.rglob("*") if path.is_file() and secret in path.read_bytes()]


@pytest.fixture
def private(tmp_path: Path) -> Iterator[HttpGit]:
    """A server that wants the token, with a repository `infra` and its submodule."""
    root = tmp_path / "served"
    root.mkdir()
    module, repository = Repository(root / "module"), Repository(root / "infra")
    module.commit("private")
    with http_git(root, CANARY) as git:
        repository.git("submodule", "add", "-q", module.path.as_uri(), "mod")
        modules = repository.path / ".gitmodules"
        modules.write_text(modules.read_text().replace(module.path.as_uri(), f"{git.url}/module/.git"))
        (repository.path / "main.tf").write_text(PRYING)
        repository.git("add", "-A")
        repository.git("commit", "-q", "-m", "private")
        yield git


def token_of(server: Started, git: HttpGit, token: str = CANARY) -> str:
    """A `vcs` with a token for that server; its id."""
    return credential(server, "vcs", vcsType="GITLAB", endpoint=git.url, accessToken=token, userName="x-access-token")


def test_a_token_opens_and_is_nowhere_to_be_seen(start_server: StartServer, private: HttpGit) -> None:
    """Repository and submodule are read with the token; no process list, file or log holds it."""
    server = start_server(SETTINGS)
    workspace = made(server, "vcs", token_of(server, private), source=f"{private.url}/infra/.git", branch="main")
    watch = Watch(CANARY.encode())
    try:
        number = server.client.run(workspace)
        job = server.client.finished(number)
    finally:
        watch.stop()
    assert job["runStatus"] == "applied", job
    assert output(server, workspace) == "private"
    assert any(private.seen)
    assert b"git" in watch.commands
    assert watch.found == set()
    logs = b"".join(server.client.log(number, step["id"]) for step in server.client.steps(number))
    assert CANARY.encode() not in logs
    assert b"***" not in logs  # not even redacted: it was not there
    server.api.stop()
    assert files_with(server.api.data_dir, CANARY.encode()) == []


def test_a_wrong_token(start_server: StartServer, private: HttpGit) -> None:
    """The message says what to do and not the token, no answer shows it, and it cannot be led to another host."""
    server = start_server(SETTINGS)
    vcs = token_of(server, private, CANARY + "-expired")
    message = failed(server, made(server, "vcs", vcs, source=f"{private.url}/infra/.git"))
    assert "refused the token" in message
    assert "accessToken" in message
    assert CANARY not in message
    one = server.client.path(f"vcs/{vcs}")
    body = {"data": {"type": "vcs", "id": vcs, "attributes": {"endpoint": "https://evil.example"}}}
    assert server.client.call("PATCH", one, json=body).status_code == 422
    body = {"data": {"type": "vcs", "id": vcs, "attributes": {"accessToken": CANARY}}}
    assert CANARY not in server.client.call("PATCH", one, json=body).text
    assert CANARY not in server.client.call("GET", one).text
    assert CANARY not in server.client.call("GET", server.client.path("vcs")).text


def test_a_credential_must_fit(start_server: StartServer) -> None:
    """Wrong host, wrong protocol, a stranger's credential, an ssh URL without a key: refused at save."""
    server = start_server(WITH_SSH)
    vcs = credential(server, "vcs", vcsType="GITHUB", accessToken="token-of-github")
    for source in ("https://gitlab.com/a/b.git", "git@github.com:a/b.git", "http://github.com/a/b"):
        answer = make(server, "vcs", vcs, source=source)
        assert answer.status_code == 422, source
        assert "token-of-github" not in answer.text
    assert make(server, "vcs", new_id("vcs"), source="https://github.com/a/b").status_code == 422
    data = {"type": "workspace", "attributes": {"name": "bare", "source": "git@github.com:a/b.git"}}
    answer = server.client.call("POST", server.client.path("workspace"), json={"data": data})
    assert answer.status_code == 422
    assert "`ssh` resource" in answer.text
    workspace = made(server, "vcs", vcs, source="https://github.com/a/b.git")
    assert server.client.call("DELETE", server.client.path(f"vcs/{vcs}")).status_code == 409
    clear = {"data": {"type": "workspace", "id": workspace, "relationships": {"vcs": {"data": None}}}}
    assert server.client.call("PATCH", server.client.path(f"workspace/{workspace}"), json=clear).is_success
    assert server.client.call("DELETE", server.client.path(f"vcs/{vcs}")).status_code == 204
    server.client.make_organization("other")
    assert make(server, "vcs", vcs, source="https://github.com/a/b").status_code == 422


@pytest.mark.skipif(SSHD is None, reason="no sshd on this machine")
def test_a_key_opens_where_the_host_is_known(start_server: StartServer, tmp_path: Path) -> None:
    """The right key and host key; then another host key, then a key that the host does not know."""
    server = start_server(WITH_SSH)
    repository = Repository(tmp_path / "infra")
    repository.commit("by ssh")
    with ssh_git(tmp_path / "sshd") as host:
        source = host.url(repository.path)
        good = credential(server, "ssh", privateKey=host.private_key, knownHosts=host.known_hosts)
        workspace = made(server, "ssh", good, source=source)
        watch = Watch(host.private_key.splitlines()[2].encode())
        try:
            job = server.client.finished(server.client.run(workspace))
        finally:
            watch.stop()
        assert job["runStatus"] == "applied", job
        assert output(server, workspace) == "by ssh"
        assert watch.found == set()
        assert b"ssh" in watch.commands

        other = make_key(tmp_path / "other").with_suffix(".pub").read_text()
        false = credential(server, "ssh", privateKey=host.private_key, knownHosts=f"[127.0.0.1]:{host.port} {other}")
        assert "known hosts" in failed(server, made(server, "ssh", false, source=source))
        unknown = credential(server, "ssh", privateKey=(tmp_path / "other").read_text(), knownHosts=host.known_hosts)
        assert "refused the SSH key" in failed(server, made(server, "ssh", unknown, source=source))
        nobody = credential(server, "ssh", privateKey=host.private_key)
        answer = make(server, "ssh", nobody, source=source)
        assert answer.status_code == 422
        assert f"ssh-keyscan -p {host.port}" in answer.text
    server.api.stop()
    assert files_with(server.api.data_dir, host.private_key.splitlines()[2].encode()) == []


def test_a_clone_that_hangs(start_server: StartServer, tmp_path: Path) -> None:
    """It is ended by a cancel at once, and by its own time otherwise."""
    repository = Repository(tmp_path / "infra")
    repository.commit("x")
    with http_git(tmp_path) as git:
        git.hold.set()
        server = start_server({**SETTINGS, "PODFORM_GIT_TIMEOUT_SECONDS": "2"})
        workspace = server.client.make_workspace(source=f"{git.url}/infra/.git")
        job = server.client.finished(server.client.run(workspace, "Plan"))
        assert job["failureReason"] == "timed_out"
        assert "PODFORM_GIT_TIMEOUT_SECONDS" in job["message"]

        git.asked.clear()
        patient = start_server(SETTINGS)
        workspace = patient.client.make_workspace(source=f"{git.url}/infra/.git")
        number = patient.client.run(workspace, "Plan")
        assert git.asked.wait(60)
        assert patient.client.decide(number, "cancelled").is_success
        assert patient.client.finished(number)["runStatus"] == "canceled"


def test_a_server_that_stumbles(start_server: StartServer, tmp_path: Path) -> None:
    """What may pass is tried again: the run does not fail for one bad moment of the git host."""
    Repository(tmp_path / "infra").commit("x")
    server = start_server(SETTINGS)
    with http_git(tmp_path) as git:
        git.stumbles = 1
        workspace = server.client.make_workspace(source=f"{git.url}/infra/.git")
        number = server.client.run(workspace, "Plan")
        assert server.client.finished(number)["runStatus"] == "planned_and_finished"
        (step,) = server.client.steps(number)
        assert b"tried again" in server.client.log(number, step["id"])

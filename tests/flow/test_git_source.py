"""Runs whose configuration comes from git: real repositories, the real git, a real terraform."""

import functools
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.flow.conftest import Started, StartServer

SETTINGS = {"PODFORM_GIT_PROTOCOLS": "https,http,file"}


class Repository:
    """A repository that tests write to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.git("init", "-q", "-b", "main", str(path), directory=path.parent)

    def git(self, *arguments: str, directory: Path | None = None) -> str:
        """One git command."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "protocol.file.allow",
            "GIT_CONFIG_VALUE_0": "always",
            **{f"GIT_{who}_{what}": f"ann@{what}" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        }
        command = ["git", *arguments]
        done = subprocess.run(
            command, cwd=directory or self.path, env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def commit(self, value: str, folder: str = ".") -> str:
        """A commit of a configuration whose output is this value; its id."""
        (self.path / folder).mkdir(exist_ok=True)
        (self.path / folder / "main.tf").write_text(f'output "o" {{\n  value = "{value}"\n}}\n')
        self.git("add", "-A")
        self.git("commit", "-q", "-m", f"say {value}")
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A fresh repository."""
    return Repository(tmp_path / "infra")


@pytest.fixture
def server(start_server: StartServer) -> Started:
    """A server that allows what tests can offer."""
    return start_server(SETTINGS)


def failed(server: Started, workspace: str) -> str:
    """The message of a run that fails."""
    job = server.client.finished(server.client.run(workspace, "Plan"))
    assert (job["runStatus"], job["failureReason"]) == ("errored", "bad_configuration")
    return str(job["message"])


def output(server: Started, workspace: str) -> Any:
    """The value that the workspace's state says."""
    return server.client.state(workspace)["outputs"]["o"]["value"]


def test_an_apply_gets_what_was_planned(server: Started, repository: Repository) -> None:
    """The branch moves and the repository goes away between plan and apply: the planned commit is applied."""
    planned = repository.commit("first")
    workspace = server.client.make_workspace(source=repository.path.as_uri(), branch="main")
    number = server.client.run(workspace, "Terraform-Plan/Apply-Cli")
    job = server.client.wait(number, lambda job: job["runStatus"] == "planned")
    assert (job["commitId"], job["commitMessage"]) == (planned, "say first")
    assert job["commitAuthor"] == "ann@NAME <ann@EMAIL>"

    repository.commit("second")
    shutil.rmtree(repository.path)
    assert server.client.decide(number, "approved").is_success
    assert server.client.finished(number)["runStatus"] == "applied"
    assert output(server, workspace) == "first"


def test_branch_tag_commit_and_folder(server: Started, repository: Repository) -> None:
    """A run may name another branch, a tag or a commit; terraform runs in the workspace's folder."""
    first = repository.commit("one", "deep")
    repository.git("tag", "-a", "v1", "-m", "v1")
    repository.commit("two", "deep")
    repository.git("checkout", "-q", "-b", "other")
    repository.commit("three", "deep")
    workspace = server.client.make_workspace(source=repository.path.as_uri(), branch="main", folder="deep")
    for branch, value in ((first, "one"), ("main", "two"), ("v1", "one"), ("other", "three")):
        job = server.client.finished(server.client.run(workspace, overrideBranch=branch))
        assert job["runStatus"] == "applied", job
        assert output(server, workspace) == value


def test_what_is_missing_is_named(server: Started, repository: Repository) -> None:
    """A branch, a folder, a commit, a repository that is not there."""
    repository.commit("x")
    source = repository.path.as_uri()
    assert "'nope'" in failed(server, server.client.make_workspace("a", source=source, branch="nope"))
    assert "'nope'" in failed(server, server.client.make_workspace("b", source=source, folder="nope"))
    assert "0000" in failed(server, server.client.make_workspace("c", source=source, branch="0" * 40))
    assert "git ls-remote" in failed(server, server.client.make_workspace("d", source=f"{source}-not"))


def test_submodules_come_along(server: Started, repository: Repository, tmp_path: Path) -> None:
    """Submodules are checked out too, and terraform finds their modules."""
    module = Repository(tmp_path / "module")
    module.commit("from the module")
    repository.git("submodule", "add", "-q", module.path.as_uri(), "mod")
    (repository.path / "main.tf").write_text(
        'module "m" {\n  source = "./mod"\n}\noutput "o" {\n  value = module.m.o\n}\n'
    )
    repository.git("add", "-A")
    repository.git("commit", "-q", "-m", "with a module")
    workspace = server.client.make_workspace(source=repository.path.as_uri())
    assert server.client.finished(server.client.run(workspace))["runStatus"] == "applied"
    assert output(server, workspace) == "from the module"


@pytest.fixture
def served(repository: Repository) -> Iterator[str]:
    """The repository over HTTP as plain files, which know no shallow fetch; its URL."""
    repository.commit("served")
    repository.git("update-server-info")
    quiet = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(quiet, directory=repository.path)) as web:
        thread = threading.Thread(target=web.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{web.server_address[1]}/.git"
        web.shutdown()
        thread.join()


def test_a_server_without_shallow_fetches(server: Started, served: str) -> None:
    """Where a shallow fetch is not possible, everything is fetched."""
    workspace = server.client.make_workspace(source=served, branch="main")
    assert server.client.finished(server.client.run(workspace))["runStatus"] == "applied"
    assert output(server, workspace) == "served"


def test_a_hostile_repository(server: Started, repository: Repository, served: str) -> None:
    """A link that leads outside, and a submodule on the executor's own disk, are refused."""
    (repository.path / "out").symlink_to("/etc/passwd")
    repository.commit("x")
    workspace = server.client.make_workspace("a", source=repository.path.as_uri())
    assert "leads outside" in failed(server, workspace)

    (repository.path / "out").unlink()
    repository.git("submodule", "add", "-q", repository.path.as_uri(), "mine")
    repository.commit("y")
    repository.git("update-server-info")
    workspace = server.client.make_workspace("b", source=served)
    assert "transport 'file' not allowed" in failed(server, workspace)


def test_an_upload_can_only_be_planned(server: Started, repository: Repository, tmp_path: Path) -> None:
    """An uploaded configuration of a workspace with a git source is planned, never applied."""
    repository.commit("x")
    workspace = server.client.make_workspace(source=repository.path.as_uri())
    uploaded = server.client.upload(workspace, {"main.tf": ""}, tmp_path / "upload")
    job = server.client.finished(server.client.run(workspace, "Plan", configuration=uploaded))
    assert (job["runStatus"], job["commitId"]) == ("planned_and_finished", "")
    with pytest.raises(AssertionError, match="can only be planned"):
        server.client.run(workspace, configuration=uploaded)

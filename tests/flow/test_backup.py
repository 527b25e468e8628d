"""Back-up while serving, loss of everything, restore: what was there is there, and nothing is applied twice."""

import os
import shutil
import subprocess
import sys
import tarfile
import threading
from pathlib import Path
from typing import Any, Self

import pytest

from tests import databases
from tests.flow import ledger
from tests.flow.conftest import Started, StartServer
from tests.flow.server import ApiProcess, Client


def podform(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command line as a person types it."""
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *map(str, words)],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )


def lost(server: Started) -> None:
    """The machine is gone: the API, its executors, its disk."""
    server.api.kill()
    server.api.end()
    shutil.rmtree(server.api.data_dir)


class Load:
    """Somebody goes on making workspaces with variables and configurations until told to end."""

    def __init__(self, server: Started, scratch: Path) -> None:
        self._server, self._scratch = server, scratch
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self.made = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(30)

    def _work(self) -> None:
        while not self._over.is_set():
            workspace = self._server.client.make_workspace(f"load-{self.made}")
            self._server.client.upload(workspace, {"main.tf": ""}, self._scratch / str(self.made))
            self.made += 1


def backed_up_under_load(server: Started, file: Path, scratch: Path) -> None:
    """A back-up while somebody works: without the key, and private."""
    with Load(server, scratch) as load:
        made = podform("backup", "--data-dir", server.api.data_dir, "--output", file)
    assert made.returncode == 0, made.stderr
    assert load.made > 0
    assert "DOES NOT HOLD THE MASTER KEY" in made.stderr
    assert file.stat().st_mode & 0o777 == 0o600


def is_locked(client: Client, workspace: str) -> Any:
    """Whether a workspace is locked."""
    return client.ok("GET", client.path(f"workspace/{workspace}"))["data"]["attributes"]["locked"]


@pytest.mark.timeout(180)
def test_what_is_restored_is_what_was_there_and_nothing_runs_twice(start_server: StartServer, tmp_path: Path) -> None:
    """Under load and with an apply under way: states are equal, runs that had not ended are errored and locked."""
    server = start_server()
    client, data, file, key = server.client, server.api.data_dir, tmp_path / "backup.tar", tmp_path / "key"
    book = tmp_path / "ledger"
    done = client.make_workspace("done")
    client.upload(done, {"main.tf": 'resource "terraform_data" "x" { input = "kept" }'}, tmp_path / "done")
    assert client.finished(client.run(done))["runStatus"] == "applied"
    busy = client.make_workspace("busy")
    client.upload(busy, ledger.ledger_configuration(book, count=4, seconds=4), tmp_path / "busy")
    applying, waiting = client.run(busy), client.run(busy)
    client.wait(applying, lambda job: job["runStatus"] == "applying")
    state = client.state(done)

    backed_up_under_load(server, file, tmp_path / "load")
    shutil.copyfile(data / "master.key", key)
    lost(server)
    written = ledger.lines(book)
    restored = podform("restore", "--data-dir", data, "--input", file, "--master-key-file", key)
    assert restored.returncode == 0, restored.stderr
    assert f"({applying}, {waiting})" in restored.stderr
    server.api.start()

    assert client.state(done) == state
    for number in (applying, waiting):
        job = client.job(number)
        assert (job["runStatus"], job["failureReason"]) == ("errored", "outcome_unknown")
        assert "restored from a back-up of" in job["message"]
    assert (is_locked(client, busy), is_locked(client, done)) == (True, False)
    assert client.finished(client.run(done))["runStatus"] in {
        "applied",
        "planned_and_finished",
    }
    assert ledger.lines(book) == written


@pytest.mark.timeout(180)
def test_a_database_that_was_put_back_is_settled(tmp_path: Path) -> None:
    """PostgreSQL by its own tools, the rest copied: states are equal, and a run that waited does not go on."""
    databases.start()
    url, other_url = databases.new_database(), databases.new_database()
    old, new, dump = tmp_path / "old", tmp_path / "new", tmp_path / "dump"
    api = ApiProcess(old, {"PODFORM_DATABASE_URL": url}).start()
    client = Client(api.url)
    client.make_organization()
    workspace = client.make_workspace()
    client.upload(workspace, {"main.tf": 'resource "terraform_data" "x" { input = "kept" }'}, tmp_path / "tf")
    client.finished(client.run(workspace))
    waits = client.run(workspace, isDestroy=True, autoApply=False)
    client.wait(waits, lambda job: job["runStatus"] == "planned")
    state = client.state(workspace)

    put_away(old, url, new, dump)
    api.end()
    postgres_tool("pg_restore", "--clean", "--if-exists", f"--dbname={other_url}", dump)
    refused = podform("restore", "--data-dir", new, "--settle", "--input", dump)
    settled = podform("restore", "--data-dir", new, "--settle", PODFORM_DATABASE_URL=other_url)
    api = ApiProcess(new, {"PODFORM_DATABASE_URL": other_url}, port=api.port).start()
    try:
        assert (refused.returncode, settled.returncode) == (2, 0), settled.stderr
        assert client.state(workspace) == state
        assert client.job(waits)["failureReason"] == "outcome_unknown"
        assert client.decide(waits, "approved").status_code == 409
        assert is_locked(client, workspace)
    finally:
        client.http.close()
        api.end()


def put_away(old: Path, url: str, new: Path, dump: Path) -> None:
    """The database first, what it names after it, and the key."""
    postgres_tool("pg_dump", "--format=custom", f"--file={dump}", url)
    for name in ("logs", "artifacts"):
        shutil.copytree(old / name, new / name)
    shutil.copyfile(old / "master.key", new / "master.key")


def postgres_tool(program: str, *arguments: str | Path) -> None:
    """One of PostgreSQL's own programs, which must succeed."""
    command = [databases._binaries() / program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def test_what_cannot_be_restored_is_refused(start_server: StartServer, tmp_path: Path) -> None:
    """Another key, a missing state, a cut file, a directory that is not empty: one line, and nothing is left behind."""
    server = start_server()
    client, data, file = server.client, server.api.data_dir, tmp_path / "backup.tar"
    workspace = client.make_workspace()
    client.upload(workspace, {"main.tf": 'resource "terraform_data" "x" {}'}, tmp_path / "tf")
    client.finished(client.run(workspace))
    made = podform("backup", "--data-dir", data, "--output", file, "--with-keys")
    assert "AND THE KEYS" in made.stderr
    other_key = "A" * 43 + "="
    target = tmp_path / "restored"
    cut, bare = tmp_path / "cut.tar", tmp_path / "bare.tar"
    _without(file, cut, "podform-backup.json")
    _without(file, bare, "artifacts/states")

    refusals = {
        "is not empty": podform("restore", "--data-dir", data, "--input", file),
        "is not the key": podform("restore", "--data-dir", target, "--input", file, PODFORM_MASTER_KEY=other_key),
        "no whole back-up": podform("restore", "--data-dir", target, "--input", cut),
        "is missing": podform("restore", "--data-dir", target, "--input", bare),
        "exists already": podform("backup", "--data-dir", data, "--output", file),
        "holds no podform.db": podform("backup", "--data-dir", tmp_path, "--output", tmp_path / "none.tar"),
    }

    for words, refusal in refusals.items():
        assert words in refusal.stderr, refusal
        assert refusal.returncode in {1, 2}
        assert "Traceback" not in refusal.stderr
    assert not target.exists()
    assert not list(tmp_path.glob(".*restor*"))
    assert podform("restore", "--data-dir", target, "--input", file).returncode == 0
    api = ApiProcess(target)
    try:
        api.start()
    finally:
        api.end()


def _without(file: Path, changed: Path, prefix: str) -> None:
    with tarfile.open(file) as whole, tarfile.open(changed, "w") as less:
        for member in whole:
            if not member.name.startswith(prefix):
                less.addfile(member, whole.extractfile(member))

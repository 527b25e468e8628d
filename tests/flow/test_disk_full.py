"""The disk of the API is full: it serves on and says so; what could not be kept is delivered when there is room."""

import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from common import archive
from tests.flow import ledger
from tests.flow.server import ApiProcess, Client

_SIZE_BYTES = 12 * 1024**2


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with little room: nothing else can be full in the same way."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    made = mount and subprocess.run(
        [mount, "-t", "tmpfs", "-o", f"size={_SIZE_BYTES}", "tmpfs", disk], capture_output=True, check=False
    )
    if not made or made.returncode != 0:
        pytest.skip("a file system of limited size cannot be mounted here: it takes root and CAP_SYS_ADMIN")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def fill(disk: Path) -> Path:
    """Leave no byte of room."""
    filler = disk / "filler"
    with filler.open("ab", buffering=0) as file:
        for size in (1024**2, 4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                pass
    assert shutil.disk_usage(disk).free == 0
    return filler


@pytest.mark.terraform
def test_an_apply_outlives_a_full_disk(small_disk: Path, tmp_path: Path) -> None:
    """Logs, states and the report are kept by the executor until there is room: applied once, nothing missing."""
    # the executor's own directory has room: it is the API's disk that is full
    # the whole disk is smaller than what `/readyz` wants to be free
    settings = {"Terraform__RootWorkingDirectory": str(tmp_path / "work"), "PODFORM_MINIMUM_FREE_BYTES": "0"}
    api = ApiProcess(small_disk / "data", settings).start()
    client = Client(api.url)
    try:
        client.make_organization()
        _apply_on_a_full_disk(client, small_disk, tmp_path)
        assert "Traceback" not in api.output()
    finally:
        client.http.close()
        api.end()


def _apply_on_a_full_disk(client: Client, disk: Path, tmp_path: Path) -> None:
    workspace = client.make_workspace()
    book = tmp_path / "ledger"
    client.upload(workspace, ledger.ledger_configuration(book, count=4, seconds=1), tmp_path / "tf")
    content = archive.pack(tmp_path / "tf", ["main.tf"])
    announced = _announced(client, workspace)
    number = client.run(workspace)
    client.wait(number, lambda job: job["runStatus"] == "applying" and bool(ledger.lines(book)))
    filler = fill(disk)
    until = time.monotonic() + 30
    while len(ledger.lines(book)) < 4:
        assert time.monotonic() < until
        time.sleep(0.1)
    time.sleep(1)

    assert client.job(number)["runStatus"] == "applying"
    assert client.call("GET", "/healthz").status_code == 200
    for refused in (_row(client, workspace), client.call("PUT", announced, content=content)):
        assert refused.status_code == 507
        assert "no room" in refused.json()["errors"][0]["detail"]

    filler.unlink()
    assert client.finished(number)["runStatus"] == "applied"
    log = client.log(number, client.steps(number)[-1]["id"])
    assert log.count(b"Creation complete") == 4
    assert b"Apply complete! Resources: 4 added" in log
    assert ledger.lines(book) == ["0", "1", "2", "3"]
    assert len(client.state(workspace)["resources"]) == 4
    client.set_variable(workspace, "after", "wards")
    client.ok("PUT", announced, content=content)


def _announced(client: Client, workspace: str) -> str:
    """A configuration whose content is still to come: where it goes."""
    path = client.path(f"workspace/{workspace}/configuration")
    made = client.ok("POST", path, json={"data": {"type": "configuration", "attributes": {}}})
    return f"{path}/{made['data']['id']}/content"


def _row(client: Client, workspace: str) -> httpx.Response:
    """The first write of a row that finds no room: the database may have kept a little for itself."""
    for number in range(50):
        fields = {"key": f"big{number}", "value": secrets.token_hex(100_000), "category": "TERRAFORM"}
        body = {"data": {"type": "variable", "attributes": fields}}
        answer = client.call("POST", client.path(f"workspace/{workspace}/variable"), json=body)
        if not answer.is_success:
            return answer
    raise AssertionError("there was room after all")

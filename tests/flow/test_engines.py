"""Engines fetched by the API from a release site, kept, and used by real runs on a machine without one."""

import shutil
import sys
import zipfile
from pathlib import Path

import pytest

from executor import engines
from tests.fakes.release_site import publish, serving
from tests.flow.conftest import StartServer
from tests.integration.executor.test_steps import terraform_version

FILES = {"main.tf": 'resource "terraform_data" "x" {\n  input = "v"\n}\n'}


@pytest.fixture
def bare_path(tmp_path: Path) -> str:
    """A PATH without any engine."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "env", "sleep", "dirname"):
        found = shutil.which(name)
        assert found is not None
        (programs / name).symlink_to(found)
    return str(programs)


def test_engine_from_a_mirror(start_server: StartServer, tmp_path: Path, terraform: str, bare_path: str) -> None:
    """Three runs at once fetch the engine once; another one needs neither the mirror nor this machine's cache."""
    site, version = tmp_path / "site", terraform_version()
    publish(site, Path(terraform), version)
    with serving(site) as web:
        server = start_server({"PATH": bare_path, "PODFORM_ENGINE_MIRROR_TERRAFORM": web.url})
        client = server.client
        workspaces = [client.make_workspace(f"w{n}", terraformVersion=f"<= {version}") for n in range(3)]
        for number, workspace in enumerate(workspaces):
            client.upload(workspace, FILES, tmp_path / f"files-{number}")
        runs = [client.run(workspace, autoApply=True) for workspace in workspaces]
        for run in runs:
            assert client.finished(run)["runStatus"] == "applied", client.log(run, client.steps(run)[0]["id"])
        assert len([path for path in web.requests if path.endswith(".zip")]) == 1
        logs = [client.log(run, step["id"]) for run in runs for step in client.steps(run)]
        assert sum(b"fetching terraform" in log for log in logs) == 1
        (shown,) = client.ok("GET", "/engines/v1")["engines"]
        assert (shown["name"], shown["version"], shown["where"]) == ("terraform", version, "store")
    server.api.stop()
    shutil.rmtree(server.api.data_dir / "work/engines")
    shutil.rmtree(server.api.data_dir / "engines")
    server.api.start()
    again = client.run(workspaces[0], autoApply=True)
    assert client.finished(again)["runStatus"] in {"applied", "planned_and_finished"}
    mirror = client.ok("GET", "/engines/v1")["mirrors"][0]
    assert mirror["reachable"] is False
    assert "cannot be reached" in mirror["problem"]


@pytest.mark.parametrize("mirrored", [True, False])
def test_no_engine_fits(
    start_server: StartServer, tmp_path: Path, bare_path: str, terraform: str, mirrored: bool
) -> None:
    """What is wanted, what is there, and what would help stands in the run's message."""
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    publish(tmp_path / "site", program, "1.5.7")
    settings = {"PODFORM_ENGINE_MIRROR_TERRAFORM": str(tmp_path / "site")} if mirrored else {}
    server = start_server({"PATH": bare_path, **settings})
    workspace = server.client.make_workspace(terraformVersion="~> 1.9")
    server.client.upload(workspace, FILES, tmp_path / "files")
    run = server.client.run(workspace)
    assert server.client.finished(run)["runStatus"] == "errored"
    log = server.client.log(run, server.client.steps(run)[0]["id"]).decode()
    assert "terraform ~> 1.9 is wanted" in log
    assert "PODFORM_ENGINE_MIRROR_TERRAFORM" in log
    assert ("it has 1.5.7" if mirrored else "names no mirror") in log


def test_providers_by_settings_of_the_api(start_server: StartServer, tmp_path: Path) -> None:
    """Local executors take providers from the API's mirror directories and keep them beside their work."""
    program = Path(sys.prefix) / "lib/terraform-provider-null_v2.1.2_x4"
    provider = tmp_path / "mirror/registry.terraform.io/hashicorp/null"
    provider.mkdir(parents=True)
    archive = provider / f"terraform-provider-null_2.1.2_{engines.platform()}.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.write(program, program.name)
    server = start_server({"PODFORM_PROVIDER_MIRRORS": str(tmp_path / "mirror")})
    workspace = server.client.make_workspace()
    server.client.upload(workspace, {"main.tf": 'resource "null_resource" "x" {}\n'}, tmp_path / "files")
    run = server.client.run(workspace, autoApply=True)
    assert server.client.finished(run)["runStatus"] == "applied", server.client.log(
        run, server.client.steps(run)[0]["id"]
    )
    (kept,) = (server.api.data_dir / "work/providers").iterdir()
    assert (kept / program.name).read_bytes() == program.read_bytes()

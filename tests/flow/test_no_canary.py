"""After a run with sensitive values everywhere, none of them lies in plain anywhere that Podform keeps or shows."""

import base64
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fakes.kubernetes_api import Cluster
from tests.flow.conftest import Started, StartServer
from tests.flow.server import ADMIN_TOKEN
from tests.flow.test_kubernetes_mode import SECRET, settings

CANARIES = {name: f"canary-{name}-7e57-0a1b2c3d4e5f" for name in ("input", "environment", "state")}

CONFIGURATION = """
variable "word" {
  sensitive = true
}
resource "terraform_data" "a" {
  input = var.word
  provisioner "local-exec" {
    command = "echo ${self.input}; echo $HIDDEN; printenv HIDDEN | rev | rev"
  }
}
resource "terraform_data" "b" {
  input = sensitive("STATE")
}
output "word" {
  value     = terraform_data.a.output
  sensitive = true
}
""".replace("STATE", CANARIES["state"])


@contextmanager
def served(mode: str, start_server: StartServer) -> Iterator[tuple[Started, Cluster | None]]:
    """A server whose steps are processes, or Jobs of the stand-in cluster."""
    if mode == "process":
        yield start_server(), None
        return
    with Cluster(secrets={"terrakube-executor-secrets": {"InternalSecret": SECRET}}) as cluster:
        yield start_server(settings(cluster)), cluster


@pytest.mark.terraform
@pytest.mark.parametrize("mode", ["process", "kubernetes"])
def test_no_value_lies_in_plain(mode: str, start_server: StartServer, tmp_path: Path) -> None:
    """Database file, artifacts, logs, the server's own output, manifests; before and after a rotation of the keys."""
    with served(mode, start_server) as (server, cluster):
        client = server.client
        workspace = client.make_workspace()
        client.set_variable(workspace, "word", CANARIES["input"], sensitive=True)
        client.set_variable(workspace, "HIDDEN", CANARIES["environment"], category="ENV", sensitive=True)
        client.upload(workspace, {"main.tf": CONFIGURATION}, tmp_path / "tf")
        number = client.run(workspace)
        assert client.finished(number)["runStatus"] == "applied"
        assert client.state(workspace)["outputs"]["word"]["value"] == CANARIES["input"]
        logs = b"".join(client.log(number, step["id"]) for step in client.steps(number))
        assert b"Apply complete" in logs
        assert found_in(logs) == []
        if cluster is not None:
            assert len(cluster.jobs()) == 2
            assert found_in(json.dumps([cluster.jobs(), cluster.pods()]).encode()) == []
        assert kept_in_plain(server.api.data_dir) == {}
        client.ok("POST", "/keys/v1/rotate", json={})
        while client.ok("GET", "/keys/v1")["resealing"]:
            pass
        assert kept_in_plain(server.api.data_dir) == {}


def kept_in_plain(directory: Path) -> dict[str, list[str]]:
    """File -> the canaries that it holds; the files that hold keys by their purpose are left out."""
    secrets = {"master.key", "internal.secret"}
    paths = [path for path in directory.rglob("*") if path.is_file() and path.name not in secrets]
    assert {"podform.db"} <= {path.name for path in paths}
    assert any("artifacts" in path.parts for path in paths)
    return {str(path): found for path in paths if (found := found_in(path.read_bytes()))}


def found_in(content: bytes) -> list[str]:
    """The canaries in it: as they are, in base64 at each of its three places, or below a compression."""
    opened = [content]
    for begin in (content.find(b"\x78\x01"), content.find(b"\x78\x9c")):
        if begin >= 0:
            try:
                opened.append(zlib.decompressobj().decompress(content[begin:]))
            except zlib.error:
                pass
    found = []
    for name, value in (*CANARIES.items(), ("admin token", ADMIN_TOKEN)):
        forms = [value.encode()]
        forms += [base64.b64encode(b"x" * shift + value.encode())[4:-4] for shift in range(3)]
        if any(form in text for form in forms for text in opened):
            found.append(name)
    return found

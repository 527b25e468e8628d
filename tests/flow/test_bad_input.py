"""Bad input gets a clear sentence and loses nothing: the workspace is free afterwards and the next good run works."""

import hashlib
import http.client
import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.flow.conftest import Started, StartServer
from tests.flow.server import ADMIN_TOKEN, Client

pytestmark = pytest.mark.terraform

GOOD = {"good.tf": 'resource "terraform_data" "good" {\n  input = "good"\n}\n'}
CANARY = "canary-9f31-of-a-secret"


def next_good_run(client: Client, workspace: str, tmp_path: Path) -> None:
    """The workspace is free, and a good configuration is applied."""
    attributes = client.ok("GET", client.path(f"workspace/{workspace}"))["data"]["attributes"]
    assert attributes["locked"] is False
    client.upload(workspace, GOOD, tmp_path / "good")
    assert client.finished(client.run(workspace))["runStatus"] == "applied"


def failed(client: Client, workspace: str) -> dict[str, Any]:
    """A run that must end errored with a sentence."""
    job = client.finished(client.run(workspace))
    assert job["runStatus"] == "errored", job
    assert len(job["message"]) > 10
    return job


CONFIGURATIONS: dict[str, tuple[dict[str, str], str, list[str]]] = {
    "broken": ({"main.tf": 'resource "terraform_data" {\n'}, "terraform_failed", ["main.tf"]),
    "missing-variable": ({"main.tf": 'variable "size" {}\n'}, "terraform_failed", ["No value for required variable"]),
    "without-tf-files": ({"README.md": "nothing"}, "bad_configuration", ["*.tf"]),
    "takes-the-backend": (
        {"main.tf": "", "~q_override.tf": 'terraform {\n  backend "local" {\n    path = "elsewhere.tfstate"\n  }\n}\n'},
        "bad_configuration",
        ["backend"],
    ),
    "unknown-provider": (
        {"main.tf": 'terraform {\n  required_version = ">= 99"\n}\n'},
        "terraform_failed",
        ["Unsupported Terraform Core version"],
    ),
}


@pytest.mark.parametrize(("files", "reason", "said"), CONFIGURATIONS.values(), ids=CONFIGURATIONS.keys())
def test_a_configuration_that_cannot_work(
    start_server: StartServer, tmp_path: Path, files: dict[str, str], reason: str, said: list[str]
) -> None:
    """The run says what is wrong, by a stable reason and a sentence."""
    client = start_server().client
    workspace = client.make_workspace()
    client.upload(workspace, files, tmp_path / "bad")
    job = failed(client, workspace)
    assert job["failureReason"] == reason
    assert all(word in job["message"] for word in said), job["message"]
    next_good_run(client, workspace, tmp_path)


def archive_of(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> bytes:
    """An archive with one entry."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as made:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, target
        made.addfile(info)
    return buffer.getvalue()


def test_an_archive_that_is_none_is_refused_at_upload(start_server: StartServer, tmp_path: Path) -> None:
    """422 that names the field, for truncated, hostile and empty ones alike; the same place takes a good one."""
    client = start_server().client
    workspace = client.make_workspace()
    path = client.path(f"workspace/{workspace}/configuration")
    made = client.ok("POST", path, json={"data": {"type": "configuration", "attributes": {}}})["data"]["id"]
    good = archive_of("main.tf")
    bad = {
        "empty": b"",
        "text": b"resource {}",
        "truncated": good[:-9],
        "without a file": archive_of("a", tarfile.DIRTYPE),
        "outside": archive_of("../main.tf"),
        "absolute": archive_of("/etc/x.tf"),
        "link": archive_of("l", tarfile.SYMTYPE, "../../etc"),
        "device": archive_of("d", tarfile.CHRTYPE),
    }
    for name, content in bad.items():
        answer = client.call("PUT", f"{path}/{made}/content", content=content)
        assert answer.status_code == 422, (name, answer.text)
        assert answer.json()["errors"][0]["detail"].startswith("configuration: the archive"), name
    assert client.call("GET", f"{path}/{made}").json()["data"]["attributes"]["status"] == "pending"
    client.ok("PUT", f"{path}/{made}/content", content=good)
    next_good_run(client, workspace, tmp_path)


def test_a_workspace_with_a_hostile_name_is_refused(start_server: StartServer, tmp_path: Path) -> None:
    """Slashes and dots lead nowhere; letters of any language are fine, from end to end."""
    client = start_server().client
    for name in ("büro/../x", "..", "", "a b", "a\0b", "a\nb", "x" * 91, "$(x)"):
        body = {"data": {"type": "workspace", "attributes": {"name": name}}}
        answer = client.call("POST", client.path("workspace"), json=body)
        assert answer.status_code == 422, name
        error = answer.json()["errors"][0]
        assert error["source"] == {"pointer": "/data/attributes/name"}
        assert error["detail"].startswith("name: ")
    next_good_run(client, client.make_workspace("büro"), tmp_path)


VALUES = """
variable "big" {}
variable "odd" {}
variable "expression" {}
output "big" { value = sha256(var.big) }
output "odd" { value = var.odd }
output "expression" { value = var.expression.a[1] }
resource "terraform_data" "environment" {
  input = 1
  provisioner "local-exec" {
    command = "printenv ODD > %s"
  }
}
"""
ODD = 'line one\nline "two"\r\n\t$(X) ${x} %{ if } %%{ $${y} \\ \\n \' ` ü \U0001f600 #{z} <<EOT\nEOT\n'


def test_values_reach_terraform_exactly(start_server: StartServer, tmp_path: Path) -> None:
    """1 MB, newlines, quotes, templates, shell: nothing on the way makes anything of them."""
    client = start_server().client
    workspace = client.make_workspace()
    printed = tmp_path / "printed"
    client.upload(workspace, {"main.tf": VALUES % printed}, tmp_path / "tf")
    big = (ODD * 20_000)[: 1024**2]
    client.set_variable(workspace, "big", big)
    client.set_variable(workspace, "odd", ODD + "\0")
    client.set_variable(workspace, "expression", '{ a = [1, "${1 + 1}"] }', hcl=True)
    client.set_variable(workspace, "ODD", ODD, category="ENV")
    assert client.finished(client.run(workspace))["runStatus"] == "applied"
    outputs = client.state(workspace)["outputs"]
    assert outputs["big"]["value"] == hashlib.sha256(big.encode()).hexdigest()
    assert outputs["odd"]["value"] == ODD + "\0"
    assert outputs["expression"]["value"] == 2
    assert printed.read_bytes() == ODD.encode() + b"\n"


def test_values_that_cannot_be_are_refused_when_saved(start_server: StartServer, tmp_path: Path) -> None:
    """Too big for an environment, a NUL in it, too big at all, reserved names: 422 that names the field."""
    server = start_server({"PODFORM_MAX_VARIABLE_BYTES": "200000"})
    client = server.client
    workspace = client.make_workspace()
    refused: list[tuple[dict[str, Any], str]] = [
        ({"key": "BIG", "value": "v" * 131_072, "category": "ENV"}, "value"),
        ({"key": "NUL", "value": "a\0b", "category": "ENV"}, "value"),
        ({"key": "big", "value": "v" * 200_001, "category": "TERRAFORM"}, "value"),
        ({"key": "LD_PRELOAD", "value": "x", "category": "ENV"}, "key"),
        ({"key": "a b", "value": "x", "category": "TERRAFORM"}, "key"),
        ({"key": "", "value": "x", "category": "ENV"}, "key"),
        ({"key": "X", "value": CANARY, "category": "ENV", "hcl": True}, "hcl"),
        ({"key": "X", "value": 5, "category": "ENV"}, "value"),
        ({"key": "X", "value": "x", "category": "env"}, "category"),
    ]
    for fields, field in refused:
        body = {"data": {"type": "variable", "attributes": fields}}
        answer = client.call("POST", client.path(f"workspace/{workspace}/variable"), json=body)
        assert answer.status_code == 422, (fields["key"], answer.text[:300])
        assert answer.json()["errors"][0]["source"] == {"pointer": f"/data/attributes/{field}"}
        assert CANARY not in answer.text
    next_good_run(client, workspace, tmp_path)


BYTES = r"""
resource "terraform_data" "bytes" {
  input = 1
  provisioner "local-exec" {
    command = "printf 'begin\\000\\377\\376\\303end\\n'"
  }
}
"""


def test_output_of_any_bytes_is_a_log(start_server: StartServer, tmp_path: Path) -> None:
    """NUL and what is no UTF-8 neither break the run nor the log, raw or followed."""
    client = start_server().client
    workspace = client.make_workspace()
    client.upload(workspace, {"main.tf": BYTES}, tmp_path / "tf")
    number = client.run(workspace)
    assert client.finished(number)["runStatus"] == "applied"
    step = client.steps(number)[-1]["id"]
    log = client.log(number, step)
    assert b"begin\0\xff\xfe\xc3end\n" in log
    assert b"Apply complete!" in log
    path = f"/tfoutput/v1/organization/{client.organization}/job/{number}/step/{step}/stream"
    followed = client.call("GET", path)
    assert followed.status_code == 200
    assert "Apply complete!" in followed.text
    next_good_run(client, workspace, tmp_path)


def resident_bytes(server: Started) -> int:
    """Memory of the API's process."""
    assert server.api.process is not None
    pages = Path(f"/proc/{server.api.process.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("announced", [True, False])
def test_a_huge_body_is_refused_without_being_kept(start_server: StartServer, tmp_path: Path, announced: bool) -> None:
    """300 MB, announced or in chunks: 413, and the API has not grown by it."""
    server = start_server({"PODFORM_MAX_CONFIGURATION_BYTES": str(4 * 1024**2)})
    client = server.client
    workspace = client.make_workspace()
    path = client.path(f"workspace/{workspace}/configuration")
    made = client.ok("POST", path, json={"data": {"type": "configuration", "attributes": {}}})["data"]["id"]
    before = resident_bytes(server)
    targets = [
        ("PUT", f"{path}/{made}/content"),
        ("POST", path),
        ("POST", client.path(f"workspace/{workspace}/variable")),
    ]
    for method, target in targets:
        assert send_huge(server, method, target, announced=announced) == 413
    assert resident_bytes(server) - before < 64 * 1024**2
    next_good_run(client, workspace, tmp_path)


def send_huge(server: Started, method: str, target: str, *, announced: bool) -> int:
    """Send 300 MB as far as they are taken; the status of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.api.port, timeout=30)
    size = 300 * 1024**2
    connection.putrequest(method, target)
    connection.putheader("Authorization", f"Bearer {ADMIN_TOKEN}")
    connection.putheader("Content-Type", "application/vnd.api+json")
    if announced:
        connection.putheader("Content-Length", str(size))
    else:
        connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    try:
        for block in blocks(size):
            connection.send(block if announced else b"%x\r\n%s\r\n" % (len(block), block))
    except (BrokenPipeError, ConnectionResetError):
        pass  # it has been refused already
    try:
        return connection.getresponse().status
    finally:
        connection.close()


def blocks(size: int) -> Iterator[bytes]:
    """So many bytes."""
    block = b" " * 1024**2
    for _ in range(size // len(block)):
        yield block


SECRETS = """
variable "secret" { sensitive = true }
variable "unmarked" {}
resource "terraform_data" "shout" {
  input = 1
  provisioner "local-exec" {
    command = "echo it is $SHOUTED; echo $UNMARKED; printf '%.9s' $SHOUTED; sleep 0.2; printf $SHOUTED | tail -c +10"
    environment = { UNMARKED = var.unmarked }
  }
}
output "unmarked" { value = var.unmarked }
"""


def test_no_sensitive_value_is_in_any_log(start_server: StartServer, tmp_path: Path) -> None:
    """Neither in a step's log, however it was printed, nor in what the API prints, nor in any answer or message."""
    server = start_server({"PODFORM_LOG_LEVEL": "debug"})
    client = server.client
    workspace = client.make_workspace()
    for key, category in (("secret", "TERRAFORM"), ("unmarked", "TERRAFORM"), ("SHOUTED", "ENV")):
        client.set_variable(workspace, key, f"{CANARY}-{key}", category=category, sensitive=True)
    client.upload(workspace, {"main.tf": SECRETS}, tmp_path / "tf")
    good = client.run(workspace)
    assert client.finished(good)["runStatus"] == "applied"
    client.upload(
        workspace, {"bad.tf": 'output "x" {\n  value = file(var.unmarked)\n}\n', "main.tf": SECRETS}, tmp_path / "t"
    )
    bad = client.run(workspace)
    assert client.finished(bad)["runStatus"] == "errored"
    logs = [client.log(number, step["id"]) for number in (good, bad) for step in client.steps(number)]
    answers = [
        client.call("GET", client.path(f"job/{number}{rest}")).text for number in (good, bad) for rest in ("", "/step")
    ]
    variables = client.call("GET", client.path(f"workspace/{workspace}/variable")).text
    printed = server.api.output()
    assert b"it is " in b"".join(logs)
    for text in (*(log.decode("utf-8", "replace") for log in logs), *answers, variables, printed):
        assert CANARY not in text
    assert httpx.get(f"{server.api.url}/metrics").text.count(CANARY) == 0
    for path in server.api.data_dir.glob("work/attempts/*/*"):
        assert CANARY not in path.read_text(errors="replace"), path

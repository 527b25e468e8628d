"""A bad setting stops the start with one line that names it, exit code 2, and never a secret's value."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from api import settings, settings_source
from common.errors import BadInputError

CANARY = "canary-value-of-a-secret"
KEY = base64.b64encode(bytes(32)).decode()


def start(tmp_path: Path, *arguments: str, file: str | None = None, **environment: str) -> tuple[int, str]:
    """Exit code and output of a start that must end by itself."""
    if file is not None:
        (tmp_path / "appsettings.json").write_text(file)
    data = [] if "PODFORM_DATA_DIR" in environment else ["--data-dir", str(tmp_path / "data")]
    ended = subprocess.run(
        [sys.executable, "-m", "api", "--port", "0", *data, *arguments],
        env={"PATH": os.environ["PATH"], **environment},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    lines = [line for line in (ended.stdout + ended.stderr).splitlines() if "running_as_root" not in line]
    assert len(lines) == 1, lines
    assert CANARY not in lines[0]
    return ended.returncode, lines[0]


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"PODFORM_X": "1"}, ["PODFORM_X", "no setting"]),
        ({"Terraform__Unknown": "1"}, ["Terraform__Unknown", "no setting"]),
        ({"ExecutorEphemeralUnknown": "1"}, ["ExecutorEphemeralUnknown", "no setting"]),
        ({"PODFORM_LOG_FORMAT": "xml"}, ["PODFORM_LOG_FORMAT", "'xml'", "json", "text"]),
        ({"PODFORM_MAX_STATE_BYTES": "1"}, ["PODFORM_MAX_STATE_BYTES", "'1'", "1024"]),
        ({"PODFORM_MAX_STATE_BYTES": "much"}, ["PODFORM_MAX_STATE_BYTES", "'much'", "integer"]),
        ({"AzBuilderApiUrl": "ftp://x"}, ["AzBuilderApiUrl", "ftp://x", "http"]),
        ({"PODFORM_MASTER_KEY": CANARY}, ["PODFORM_MASTER_KEY", "base64 of exactly 32 bytes"]),
        ({"PODFORM_MASTER_KEY": KEY[:-8]}, ["PODFORM_MASTER_KEY", "base64 of exactly 32 bytes"]),
        ({"PODFORM_ADMIN_TOKEN": CANARY[:7]}, ["PODFORM_ADMIN_TOKEN", "8"]),
        ({"InternalSecret": CANARY[:7]}, ["InternalSecret", "8"]),
        ({"PODFORM_MASTER_KEY_FILE": "/missing/key"}, ["PODFORM_MASTER_KEY_FILE", "/missing/key", "No such file"]),
        ({"PODFORM_MASTER_KEY_FILE": "/"}, ["PODFORM_MASTER_KEY_FILE", "directory"]),
        ({"InternalSecretFile": "/missing/secret"}, ["InternalSecretFile", "/missing/secret", "No such file"]),
        ({"InternalSecretFile": "/dev/null"}, ["InternalSecretFile", "at least 8"]),
        ({"PODFORM_DATA_DIR": "/dev/null/x"}, ["PODFORM_DATA_DIR", "/dev/null/x", "Not a directory"]),
        ({"Terraform__RootWorkingDirectory": "/dev/null"}, ["Terraform__RootWorkingDirectory", "/dev/null"]),
        ({"Terraform__KubernetesJobs__Enabled": "maybe"}, ["Terraform__KubernetesJobs__Enabled", "'maybe'"]),
        ({"Terraform__KubernetesJobs__Enabled": "true"}, ["ExecutorEphemeralNamespace", "must be set"]),
        (
            {"ExecutorEphemeralNamespace": "terrakube", "KUBERNETES_SERVICE_HOST": "10.0.0.1"},
            ["AzBuilderApiUrl", "must be set in a cluster"],
        ),
        (
            {"ExecutorEphemeralNamespace": "a", "Terraform__KubernetesJobs__Namespace": "b"},
            ["ExecutorEphemeralNamespace", "'a'", "Terraform__KubernetesJobs__Namespace", "'b'"],
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_a_bad_environment_stops_the_start(tmp_path: Path, environment: dict[str, str], said: list[str]) -> None:
    """The line names the setting, what is wrong and what is allowed."""
    code, line = start(tmp_path, **environment)
    assert code == 2
    assert all(word in line for word in said), line


def test_what_kubernetes_says_of_services_is_no_setting() -> None:
    """A Service called podform sets variables in every container of its namespace: they are none of ours."""
    links = {
        "PODFORM_PORT": "tcp://10.0.0.7:8080",
        "PODFORM_PORT_8080_TCP_ADDR": "10.0.0.7",
        "PODFORM_API_SERVICE_HOST": "10.0.0.7",
        "PODFORM_SERVICE_PORT_HTTP": "8080",
    }
    assert settings_source.read(links, {}, None) == settings_source.read({}, {}, None)


def test_a_key_file_that_is_no_key_is_named(tmp_path: Path) -> None:
    """By the setting that names the file, without what is in it."""
    (tmp_path / "key").write_text(CANARY)
    code, line = start(tmp_path, PODFORM_MASTER_KEY_FILE=str(tmp_path / "key"))
    assert (code, "PODFORM_MASTER_KEY_FILE: must be base64" in line) == (2, True)
    (tmp_path / "key").write_bytes(b"\xff\xfe")
    code, line = start(tmp_path, PODFORM_MASTER_KEY_FILE=str(tmp_path / "key"))
    assert (code, "PODFORM_MASTER_KEY_FILE" in line) == (2, True)


@pytest.mark.parametrize("port", ["abc", "-1", "65536", ""])
def test_a_bad_port_stops_the_start(tmp_path: Path, port: str) -> None:
    """On the command line as in the environment."""
    code, line = start(tmp_path, "--port", port)
    assert code == 2
    assert "PODFORM_PORT" in line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not JSON"),
        ("[]", "must hold a JSON object"),
        ("", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ('{"PODFORM_X": 1}', "PODFORM_X: is no setting"),
        ('{"Terraform": {"KubernetesJobs": {"Enable": true}}}', "Terraform__KubernetesJobs__Enable: is no setting"),
        ('{"PODFORM_PORT": [8080]}', "PODFORM_PORT__0: is no setting"),
        (json.dumps({"PODFORM_ADMIN_TOKEN": {"a": CANARY}}), "PODFORM_ADMIN_TOKEN__a: is no setting"),
        ('{"PODFORM_ADMIN_TOKEN": 12345678901234567}', "PODFORM_ADMIN_TOKEN"),
    ],
)
def test_a_bad_settings_file_stops_the_start(tmp_path: Path, text: str, said: str) -> None:
    """Broken JSON, unknown names, values of another shape."""
    code, line = start(tmp_path, file=text)
    assert code == 2
    assert said in line
    assert "12345678901234567" not in line


def test_a_settings_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """It was asked for."""
    code, line = start(tmp_path, "--settings", "missing.json")
    assert code == 2
    assert "missing.json" in line


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    """No bad setting, but the start cannot go on: exit code 1."""
    code, line = start(tmp_path, "--host", "192.0.2.1", "--port", "1")
    assert code == 1
    assert "cannot listen on 192.0.2.1:1" in line


def read(tmp_path: Path, document: object, environment: dict[str, str] | None = None) -> settings.Settings:
    """The settings of a file and an environment."""
    path = tmp_path / "appsettings.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return settings_source.read(environment or {}, {}, path)


def test_a_settings_file_may_hold_comments_and_sections(tmp_path: Path) -> None:
    """As its readers write it: a mark at the beginning, comments, nested objects; strings stay as they are."""
    text = """\ufeff// at the top
    {
      /* over
         lines */
      "AzBuilderApiUrl": "http://api:80/a", // not a comment in it: //
      "Terraform": {"RootWorkingDirectory": "/work/*not a comment*/", "KubernetesJobs": {"Namespace": "jobs"}}
    }"""
    found = read(tmp_path, text)
    assert found.api_url == "http://api:80/a"
    assert str(found.root_working_directory) == "/work/*not a comment*"
    assert found.job_namespace == "jobs"


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    """And the command line over both."""
    document = {"PODFORM_PORT": 1, "PODFORM_HOST": "::1", "PODFORM_LOG_LEVEL": "debug"}
    found = read(tmp_path, document, {"PODFORM_PORT": "2"})
    assert (found.port, found.host, found.log_level) == (2, "::1", "debug")
    assert settings_source.read({"PODFORM_PORT": "2"}, {"PODFORM_PORT": "3"}, tmp_path / "appsettings.json").port == 3


@pytest.mark.parametrize("field", sorted(field.alias or "" for field in settings.Settings.model_fields.values()))
def test_no_value_of_a_secret_is_shown(field: str) -> None:
    """Whatever is wrong with whichever setting: a secret's value stands in no message."""
    secrets = {known.alias for known in settings.Settings.model_fields.values() if "SecretStr" in str(known.annotation)}
    assert {"PODFORM_ADMIN_TOKEN", "PODFORM_MASTER_KEY", "InternalSecret"} <= secrets
    with pytest.raises(BadInputError) as refused:
        settings_source.read({}, {field: [CANARY]}, None)
    assert refused.value.field == field
    assert (CANARY in str(refused.value)) == (field not in secrets)

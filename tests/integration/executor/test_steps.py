"""Whole steps: the real executor, a real terraform, real HTTP."""

import base64
import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

import executor
from common import ids
from common.executor_api import StepVariable
from common.failure_reasons import FailureReason
from common.statuses import StepKind
from common.step_report import Outcome, ResourceCounts
from executor.exit_codes import ExitCode
from tests.fakes.executor_api import FakeStep
from tests.fakes.executor_process import Bench, bench

THREE = {
    "main.tf": 'resource "terraform_data" "x" {\n  count = 3\n  input = "v"\n}\noutput "o" {\n  value = "done"\n}\n'
}


def variable(key: str, value: str, **more: bool) -> StepVariable:
    """A TERRAFORM variable."""
    return StepVariable(key=key, value=value, category="TERRAFORM", **more)


def env(key: str, value: str, *, sensitive: bool = False) -> StepVariable:
    """An ENV variable."""
    return StepVariable(key=key, value=value, category="ENV", sensitive=sensitive)


def terraform_version() -> str:
    """The version of the terraform on PATH."""
    answer = subprocess.run(["terraform", "version", "-json"], capture_output=True, check=True)
    return str(json.loads(answer.stdout)["terraform_version"])


def outputs(state: bytes) -> dict[str, object]:
    """The outputs in a state."""
    return {name: output["value"] for name, output in json.loads(state)["outputs"].items()}


def test_plan_and_apply(executor_bench: Bench) -> None:
    """A plan uploads plan, JSON and facts; its apply ships the state and counts what it did."""
    planned = executor_bench.step(StepKind.PLAN, THREE)
    report = executor_bench.run(planned)
    assert report.outcome is Outcome.FINISHED
    assert report.has_changes is True
    assert report.counts == ResourceCounts(add=3)
    assert report.engine_version == terraform_version()
    assert report.log_bytes == len(planned.log)
    assert report.plan is not None
    assert report.plan.plan_sha256 == hashlib.sha256(planned.artifacts["plan"]).hexdigest()
    assert json.loads(planned.artifacts["plan.json"])["resource_changes"]
    assert planned.states == []

    applied = executor_bench.apply_of(planned)
    report = executor_bench.run(applied)
    assert report.outcome is Outcome.FINISHED
    assert report.counts == ResourceCounts(add=3)
    serial, state, final = applied.states[-1]
    assert final
    assert report.state_serial == serial
    assert outputs(state) == {"o": "done"}
    assert b"Apply complete!" in applied.log


def test_unchanged_plan_and_destroy(executor_bench: Bench) -> None:
    """A plan over the state that its apply left has no changes; destroy empties that state."""
    planned = executor_bench.step(StepKind.PLAN, THREE)
    executor_bench.run(planned)
    applied = executor_bench.apply_of(planned)
    executor_bench.run(applied)
    again = executor_bench.step(StepKind.PLAN, THREE)
    again.state = applied.states[-1][1]
    report = executor_bench.run(again)
    assert report.has_changes is False
    destroying = executor_bench.step(StepKind.PLAN_DESTROY, THREE)
    destroying.state = again.state
    assert executor_bench.run(destroying).counts == ResourceCounts(destroy=3)
    destroyed = executor_bench.step(StepKind.DESTROY, THREE)
    destroyed.state = again.state
    report = executor_bench.run(destroyed)
    assert report.counts == ResourceCounts(destroy=3)
    assert json.loads(destroyed.states[-1][1])["resources"] == []


def test_work_directory_is_left_empty_of_secrets(executor_bench: Bench) -> None:
    """After a delivered step no state, plan, variable or log stays on disk."""
    planned = executor_bench.step(StepKind.PLAN, THREE, variables=(variable("a", "geheim-4711", sensitive=True),))
    executor_bench.run(planned)
    left = [path for path in executor_bench.work.rglob("*") if path.is_file() and path.name != "versions.json"]
    assert left == []


@pytest.mark.parametrize(
    "block",
    [
        'backend "s3" {\n    bucket = "b"\n    key = "k"\n    region = "eu-west-1"\n  }',
        'cloud {\n    organization = "o"\n    workspaces {\n      name = "w"\n    }\n  }',
        'backend "local" {\n    path = "elsewhere.tfstate"\n  }',
    ],
)
def test_any_backend_is_overridden(executor_bench: Bench, block: str) -> None:
    """Whatever backend the configuration names, in override files too, the state comes to us."""
    files = {
        **THREE,
        "backend.tf": f"terraform {{\n  {block}\n}}\n",
        "zz_override.tf": f"terraform {{\n  {block}\n}}\n",
    }
    planned = executor_bench.step(StepKind.PLAN, files)
    assert executor_bench.run(planned).outcome is Outcome.FINISHED
    applied = executor_bench.apply_of(planned)
    executor_bench.run(applied)
    assert applied.states[-1][2]


def test_stronger_override_is_refused(executor_bench: Bench) -> None:
    """A configuration whose override file would win over ours is refused before anything is planned."""
    files = {**THREE, "~zz_override.tf": 'terraform {\n  backend "local" {\n    path = "mine"\n  }\n}\n'}
    report = executor_bench.run(executor_bench.step(StepKind.PLAN, files))
    assert report.failure_reason is FailureReason.BAD_CONFIGURATION
    assert "override" in report.message


def test_local_leftovers_do_not_count(executor_bench: Bench) -> None:
    """A state or chosen workspace that lies in the configuration is not taken for the workspace's own."""
    files = {
        **THREE,
        "terraform.tfstate": '{"version": 4, "serial": 9, "lineage": "x"}',
        ".terraform/environment": "dev",
    }
    planned = executor_bench.step(StepKind.PLAN, files)
    assert executor_bench.run(planned).counts == ResourceCounts(add=3)
    applied = executor_bench.apply_of(planned)
    assert executor_bench.run(applied).state_serial is not None


ECHO = """
variable "a" {}
variable "l" {
  type    = list(string)
  default = []
}
output "a" {
  value     = var.a
  sensitive = true
}
output "l" {
  value     = var.l
  sensitive = true
}
"""


@pytest.mark.parametrize(
    "value",
    ["${x} %{if true}", "$(HOME) `id`", 'quote " and \\ and \n newline', "x" * 1_000_000, "büro ☃ \t", "$${y}"],
    ids=["templates", "shell", "quotes", "megabyte", "unicode", "escaped"],
)
def test_variable_values_arrive_literally(executor_bench: Bench, value: str) -> None:
    """A text variable reaches terraform byte for byte; an hcl one is evaluated; an undeclared one only warns."""
    variables = (variable("a", value), variable("l", '["p", "q"]', hcl=True), variable("nobody", "declared this"))
    planned = executor_bench.step(StepKind.PLAN, {"main.tf": ECHO}, variables=variables)
    executor_bench.run(planned)
    applied = executor_bench.apply_of(planned, variables=variables)
    assert executor_bench.run(applied).outcome is Outcome.FINISHED
    assert outputs(applied.states[-1][1]) == {"a": value, "l": ["p", "q"]}


def provisioned(command: str) -> dict[str, str]:
    """A configuration whose apply runs a shell command."""
    return {
        "main.tf": 'resource "terraform_data" "x" {\n  provisioner "local-exec" {\n    command = <<-END\n'
        f"      {command}\n    END\n  }}\n}}\n"
    }


def applied_with(bench: Bench, files: dict[str, str], *prefix: str, **answer: Any) -> FakeStep:
    """Plan and apply; the apply step."""
    planned = bench.step(StepKind.PLAN, files, **answer)
    assert bench.run(planned, *prefix).outcome is Outcome.FINISHED, planned.report
    step = bench.apply_of(planned, **answer)
    bench.run(step, *prefix)
    return step


def test_environment_of_terraform(executor_bench: Bench) -> None:
    """Terraform gets what carrier, platform and workspace give it, never token, secret, claim or job data."""
    step = executor_bench.step(StepKind.PLAN, provisioned("env | sort | base64 -w0"))
    answer: dict[str, Any] = {
        "variables": (env("MINE", "yes"), env("PYTHONPATH", "/evil"), env("TF_CLI_ARGS", "-x")),
        "environment": {"GIVEN": "platform", "MINE": "overridden"},
    }
    carrier = {"CARRIED": "yes", "MINE": "no", "LD_AUDIT": "", "PODFORM_MASTER_KEY": "never"}
    planned = executor_bench.step(StepKind.PLAN, step.configuration, **answer)
    executor_bench.run(planned, **carrier)
    applied = executor_bench.apply_of(planned, **answer)
    executor_bench.run(applied, **carrier)
    line = next(
        line for line in bytes(applied.log).splitlines() if b"(local-exec): " in line and b"Executing" not in line
    )
    text = base64.b64decode(line.rpartition(b" ")[2]).decode()
    names = dict(item.split("=", 1) for item in text.splitlines())
    assert names["MINE"] == "yes"
    assert names["CARRIED"] == "yes"
    assert names["GIVEN"] == "platform"
    assert names["HOME"] == str(executor_bench.work / "home")
    assert not names.keys() & {"PYTHONPATH", "TF_CLI_ARGS", "LD_AUDIT", "InternalSecret", "EphemeralJobData"}
    for secret in (executor_bench.api.secret, applied.answer.token, applied.job.claim):
        assert secret not in text
    assert "PODFORM_" not in text
    assert b"PYTHONPATH is reserved" in applied.log
    assert b"/evil" not in applied.log


def test_oversized_env_variable(executor_bench: Bench) -> None:
    """An ENV variable of a megabyte is refused by name instead of failing the start of terraform."""
    report = executor_bench.run(executor_bench.step(StepKind.PLAN, THREE, variables=(env("BIG", "x" * 1_000_000),)))
    assert report.failure_reason is FailureReason.BAD_CONFIGURATION
    assert "BIG" in report.message


def test_sensitive_values_never_reach_the_log(executor_bench: Bench) -> None:
    """Sensitive values are masked as they are, in base64 and line by line, wherever terraform prints them."""
    secret, key = "geheim-4711-xyz", "-----BEGIN KEY-----\nabcdefghijkl\nmnopqrstuvwx\n-----END KEY-----"
    variables = (env("S", secret, sensitive=True), env("K", key, sensitive=True))
    step = applied_with(
        executor_bench, provisioned('echo "[$S]"; echo -n "$S" | base64; echo "$K"'), variables=variables
    )
    log = bytes(step.log)
    assert b"[***]" in log
    for text in (secret.encode(), base64.b64encode(secret.encode()), b"abcdefghijkl", b"mnopqrstuvwx"):
        assert text not in log


def test_any_bytes_pass(executor_bench: Bench) -> None:
    """NUL, ESC and invalid UTF-8 that terraform prints stand in the log as they came."""
    step = applied_with(executor_bench, provisioned(r"printf 'a\000b\033[0m\377\376c\n'"))
    assert b"a\0b\x1b[0m\xff\xfec" in bytes(step.log)


@pytest.mark.parametrize(
    ("files", "reason", "words"),
    [
        (
            {"main.tf": 'resource "x" {'},
            FailureReason.TERRAFORM_FAILED,
            "Unclosed configuration block (on main.tf line 1",
        ),
        ({"main.tf": 'variable "needed" {}'}, FailureReason.TERRAFORM_FAILED, "No value for required variable"),
        ({"readme.md": "nothing"}, FailureReason.BAD_CONFIGURATION, "no Terraform configuration files"),
        (b"not a tar", FailureReason.BAD_CONFIGURATION, "not a complete tar.gz"),
        (b"", FailureReason.BAD_CONFIGURATION, "empty"),
    ],
    ids=["broken", "missing variable", "no tf files", "no archive", "empty"],
)
def test_bad_configurations(
    executor_bench: Bench, files: dict[str, str] | bytes, reason: FailureReason, words: str
) -> None:
    """A configuration that cannot work ends errored with a sentence that says what is wrong."""
    report = executor_bench.run(executor_bench.step(StepKind.PLAN, files))
    assert report.outcome is Outcome.ERRORED
    assert report.failure_reason is reason
    assert words in report.message


def test_hostile_archive(executor_bench: Bench, tmp_path: Path) -> None:
    """An archive that climbs out of its directory is refused and writes nothing outside."""
    import io
    import tarfile

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        member = tarfile.TarInfo("../../outside.tf")
        member.size = 4
        archive.addfile(member, io.BytesIO(b"evil"))
    report = executor_bench.run(executor_bench.step(StepKind.PLAN, buffer.getvalue()))
    assert report.failure_reason is FailureReason.BAD_CONFIGURATION
    assert not list(tmp_path.rglob("outside.tf"))


def test_wrong_checksum(executor_bench: Bench) -> None:
    """A configuration that is not the one that was promised is not used."""
    report = executor_bench.run(executor_bench.step(StepKind.PLAN, THREE, configuration_sha256="0" * 64))
    assert report.failure_reason is FailureReason.BAD_CONFIGURATION


@pytest.mark.parametrize(("folder", "good"), [("sub/dir", True), ("../..", False), ("nothing", False), ("link", False)])
def test_folder(executor_bench: Bench, folder: str, good: bool) -> None:
    """Terraform runs in the folder of the job data, which must be a directory inside the configuration."""
    files = {"sub/dir/main.tf": THREE["main.tf"], "link": "a file"}
    report = executor_bench.run(executor_bench.step(StepKind.PLAN, files, job={"folder": folder}))
    assert (report.outcome is Outcome.FINISHED) is good
    if not good:
        assert report.failure_reason is FailureReason.BAD_CONFIGURATION
        assert "folder" in report.message


def test_missing_engine(executor_bench: Bench) -> None:
    """An engine version that is not there is named together with what is."""
    step = executor_bench.step(StepKind.PLAN, THREE, job={"engine_version": "~> 9.9"})
    report = executor_bench.run(step)
    assert report.failure_reason is FailureReason.ENGINE_UNAVAILABLE
    assert "~> 9.9" in report.message
    assert terraform_version() in report.message
    assert b"podform: engine_unavailable" in step.log


def test_engine_from_the_cache(executor_bench: Bench) -> None:
    """A version that only the engine cache has is taken from there."""
    directory = executor_bench.directory / "engines" / "terraform" / "1.10.99"
    directory.mkdir(parents=True)
    found = shutil.which("terraform")
    assert found
    (directory / "terraform").symlink_to(found)
    report = executor_bench.run(executor_bench.step(StepKind.PLAN, THREE, job={"engine_version": "~> 1.10.0"}))
    assert report.outcome is Outcome.FINISHED
    assert report.engine_version == "1.10.99"


@pytest.mark.parametrize(
    "field", ["plan_sha256", "configuration_sha256", "lock_file_sha256", "engine_version", "platform"]
)
def test_plan_mismatch(executor_bench: Bench, field: str) -> None:
    """An apply that does not find exactly what was planned touches nothing and says what differs."""
    planned = executor_bench.step(StepKind.PLAN, THREE)
    executor_bench.run(planned)
    assert planned.report.plan is not None
    changed = dataclasses.replace(planned.report.plan, **{field: "1.2.3"})
    step = executor_bench.apply_of(planned, plan=changed)
    report = executor_bench.run(step)
    assert report.outcome is Outcome.ERRORED
    expected = FailureReason.ENGINE_UNAVAILABLE if field == "engine_version" else FailureReason.PLAN_MISMATCH
    assert report.failure_reason in {expected, FailureReason.PLAN_MISMATCH}
    assert step.states == []


def test_plan_survives_a_moved_work_directory(executor_bench: Bench) -> None:
    """An apply whose work directory is another than its plan's still ships the state that it made."""
    planned = executor_bench.step(StepKind.PLAN, THREE)
    executor_bench.run(planned)
    step = executor_bench.apply_of(planned)
    executor_bench.run(step, PODFORM_WORK_DIR=str(executor_bench.directory / "elsewhere"))
    assert outputs(step.states[-1][1]) == {"o": "done"}


def test_tampered_plan(executor_bench: Bench) -> None:
    """A plan file that was changed on its way is not applied."""
    planned = executor_bench.step(StepKind.PLAN, THREE)
    executor_bench.run(planned)
    step = executor_bench.apply_of(planned)
    step.artifacts["plan"] += b"x"
    assert executor_bench.run(step).failure_reason is FailureReason.PLAN_MISMATCH


def test_errored_state_is_salvaged(executor_bench: Bench) -> None:
    """An errored.tfstate that terraform leaves is shipped as the newest state and kept as an artifact."""
    state = executor_bench.work / "state" / "terraform.tfstate"
    script = f'sed \'s/"serial": [0-9]*/"serial": 77/\' {state} > errored.tfstate; exit 1'
    files = {
        "main.tf": 'resource "terraform_data" "a" {\n  input = "kept"\n}\nresource "terraform_data" "x" {\n'
        '  depends_on = [terraform_data.a]\n  provisioner "local-exec" {\n'
        f"    command = {json.dumps(script)}\n  }}\n}}\n"
    }
    planned = executor_bench.step(StepKind.PLAN, files)
    executor_bench.run(planned)
    step = executor_bench.apply_of(planned)
    report = executor_bench.run(step)
    assert report.outcome is Outcome.ERRORED
    assert step.states[-1][0] == 77
    assert step.states[-1][2]
    assert json.loads(step.artifacts["errored.tfstate"])["serial"] == 77


def test_damaged_state_is_never_shipped(executor_bench: Bench, tmp_path: Path) -> None:
    """When terraform dies with its state half written, the last whole one counts and the damaged file is kept."""
    engine = executor_bench.directory / "engines" / "terraform" / "1.9.9" / "terraform"
    engine.parent.mkdir(parents=True)
    real = shutil.which("terraform")
    cut = f"truncate -s 100 {executor_bench.work}/state/terraform.tfstate; kill -9 $$"
    engine.write_text(f'#!/bin/sh\nif [ "$1" = destroy ]; then {real} "$@"; {cut}; fi\nexec {real} "$@"\n')
    engine.chmod(0o755)
    planned = executor_bench.step(StepKind.PLAN, THREE)
    executor_bench.run(planned)
    applied = executor_bench.apply_of(planned)
    executor_bench.run(applied)
    step = executor_bench.step(StepKind.DESTROY, THREE, job={"engine_version": "1.9.9"})
    step.state = applied.states[-1][1]
    report = executor_bench.run(step)
    assert report.outcome is Outcome.ERRORED
    assert report.exit_code == -9
    assert len(step.artifacts["errored.tfstate"]) == 100
    assert all(json.loads(data) for _, data, _ in step.states)


def test_failed_apply_ships_what_was_made(executor_bench: Bench) -> None:
    """When a resource fails, those made before it are in the final state and the message says what failed."""
    files = {
        "main.tf": 'resource "terraform_data" "a" {}\n'
        'resource "terraform_data" "b" {\n  depends_on = [terraform_data.a]\n'
        '  provisioner "local-exec" {\n    command = "exit 3"\n  }\n}\n'
    }
    planned = executor_bench.step(StepKind.PLAN, files)
    executor_bench.run(planned)
    step = executor_bench.apply_of(planned)
    report = executor_bench.run(step)
    assert report.outcome is Outcome.ERRORED
    assert report.failure_reason is FailureReason.TERRAFORM_FAILED
    assert "local-exec" in report.message
    assert report.exit_code == 1
    assert {item["name"] for item in json.loads(step.states[-1][1])["resources"]} == {"a", "b"}


def test_refused_state_is_kept(executor_bench: Bench) -> None:
    """A state that the API refuses ends the step errored, and its bytes are kept as an artifact."""
    planned = executor_bench.step(StepKind.PLAN, THREE)
    executor_bench.run(planned)
    step = executor_bench.apply_of(planned)
    step.refuse_state = True
    report = executor_bench.run(step)
    assert report.failure_reason is FailureReason.STATE_CONFLICT
    assert len(json.loads(step.artifacts["errored.tfstate"])["resources"]) == 1


def test_refresh_only_target_and_replace(executor_bench: Bench) -> None:
    """Targets and replacements of the claim and refresh-only of the job data shape the plan."""
    planned = executor_bench.step(StepKind.PLAN, THREE, target_addrs=("terraform_data.x[1]",))
    assert executor_bench.run(planned).counts == ResourceCounts(add=1)
    applied = executor_bench.apply_of(planned)
    executor_bench.run(applied)
    state = applied.states[-1][1]
    replacing = executor_bench.step(
        StepKind.PLAN, THREE, target_addrs=("terraform_data.x[1]",), replace_addrs=("terraform_data.x[1]",)
    )
    replacing.state = state
    assert executor_bench.run(replacing).counts == ResourceCounts(add=1, destroy=1)
    refreshing = executor_bench.step(StepKind.PLAN, THREE, job={"refresh_only": True})
    refreshing.state = state
    report = executor_bench.run(refreshing)
    assert report.outcome is Outcome.FINISHED
    assert report.counts is None


NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all")


def program_for_nobody(directory: Path) -> tuple[str, ...]:
    """The executor's code and an interpreter where any user can read them; terraform must be runnable by all too."""
    if subprocess.run([*NOBODY, "terraform", "version"], check=False, capture_output=True).returncode:
        pytest.skip("no terraform that an ordinary user may run")
    root = Path(executor.__file__).parents[1]
    for package in ("common", "executor"):
        shutil.copytree(root / package, directory / "code" / package)
    code = str(directory / "code")
    start = f"import sys, runpy; sys.path.insert(0, {code!r}); runpy.run_module('executor', run_name='__main__')"
    for python in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        probe = (*NOBODY, "env", python, "-I", "-c", "import sys, json; sys.exit(sys.version_info < (3, 11))")
        if Path(python).exists() and subprocess.run(probe, check=False, capture_output=True).returncode == 0:
            return (python, "-I", "-c", start)
    pytest.skip("no Python 3.11 that an ordinary user may run")


HOSTILE_READER = (
    "cat /proc/$(ps -o ppid= -p $(ps -o ppid= -p $$ | tr -d ' ') | tr -d ' ')/environ >/dev/null 2>&1 "
    "&& echo READ-IT || echo COULD-NOT"
)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user for this test")
def test_code_of_the_step_cannot_read_the_executor() -> None:
    """As an ordinary user, a local-exec cannot read the environment of the executor that runs it."""
    with tempfile.TemporaryDirectory() as name, bench(Path(name)) as open_bench:  # where any user may go
        for path in (open_bench.directory, open_bench.work, open_bench.directory / "engines"):
            path.mkdir(exist_ok=True)
            os.chown(path, 65534, 65534)
        open_bench.program = program_for_nobody(open_bench.directory)
        step = applied_with(open_bench, provisioned(HOSTILE_READER), *NOBODY)
    log = bytes(step.log)
    assert b"COULD-NOT" in log.replace(b"echo COULD-NOT", b"")
    assert b"WARNING" not in log


@pytest.mark.skipif(os.geteuid() != 0, reason="the warning is for root")
def test_root_is_warned(executor_bench: Bench) -> None:
    """An executor that runs as root says in the step's log what that means; its secrets are blanked all the same."""
    reader = "tr '\\0' '\\n' < /proc/$(ps -o ppid= -p $(ps -o ppid= -p $$ | tr -d ' ') | tr -d ' ')/environ"
    step = applied_with(executor_bench, provisioned(reader))
    log = bytes(step.log)
    assert b"podform: WARNING: this executor runs as root" in log
    assert b"InternalSecret=xxx" in log
    assert executor_bench.api.secret.encode() not in log


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"EphemeralFlagBatch": "false"}, ExitCode.ONLINE_UNSUPPORTED, "EphemeralFlagBatch"),
        ({"EphemeralFlagBatch": "maybe"}, ExitCode.BAD_SETTINGS, "EphemeralFlagBatch"),
        ({"EphemeralJobData": "@@"}, ExitCode.BAD_JOB_DATA, "EphemeralJobData"),
        ({"InternalSecret": ""}, ExitCode.BAD_SETTINGS, "InternalSecret"),
        ({"PODFORM_WORK_DIR": "relative"}, ExitCode.BAD_SETTINGS, "PODFORM_WORK_DIR"),
        ({"PODFORM_DELIVERY_SECONDS": "soon"}, ExitCode.BAD_SETTINGS, "PODFORM_DELIVERY_SECONDS"),
        ({"InternalSecret": "wrong"}, ExitCode.CLAIM_REFUSED, "refused"),
    ],
)
def test_bad_starts(executor_bench: Bench, change: dict[str, str], code: ExitCode, words: str) -> None:
    """A wrong setting ends the executor with its own exit code and one line that names it; nothing is touched."""
    step = executor_bench.step(StepKind.PLAN, THREE)
    process = executor_bench.start(step, **change)
    output = executor_bench.end(process)
    assert process.returncode == code
    assert words in output
    assert len(output.splitlines()) == 1
    assert not executor_bench.work.exists()
    assert step.claims == 0


def test_secret_from_a_file(executor_bench: Bench) -> None:
    """The installation's secret may come as a file instead."""
    file = executor_bench.directory / "secret"
    file.write_text(executor_bench.api.secret + "\n")
    step = executor_bench.step(StepKind.PLAN, THREE)
    assert executor_bench.run(step, InternalSecret="", InternalSecretFile=str(file)).outcome is Outcome.FINISHED


def test_claimed_by_another(executor_bench: Bench) -> None:
    """An executor whose attempt was claimed by another ends without touching anything."""
    step = executor_bench.step(StepKind.PLAN, THREE)
    step.nonce = ids.new_id("token")
    process = executor_bench.start(step)
    executor_bench.end(process)
    assert process.returncode == ExitCode.CLAIM_REFUSED
    assert not executor_bench.work.exists()

"""The executor's pure rules as tables: command lines, output facts, engines, variables, environment, signals."""

import json
import resource
import signal
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import executor
from common import versions
from common.executor_api import StepVariable
from common.failure_reasons import FailureReason
from common.step_report import Outcome, ResourceCounts
from executor import exit_codes, settings, step_environment, terraform
from executor.actions.verify_plan import compare
from executor.actions.write_backend_override import is_ours, override, quoted
from executor.actions.write_variables import expressions, texts
from executor.cancellation import Cancellation, Stop
from executor.delivery import LONGEST_PAUSE_SECONDS, pause_seconds
from executor.engines import Engine, choose
from executor.errors import SettingsError, StepFailedError
from executor.exit_codes import ExitCode
from executor.log_stream import LogStream
from executor.process import signal_due
from executor.state_shipper import parse
from executor.terraform import OutputFacts, PlanOptions

PLAN = Path("/w/plan/tfplan")
FILES = [Path("/w/vars/a.tfvars.json"), Path("/w/vars/b.tfvars")]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (terraform.init(), "init -input=false -no-color"),
        (terraform.init(lock_file_is_fixed=True), "init -input=false -no-color -lockfile=readonly"),
        (
            terraform.plan(PlanOptions(plan_file=PLAN)),
            "plan -input=false -no-color -lock=false -detailed-exitcode -out=/w/plan/tfplan",
        ),
        (
            terraform.plan(PlanOptions(plan_file=PLAN, destroy=True, refresh=False, targets=["a.b"])),
            "plan -input=false -no-color -lock=false -detailed-exitcode -out=/w/plan/tfplan -destroy -refresh=false "
            "-target=a.b",
        ),
        (
            terraform.plan(
                PlanOptions(
                    plan_file=PLAN, refresh=False, refresh_only=True, replacements=["a.c"], variable_files=FILES
                )
            ),
            "plan -input=false -no-color -lock=false -detailed-exitcode -out=/w/plan/tfplan -refresh-only -replace=a.c "
            "-var-file=/w/vars/a.tfvars.json -var-file=/w/vars/b.tfvars",
        ),
        (terraform.show_json(PLAN), "show -json -no-color /w/plan/tfplan"),
        (terraform.apply(PLAN), "apply -input=false -no-color -lock=false /w/plan/tfplan"),
        (
            terraform.destroy(variable_files=FILES[:1], targets=["a.b"], refresh=False),
            "destroy -auto-approve -input=false -no-color -lock=false -refresh=false -target=a.b "
            "-var-file=/w/vars/a.tfvars.json",
        ),
    ],
)
def test_command_lines(arguments: tuple[str, ...], line: str) -> None:
    """Each command has exactly these arguments."""
    assert " ".join(arguments) == line


@pytest.mark.parametrize(
    ("line", "counts"),
    [
        ("Plan: 1 to add, 2 to change, 3 to destroy.", ResourceCounts(add=1, change=2, destroy=3)),
        ("Plan: 4 to import, 1 to add, 0 to change, 0 to destroy.", ResourceCounts(imported=4, add=1)),
        ("Apply complete! Resources: 3 added, 1 changed, 0 destroyed.", ResourceCounts(add=3, change=1)),
        (
            "Apply complete! Resources: 2 imported, 3 added, 1 changed, 0 destroyed.",
            ResourceCounts(imported=2, add=3, change=1),
        ),
        ("Destroy complete! Resources: 7 destroyed.", ResourceCounts(destroy=7)),
        ("terraform_data.x (local-exec): Plan: 9 to add, 0 to change, 0 to destroy.", None),
        ("No changes. Your infrastructure matches the configuration.", None),
    ],
)
def test_summary_lines(line: str, counts: ResourceCounts | None) -> None:
    """Terraform's summary lines become counts; what a provisioner prints does not."""
    assert terraform.parse_summary(line) == counts


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        (
            '\nError: Unclosed block\n\n  on main.tf line 1, in resource "x":\n   1: x\n',
            'Unclosed block (on main.tf line 1, in resource "x")',
        ),
        ("╷\n│ Error: No value\n│ \n│   on v.tf line 3:\n", "No value (on v.tf line 3)"),
        ("Error: Terraform encountered problems during initialisation, including problems\n\nError: Real\n", "Real"),
        ("Error: plain", "plain"),
        ("Warning: careful\nall well\n", ""),
        ("Error: one\n\nError: two\n\n  on b.tf line 1:\n", "one"),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_first_error(output: str, sentence: str, size: int) -> None:
    """The first error and its place become one sentence, however the output is cut."""
    facts, data = OutputFacts(), output.encode()
    for start in range(0, len(data), size):
        facts.feed(data[start : start + size])
    assert facts.error == sentence


def test_output_without_line_ends_needs_no_memory() -> None:
    """A line without an end is kept only in part."""
    facts = OutputFacts()
    for _ in range(100):
        facts.feed(b"x" * 65536)
    assert len(facts._partial) <= 4096


def test_bad_constraints() -> None:
    """A constraint that cannot be read is the configuration's fault."""
    with pytest.raises(StepFailedError, match="no version constraint") as caught:
        choose([engine("1.11.4")], "terraform", "~>")
    assert caught.value.reason is FailureReason.BAD_CONFIGURATION


def engine(version: str, name: str = "terraform", path: str = "/p") -> Engine:
    """An engine that was found."""
    return Engine(name, version, Path(path))


def test_highest_engine_is_chosen() -> None:
    """Of the fitting engines the highest version is taken, of equal ones the first found."""
    found = [engine("1.9.8"), engine("1.11.4", path="/first"), engine("1.11.4", path="/second"), engine("1.10.0")]
    assert choose(found, "terraform", "").path == Path("/first")
    assert choose(found, "terraform", "~> 1.9.0").version == "1.9.8"


@pytest.mark.parametrize(("name", "version"), [("terraform", "1.0.11"), ("tofu", "1.5.9"), ("tofu", "1.6.0-rc1")])
def test_old_engines_are_refused(name: str, version: str) -> None:
    """terraform before 1.1 and tofu before 1.6 are not used; the error names what was found and what is needed."""
    with pytest.raises(StepFailedError) as caught:
        choose([engine(version, name)], name, version)
    assert caught.value.reason is FailureReason.ENGINE_UNAVAILABLE
    assert version in str(caught.value)
    assert versions.MINIMUM[name] in str(caught.value)


def test_no_engine() -> None:
    """Where there is none at all the error says so."""
    with pytest.raises(StepFailedError, match="none"):
        choose([], "tofu", "")


def test_backend_override() -> None:
    """The override names the local backend; marks of templates in the path are taken literally."""
    assert override("/w/s") == 'terraform {\n  backend "local" {\n    path = "/w/s"\n  }\n}\n'
    assert quoted('a"${b}%{c}') == '"a\\"$${b}%%{c}"'


@pytest.mark.parametrize(
    ("record", "ours"),
    [
        ({"backend": {"type": "local", "config": {"path": "/w/s"}}}, True),
        ({"backend": {"type": "local", "config": {"path": "/other"}}}, False),
        ({"backend": {"type": "s3", "config": {"bucket": "b"}}}, False),
        ({}, False),
        ([], False),
    ],
)
def test_backend_record(record: Any, ours: bool) -> None:
    """Only the local backend on our path counts as ours."""
    assert is_ours(json.dumps(record).encode(), "/w/s") is ours
    assert not is_ours(b"", "/w/s")


def test_variable_files() -> None:
    """Texts go into JSON as they are, expressions into a file of terraform's language."""
    variables = [
        StepVariable(key="t", value="${x}\n", category="TERRAFORM"),
        StepVariable(key="e", value='["a"]', category="TERRAFORM", hcl=True),
    ]
    assert json.loads(texts(variables)) == {"t": "${x}\n"}
    assert expressions(variables) == b'e = ["a"]\n'
    assert texts([]) == expressions([]) == b""


def env(key: str, value: str = "v") -> StepVariable:
    """An ENV variable."""
    return StepVariable(key=key, value=value, category="ENV")


def test_environment_layers() -> None:
    """Carrier, platform, workspace, then ours that nothing overrides; reserved names are dropped."""
    built, dropped = step_environment.build(
        {"PATH": "/bin"},
        {"A": "carrier", "B": "carrier", "C": "carrier", "PATH": "/carrier"},
        {"A": "platform", "B": "platform", "InternalSecret": "never"},
        [
            env("A", "own"),
            env("PATH", "/evil"),
            env("LD_PRELOAD"),
            StepVariable(key="t", value="x", category="TERRAFORM"),
        ],
    )
    assert built == {"A": "own", "B": "platform", "C": "carrier", "PATH": "/bin"}
    assert dropped == ["LD_PRELOAD", "PATH"]


def test_what_the_carrier_gives_is_inherited() -> None:
    """Variables of the container reach terraform; reserved ones, the runtime's own and odd names do not."""
    environ = {
        "EphemeralFlagBatch": "true",
        "EphemeralJobData": "x",
        "InternalSecret": "s" * 16,
        "PODFORM_WORK_DIR": "/w",
        "HOSTNAME": "pod",
        "A B": "odd",
        "KUBERNETES_SERVICE_HOST": "10.0.0.1",
        "AWS_REGION": "eu-central-1",
    }
    assert settings.read(environ).inherited == {"AWS_REGION": "eu-central-1"}


@pytest.mark.parametrize(
    ("variable", "problem"),
    [(env("A B"), "letters"), (env("A", "x\0y"), "NUL"), (env("A", "x" * 131_070), "131071")],
)
def test_impossible_environment(variable: StepVariable, problem: str) -> None:
    """A name or value that no process can be started with is refused by name."""
    with pytest.raises(StepFailedError, match=problem):
        step_environment.build({}, {}, {}, [variable])
    assert step_environment.build({}, {}, {}, [env("A", "x" * 131_069)])[1] == []


@pytest.mark.parametrize(
    ("stop", "interrupted_at", "now", "due"),
    [
        (Stop.NONE, None, 0.0, None),
        (Stop.GRACEFUL, None, 0.0, signal.SIGINT),
        (Stop.GRACEFUL, 0.0, 9.9, None),
        (Stop.GRACEFUL, 0.0, 10.0, signal.SIGKILL),
        (Stop.TIMED_OUT, None, 0.0, signal.SIGINT),
        (Stop.TAKEN, None, 0.0, signal.SIGINT),
        (Stop.FORCE, None, 0.0, signal.SIGKILL),
        (Stop.FORCE, 0.0, 1.0, signal.SIGKILL),
    ],
)
def test_signals(stop: Stop, interrupted_at: float | None, now: float, due: signal.Signals | None) -> None:
    """One interrupt, and a kill only by force or after the grace."""
    assert signal_due(stop, interrupted_at=interrupted_at, now=now, grace_seconds=10.0) == due


def test_reasons_to_stop_only_grow() -> None:
    """A weaker reason never replaces a stronger one, and a step once taken away stays so."""
    cancellation = Cancellation()
    cancellation.request(Stop.TAKEN)
    cancellation.request(Stop.GRACEFUL)
    before = cancellation.stop
    cancellation.request(Stop.FORCE)
    assert (before, cancellation.stop) == (Stop.TAKEN, Stop.FORCE)
    assert cancellation.taken


@pytest.mark.parametrize(
    ("data", "whole"),
    [
        (b'{"serial": 3, "lineage": "l"}', True),
        (b'{"serial": 3, "lineage": "l"', False),
        (b'{"serial": 3}', False),
        (b'{"lineage": "l"}', False),
        (b'{"serial": "3", "lineage": "l"}', False),
        (b'{"serial": 3, "lineage": ""}', False),
        (b"[]", False),
        (b"", False),
        (b"\xff\xfe", False),
    ],
)
def test_whole_states(data: bytes, whole: bool) -> None:
    """Only a whole document with serial and lineage is a state."""
    assert (parse(data) is not None) is whole


def test_pauses_grow_to_a_bound() -> None:
    """Pauses between repeats double up to five seconds, less some jitter, and honour Retry-After up to a minute."""
    assert [pause_seconds(attempt, 0.0) for attempt in range(4)] == [0.1, 0.2, 0.4, 0.8]
    assert pause_seconds(50, 0.0) == LONGEST_PAUSE_SECONDS
    assert pause_seconds(50, 1.0) == LONGEST_PAUSE_SECONDS / 2
    assert pause_seconds(0, 0.0, retry_after=7.0) == 7.0
    assert pause_seconds(0, 0.0, retry_after=1e9) == 60.0


def test_exit_codes_are_distinct() -> None:
    """Every outcome has its exit code, success alone is 0."""
    assert exit_codes.of_outcome(Outcome.FINISHED) == 0
    assert exit_codes.of_outcome(Outcome.ERRORED) == 1
    assert exit_codes.of_outcome(Outcome.CANCELED) == 3
    assert [code for code in ExitCode if code == 0] == [ExitCode.FINISHED]


def test_version() -> None:
    """The version that the executor tells is the project's."""
    with (Path(executor.__file__).parents[1] / "pyproject.toml").open("rb") as file:
        assert tomllib.load(file)["project"]["version"] == executor.VERSION


def test_a_full_disk_leaves_a_gap_that_is_marked(tmp_path: Path) -> None:
    """Output that the disk does not take is counted; a line tells of it when there is room again, or at the end."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    log = LogStream(tmp_path / "log", [])
    try:
        log.write(b"before\n")
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
        log.write(b"lost" * 10)
        log.write(b"lost" * 5)
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        log.write(b"after\n")
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
        log.write(b"x")
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        log.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    missing = "\npodform: {} bytes of output are missing here: the disk was full\n"
    expected = "before\n" + missing.format(60) + "after\n" + missing.format(1)
    assert log.read(0, 4096).decode() == expected
    assert log.length == len(expected)


GOOD: Mapping[str, str] = {
    "EphemeralFlagBatch": "true",
    "EphemeralJobData": "e30=",
    "InternalSecret": "s",
    "PODFORM_WORK_DIR": "/w/./x/",
}


def test_settings() -> None:
    """The defaults, and one spelling of the work directory."""
    read = settings.read(GOOD)
    assert read.work_directory == Path("/w/x")
    assert read.delivery_seconds == 86_400
    assert read.interrupt_grace_seconds == 600
    assert read.engine_cache is None
    assert "internal_secret" not in repr(read)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EphemeralFlagBatch", "perhaps"),
        ("EphemeralJobData", ""),
        ("InternalSecret", ""),
        ("PODFORM_WORK_DIR", "w"),
        ("PODFORM_ENGINE_CACHE", "cache"),
        ("PODFORM_CA_FILE", "ca.pem"),
        ("PODFORM_DELIVERY_SECONDS", "-1"),
        ("PODFORM_DELIVERY_SECONDS", "nan"),
        ("PODFORM_INTERRUPT_GRACE_SECONDS", "x"),
    ],
)
def test_bad_settings(name: str, value: str) -> None:
    """A bad setting is refused by its name."""
    with pytest.raises(SettingsError, match=name):
        settings.read({**GOOD, name: value})


def test_plan_comparison() -> None:
    """Each fact that differs becomes one sentence; equal ones none."""
    from common.step_report import PlanFacts

    facts = PlanFacts(
        plan_sha256="p",
        configuration_sha256="c",
        lock_file_sha256="",
        engine="tofu",
        engine_version="1.9.0",
        platform="x",
    )
    sentences = compare(facts, {"the plan file": ("p", "p"), "the lock file": ("", "l")})
    assert sentences == ["the lock file is not the one that was planned by tofu 1.9.0 (expected none, found l)"]

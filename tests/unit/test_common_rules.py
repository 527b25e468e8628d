"""The small rules of common, each as a table."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import environment, ids, statuses, versions
from common.errors import BadInputError
from common.failure_reasons import INFRASTRUCTURE, FailureReason
from common.statuses import (
    FINAL_RUN_STATUSES,
    FINAL_STEP_STATUSES,
    RUN_TRANSITIONS,
    STEP_TRANSITIONS,
    IllegalTransitionError,
    RunStatus,
    StepStatus,
    TerrakubeStatus,
)
from common.versions import Constraint, parse_version


@given(st.integers(0, 2**48 - 1), st.integers(0, 2**80 - 1), st.integers(0, 2**48 - 1), st.integers(0, 2**80 - 1))
def test_ids_sort_by_time(first: int, noise: int, second: int, other: int) -> None:
    """Of two ids the one with the earlier time sorts first."""
    one, two = ids.format_id("run", first, noise), ids.format_id("run", second, other)

    assert ids.is_id(one, "run")
    if first != second:
        assert (one < two) is (first < second)


def test_ids_are_valid_names_and_labels() -> None:
    """Lower case, 63 characters at most even with the attempt's number, of the right kind."""
    step_id = ids.new_id("step")
    name = ids.attempt_name(step_id, 99)

    assert name == name.lower()
    assert len(name) <= 63
    assert ids.parse_attempt_name(name) == (step_id, 99)
    assert not ids.is_id(step_id, "run")


@pytest.mark.parametrize("name", ["", "step-1", "job-1-2", "run-01k00000000000000000000000-1", "x"])
def test_foreign_names_are_no_attempts(name: str) -> None:
    """A name that is not ours is recognised as foreign."""
    assert ids.parse_attempt_name(name) is None


def test_an_attempt_needs_a_number() -> None:
    """A step's id alone is no attempt."""
    assert ids.parse_attempt_name(ids.new_id("step") + "-x") is None


@pytest.mark.parametrize(("old", "new"), list(itertools.product(RunStatus, RunStatus)))
def test_run_transitions_are_the_table(old: RunStatus, new: RunStatus) -> None:
    """What the table does not allow is refused."""
    if new in RUN_TRANSITIONS[old]:
        statuses.check_run_transition(old, new)
    else:
        with pytest.raises(IllegalTransitionError):
            statuses.check_run_transition(old, new)


@pytest.mark.parametrize(("old", "new"), list(itertools.product(StepStatus, StepStatus)))
def test_step_transitions_are_the_table(old: StepStatus, new: StepStatus) -> None:
    """What the table does not allow is refused."""
    if new in STEP_TRANSITIONS[old]:
        statuses.check_step_transition(old, new)
    else:
        with pytest.raises(IllegalTransitionError):
            statuses.check_step_transition(old, new)


def test_final_is_final() -> None:
    """Nothing follows a final status, but for an unknown outcome that is settled."""
    assert all(not RUN_TRANSITIONS[status] for status in FINAL_RUN_STATUSES - {RunStatus.ERRORED})
    assert all(not STEP_TRANSITIONS[status] for status in FINAL_STEP_STATUSES - {StepStatus.ERRORED})


def test_every_status_has_its_words() -> None:
    """The translation table is whole, both ways."""
    assert set(statuses.WORDS) == set(RunStatus)
    assert set(statuses.STEP_WORDS) == set(statuses.PHASE_WORDS) == set(StepStatus)
    back = [statuses.runs_with_terrakube_word(word) for word in TerrakubeStatus]
    assert frozenset().union(*back) == frozenset(RunStatus)


def test_infrastructure_is_a_part_of_the_reasons() -> None:
    """Failures of the carrier are failure reasons, and terraform's own is not among them."""
    assert set(FailureReason) > INFRASTRUCTURE
    assert FailureReason.TERRAFORM_FAILED not in INFRASTRUCTURE


@pytest.mark.parametrize(
    ("name", "reserved"),
    [
        ("PATH", True),
        ("PYTHONPATH", True),
        ("LD_PRELOAD", True),
        ("EphemeralJobData", True),
        ("TF_CLI_ARGS_plan", True),
        ("TF_CLI_CONFIG_FILE", True),
        ("PODFORM_X", True),
        ("AWS_ACCESS_KEY_ID", False),
        ("TF_LOG", False),
        ("EPHEMERAL_CPU_LIMIT", False),
    ],
)
def test_reserved_names(name: str, reserved: bool) -> None:
    """What would let a workspace steer the executor belongs to the platform."""
    assert environment.is_reserved(name) is reserved


@pytest.mark.parametrize(("name", "good"), [("A_1", True), ("1A", False), ("A B", False), ("Ä", False), ("", False)])
def test_environment_names(name: str, good: bool) -> None:
    """Names that every shell and every cluster accepts."""
    assert environment.is_name(name) is good


@pytest.mark.parametrize(
    ("text", "meant"),
    [("1", True), ("TRUE", True), ("on ", True), ("0", False), ("", False), ("No", False), ("x", None)],
)
def test_truth(text: str, meant: bool | None) -> None:
    """True and false as users write them."""
    assert environment.truth(text) is meant


@pytest.mark.parametrize(
    ("constraint", "allowed", "refused"),
    [
        ("", ["1.0.0", "1.11.4"], ["1.12.0-rc1"]),
        ("latest", ["1.11.4"], []),
        ("1.11.4", ["1.11.4"], ["1.11.3"]),
        ("= 1.11.4", ["1.11.4"], ["1.11.5"]),
        ("~> 1.9", ["1.9.0", "1.15.5"], ["1.8.9", "2.0.0"]),
        ("~> 1.9.2", ["1.9.2", "1.9.9"], ["1.9.1", "1.10.0"]),
        ("~> 1", ["1.0.0", "1.99.0"], ["2.0.0"]),
        (">= 1.5, < 2", ["1.5.0", "1.15.5"], ["1.4.9", "2.0.0"]),
        ("> 1.5.0, != 1.6.0", ["1.5.1"], ["1.5.0", "1.6.0"]),
        ("<= 1.5.7", ["1.5.7"], ["1.5.8"]),
        ("1.x", ["1.0.0", "1.9.9"], ["2.0.0"]),
        ("1.9.x", ["1.9.3"], ["1.10.0"]),
        ("1.12.0-rc1", ["1.12.0-rc1"], ["1.12.0", "1.12.0-rc2"]),
        (">= 1.12.0-rc1", ["1.12.0", "1.12.0-rc2"], ["1.12.0-alpha", "1.13.0-rc1"]),
        ("= 1.11", ["1.11.0"], ["1.11.1"]),
        ("<= 1.5.0", ["1.5.0"], ["1.5.1"]),
    ],
)
def test_constraints(constraint: str, allowed: list[str], refused: list[str]) -> None:
    """Constraints as terraform's users write them."""
    wanted = Constraint(constraint)

    assert [text for text in allowed if not wanted.allows(parsed(text))] == []
    assert [text for text in refused if wanted.allows(parsed(text))] == []


def parsed(text: str) -> versions.Version:
    """A version that is known to be one."""
    version = parse_version(text)
    assert version is not None
    assert str(version) == text
    return version


@pytest.mark.parametrize("text", ["abc", "1.2.3.4", "~>", ">= x", "1.5,", "1..2", "9999999999.0", "=> 1"])
def test_what_is_no_constraint_is_refused(text: str) -> None:
    """A malformed constraint is refused with examples of good ones."""
    with pytest.raises(BadInputError, match="no version constraint"):
        Constraint(text)


@pytest.mark.parametrize(
    ("engine", "constraint", "good"),
    [
        ("terraform", "", True),
        ("terraform", "1.1.0", True),
        ("terraform", "1.0.11", False),
        ("terraform", "~> 0.15", False),
        ("terraform", "< 1.1", True),  # pre-releases aside, 1.1 is its bound; the executor finds none below
        ("terraform", "<= 1.0.5", False),
        ("terraform", ">= 0.12", True),
        ("terraform", "~> 1.0", True),
        ("tofu", "1.6.0", True),
        ("tofu", "1.5.7", False),
    ],
)
def test_engines_that_are_too_old_are_refused(engine: str, constraint: str, good: bool) -> None:
    """A constraint that only too old engines meet is refused at save."""
    if good:
        versions.check_constraint(engine, constraint)
    else:
        with pytest.raises(BadInputError, match="or newer is needed"):
            versions.check_constraint(engine, constraint)


def test_versions_sort_as_semantic_versioning_says() -> None:
    """Numbers by value, a pre-release before its release, its numbers before its words."""
    texts = ["1.2.0-1", "1.2.0-alpha.1", "1.2.0-alpha.beta", "1.2.0-beta", "1.2.0", "1.10.0"]

    assert sorted(texts, key=lambda text: parsed(text).order) == texts
    assert parse_version("x") is None

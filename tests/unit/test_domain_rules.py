"""The small rules of the domain, each as a table."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from api.domain import launch_mode, permissions, retry, run_transitions, step_sequence, workspace_queue
from api.domain.entities import Run, RunRecord, Step, Token, Workspace
from api.domain.permissions import Principal
from api.domain.retry import Verdict
from api.domain.step_sequence import Continuation, FlowStep
from common.errors import BadInputError
from common.executor_api import CancelKind
from common.failure_reasons import FailureReason
from common.statuses import IllegalTransitionError, RunStatus, StepKind, StepStatus
from common.step_report import Outcome, StepReport

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PLAN, APPLY, APPROVAL = StepKind.PLAN, StepKind.APPLY, StepKind.APPROVAL


def run(number: int, status: RunStatus = RunStatus.PENDING, *, plan_only: bool = False) -> Run:
    """A run of one workspace."""
    return Run(
        id=f"run-{number}",
        number=number,
        organization_id="org-1",
        workspace_id="ws-1",
        configuration_id="cv-1",
        template_name="Plan and apply",
        status=status,
        plan_only=plan_only,
        created_at=NOW,
        updated_at=NOW,
    )


WORKSPACE = Workspace(id="ws-1", organization_id="org-1", name="w", created_at=NOW, updated_at=NOW)


@pytest.mark.parametrize(
    ("workspace", "waiting", "expected"),
    [
        (WORKSPACE, [], []),
        (WORKSPACE, [run(2), run(1)], [1]),
        (WORKSPACE, [run(1), run(2, plan_only=True), run(3, plan_only=True)], [1, 2, 3]),
        (replace(WORKSPACE, locked=True), [run(1), run(2, plan_only=True)], [2]),
        (replace(WORKSPACE, taken_by="run-9"), [run(10), run(11, plan_only=True)], [11]),
        (WORKSPACE, [run(1, RunStatus.PLANNING), run(2)], [2]),
    ],
)
def test_who_may_start(workspace: Workspace, waiting: list[Run], expected: list[int]) -> None:
    """One run at a time takes a workspace, in order; plan-only runs go on whatever holds it."""
    assert [started.number for started in workspace_queue.startable(workspace, waiting)] == expected


@pytest.mark.parametrize(
    ("workspace", "waiting", "earlier", "sentence"),
    [
        (WORKSPACE, run(5), [], ""),
        (WORKSPACE, run(5), [run(4), run(3, RunStatus.PLANNED)], "waiting for run 3"),
        (WORKSPACE, run(5), [run(4, plan_only=True)], ""),
        (WORKSPACE, run(5, plan_only=True), [run(4)], ""),
        (WORKSPACE, run(5, RunStatus.PLANNING), [run(4)], ""),
        (
            replace(WORKSPACE, locked=True, locked_by="ann", lock_reason="maintenance"),
            run(5),
            [run(4)],
            "the workspace is locked by ann: maintenance",
        ),
        (replace(WORKSPACE, locked=True), run(5), [], "the workspace is locked"),
    ],
)
def test_why_a_run_waits(workspace: Workspace, waiting: Run, earlier: list[Run], sentence: str) -> None:
    """A waiting run says what it waits for."""
    assert workspace_queue.waiting_for(workspace, waiting, earlier) == sentence


@pytest.mark.parametrize(
    ("kind", "claimed", "cancel", "reason", "attempt", "expected"),
    [
        # never claimed: nothing was touched
        (APPLY, False, None, None, 1, Verdict.AGAIN),
        (APPLY, False, None, FailureReason.EVICTED, 2, Verdict.AGAIN),
        (APPLY, False, None, None, 3, Verdict.ERRORED),
        (APPLY, False, None, FailureReason.IMAGE_PULL, 1, Verdict.ERRORED),
        (PLAN, False, None, FailureReason.MISSING_REFERENCE, 1, Verdict.ERRORED),
        (PLAN, False, CancelKind.GRACEFUL, None, 1, Verdict.CANCELED),
        (APPLY, False, CancelKind.FORCE, None, 1, Verdict.FORCE_CANCELED),
        # a plan only reads
        (PLAN, True, None, None, 1, Verdict.AGAIN),
        (PLAN, True, None, FailureReason.NODE_LOST, 1, Verdict.AGAIN),
        (PLAN, True, None, FailureReason.OUT_OF_MEMORY, 1, Verdict.ERRORED),
        (PLAN, True, None, FailureReason.TIMED_OUT, 1, Verdict.ERRORED),
        (PLAN, True, None, None, 3, Verdict.ERRORED),
        (PLAN, True, CancelKind.GRACEFUL, None, 1, Verdict.CANCELED),
        # an apply is never started twice
        (APPLY, True, None, None, 1, Verdict.OUTCOME_UNKNOWN),
        (APPLY, True, None, FailureReason.OUT_OF_MEMORY, 1, Verdict.OUTCOME_UNKNOWN),
        (StepKind.DESTROY, True, None, None, 1, Verdict.OUTCOME_UNKNOWN),
        (APPLY, True, CancelKind.GRACEFUL, None, 1, Verdict.OUTCOME_UNKNOWN),
        (APPLY, True, CancelKind.FORCE, None, 1, Verdict.FORCE_CANCELED),
    ],
)
def test_what_becomes_of_a_lost_step(
    kind: StepKind,
    claimed: bool,
    cancel: CancelKind | None,
    reason: FailureReason | None,
    attempt: int,
    expected: Verdict,
) -> None:
    """Each row: a carrier that ended without a report, and what follows."""
    assert retry.verdict(kind=kind, claimed=claimed, cancel=cancel, reason=reason, attempt=attempt) is expected


FLOW_PLAN, FLOW_APPLY = FlowStep(100, PLAN, "Plan"), FlowStep(200, APPLY, "Apply")
FLOW_ASK = FlowStep(150, APPROVAL, "Approve")


@pytest.mark.parametrize(
    ("flow", "auto_apply", "numbers"),
    [
        ((FLOW_PLAN, FLOW_APPLY), None, [100, 200]),
        ((FLOW_PLAN, FLOW_APPLY), True, [100, 200]),
        ((FLOW_PLAN, FLOW_APPLY), False, [100, 150, 200]),
        ((FLOW_PLAN, FLOW_ASK, FLOW_APPLY), None, [100, 150, 200]),
        ((FLOW_PLAN, FLOW_ASK, FLOW_APPLY), True, [100, 200]),
        ((FLOW_PLAN, FLOW_ASK, FLOW_APPLY), False, [100, 150, 200]),
        ((FLOW_PLAN,), False, [100]),
        ((FLOW_PLAN,), True, [100]),
    ],
)
def test_the_approval_that_is_asked_for(
    flow: tuple[FlowStep, ...], auto_apply: bool | None, numbers: list[int]
) -> None:
    """autoApply adds or takes the approval; without it the template decides."""
    assert [step.number for step in step_sequence.with_approval(flow, auto_apply)] == numbers


def test_any_plan_can_plan_the_destruction() -> None:
    """A destroying flow plans the destruction and is otherwise the same."""
    flow = step_sequence.destroying((FLOW_PLAN, FLOW_ASK, FLOW_APPLY))

    assert [step.kind for step in flow] == [StepKind.PLAN_DESTROY, APPROVAL, APPLY]
    assert step_sequence.is_destroy(flow)


def test_what_a_flow_is() -> None:
    """A flow without an apply is plan-only, one with a destroying step destroys."""
    assert step_sequence.is_plan_only((FLOW_PLAN, FLOW_ASK))
    assert not step_sequence.is_plan_only((FLOW_PLAN, FLOW_APPLY))
    assert step_sequence.is_destroy((FlowStep(100, StepKind.DESTROY, "x"),))
    assert not step_sequence.is_destroy((FLOW_PLAN, FLOW_APPLY))


def step(number: int, kind: StepKind, status: StepStatus = StepStatus.PENDING) -> Step:
    """A step of run 1."""
    return Step(id=f"step-{number}", run_id="run-1", number=number, kind=kind, name=kind.value, status=status)


@pytest.mark.parametrize(
    ("following", "has_changes", "expected"),
    [
        ([], True, Continuation.DONE),
        ([step(200, APPLY)], True, Continuation.NEXT_STEP),
        ([step(200, APPLY)], None, Continuation.NEXT_STEP),
        ([step(200, APPLY)], False, Continuation.NOTHING_TO_APPLY),
        ([step(150, APPROVAL), step(200, APPLY)], True, Continuation.WAIT_FOR_APPROVAL),
        ([step(200, APPLY, StepStatus.SKIPPED)], True, Continuation.DONE),
    ],
)
def test_what_comes_after_a_plan(following: list[Step], has_changes: bool | None, expected: Continuation) -> None:
    """After a plan comes what is pending, unless there is nothing to apply."""
    plan = step(100, PLAN, StepStatus.FINISHED)

    assert step_sequence.after([plan, *following], plan, has_changes)[0] is expected


@pytest.mark.parametrize(
    ("shape", "enabled", "expected"),
    [
        ({}, False, "process"),
        ({}, True, "kubernetes"),
        ({"TERRAKUBE_ENABLE_EPHEMERAL_EXECUTOR": "1"}, False, "kubernetes"),
        ({"TERRAKUBE_ENABLE_EPHEMERAL_EXECUTOR": "no"}, False, "process"),
        ({"TERRAKUBE_ENABLE_EPHEMERAL_EXECUTOR": ""}, False, "process"),
        ({"TERRAKUBE_ENABLE_EPHEMERAL_EXECUTOR": "off"}, True, "kubernetes"),
    ],
)
def test_which_launcher_carries(shape: dict[str, str], enabled: bool, expected: str) -> None:
    """The toggle counts by its value; where Kubernetes is enabled for all, nothing falls back to a process."""
    assert launch_mode.launcher_kind(shape, kubernetes_enabled=enabled) == expected


@pytest.mark.parametrize(
    ("value", "enabled", "available", "problem"),
    [
        ("maybe", False, True, "must be one of"),
        ("true", False, False, "no Kubernetes mode"),
        ("0", True, True, "cannot be switched off"),
        ("true", True, True, None),
        ("no", False, True, None),
    ],
)
def test_a_toggle_that_cannot_be_honoured_is_refused(
    value: str, enabled: bool, available: bool, problem: str | None
) -> None:
    """A toggle is refused when it is saved, not when a run starts."""
    if problem is None:
        launch_mode.check_toggle(value, kubernetes_enabled=enabled, kubernetes_available=available)
    else:
        with pytest.raises(BadInputError, match=problem):
            launch_mode.check_toggle(value, kubernetes_enabled=enabled, kubernetes_available=available)


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("EPHEMERAL_CPU_LIMIT", True),
        ("TF_PLUGIN_CACHE_DIR", True),
        ("PVC_CLAIM_NAME", True),
        ("TERRAKUBE_ENABLE_EPHEMERAL_EXECUTOR", True),
        ("AWS_REGION", False),
    ],
)
def test_which_variables_shape_the_carrier(name: str, shapes: bool) -> None:
    """Only the documented names shape a carrier."""
    assert launch_mode.shapes_carrier(name) is shapes


def token(**changes: object) -> Token:
    """A token of one organization."""
    fields: dict[str, object] = {"id": "at-1", "name": "ci", "hash": "h", "organization_id": "org-1", "created_at": NOW}
    return Token(**(fields | changes))  # type: ignore[arg-type]  # fields by name


def test_expired_tokens_have_no_principal() -> None:
    """A token is worth nothing from its expiry on."""
    assert permissions.principal_of(token(expires_at=NOW), NOW) is None
    assert permissions.principal_of(token(expires_at=NOW + timedelta(seconds=1)), NOW) is not None
    assert permissions.principal_of(token(), NOW) == Principal("ci", admin=False, organization_id="org-1")


@pytest.mark.parametrize(
    ("principal", "sees", "administers"),
    [
        (Principal("admin", admin=True), True, True),
        (Principal("ours", organization_id="org-1"), True, False),
        (Principal("foreign", organization_id="org-2"), False, False),
    ],
)
def test_who_sees_an_organization(principal: Principal, sees: bool, administers: bool) -> None:
    """An organization is seen by its own tokens and by admins."""
    assert permissions.may_see(principal, "org-1") is sees
    assert permissions.may_administer(principal) is administers


def record(*steps: Step, status: RunStatus) -> RunRecord:
    """Run 1 with these steps."""
    return RunRecord(run=run(1, status), steps=steps)


def test_a_record_knows_its_steps() -> None:
    """A step of another run is not found."""
    with pytest.raises(KeyError):
        record(status=RunStatus.PENDING).step("step-1")


def test_an_apply_of_unknown_outcome_is_settled_by_its_late_report() -> None:
    """The executor thought lost reports after all: the run says what really happened."""
    applying = record(step(200, APPLY, StepStatus.RUNNING), status=RunStatus.APPLYING)
    unknown = run_transitions.lost(
        applying, "step-200", Verdict.OUTCOME_UNKNOWN, FailureReason.EXECUTOR_LOST, "gone", NOW
    )
    assert (unknown.run.status, unknown.run.failure_reason) == (RunStatus.ERRORED, FailureReason.OUTCOME_UNKNOWN)

    applied = run_transitions.reported(unknown, "step-200", StepReport(outcome=Outcome.FINISHED), NOW)
    assert (applied.run.status, applied.run.failure_reason) == (RunStatus.APPLIED, None)

    failed = StepReport(outcome=Outcome.ERRORED, failure_reason=FailureReason.TERRAFORM_FAILED, message="no")
    assert (
        run_transitions.reported(unknown, "step-200", failed, NOW).run.failure_reason is FailureReason.TERRAFORM_FAILED
    )


@pytest.mark.parametrize("outcome", [Outcome.FINISHED, Outcome.ERRORED])
def test_a_known_failure_is_not_rewritten(outcome: Outcome) -> None:
    """Only an unknown outcome may be settled later."""
    errored = replace(step(200, APPLY, StepStatus.ERRORED), failure_reason=FailureReason.TIMED_OUT)

    with pytest.raises(IllegalTransitionError):
        run_transitions.reported(
            record(errored, status=RunStatus.ERRORED), errored.id, StepReport(outcome=outcome), NOW
        )


def test_an_executor_that_was_stopped_without_a_cancel_was_evicted() -> None:
    """Canceled without anybody having canceled: its carrier stopped it."""
    running = record(step(100, PLAN, StepStatus.RUNNING), status=RunStatus.PLANNING)

    moved = run_transitions.reported(running, "step-100", StepReport(outcome=Outcome.CANCELED), NOW)
    assert moved.run.failure_reason is FailureReason.EVICTED


def test_a_flow_that_ends_with_its_approval_is_finished_by_it() -> None:
    """Nothing to apply after an approval: the run is planned and finished."""
    waiting = record(step(150, APPROVAL, StepStatus.WAITING_APPROVAL), status=RunStatus.PLANNED)

    assert run_transitions.approved(waiting, NOW).run.status is RunStatus.PLANNED_AND_FINISHED


@pytest.mark.parametrize(
    ("status", "plan_only", "takes"),
    [(RunStatus.PLANNED, False, True), (RunStatus.PLANNING, True, False), (RunStatus.APPLIED, False, False)],
)
def test_which_runs_take_their_workspace(status: RunStatus, plan_only: bool, takes: bool) -> None:
    """Unfinished runs that may change something."""
    assert run_transitions.takes_workspace(run(1, status, plan_only=plan_only)) is takes

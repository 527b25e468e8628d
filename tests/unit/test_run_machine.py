"""A run driven at random through everything that may happen to it, held to what must always be so."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from api.domain import events, retry, run_transitions, step_sequence
from api.domain.entities import Run, RunRecord, Step
from common.executor_api import CancelKind
from common.failure_reasons import FailureReason
from common.statuses import (
    APPLY_KINDS,
    FINAL_RUN_STATUSES,
    FINAL_STEP_STATUSES,
    IllegalTransitionError,
    RunStatus,
    StepKind,
    StepStatus,
)
from common.step_report import Outcome, StepReport

START = datetime(2026, 1, 1, tzinfo=UTC)


def new_record(template: str, auto_apply: bool | None) -> RunRecord:
    """A pending run of a default template."""
    flow = step_sequence.with_approval(step_sequence.DEFAULT_TEMPLATES[template][1], auto_apply)
    run = Run(
        id="run-1",
        number=1,
        organization_id="org-1",
        workspace_id="ws-1",
        configuration_id="cv-1",
        template_name=template,
        plan_only=step_sequence.is_plan_only(flow),
        created_at=START,
        updated_at=START,
    )
    steps = tuple(Step(id=f"step-{s.number}", run_id=run.id, number=s.number, kind=s.kind, name=s.name) for s in flow)
    return RunRecord(run=run, steps=steps)


class RunMachine(RuleBasedStateMachine):
    """Everything that services may do to a run, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.applies_started = 0
        self.applies_claimed: set[str] = set()

    @initialize(
        template=st.sampled_from(sorted(step_sequence.DEFAULT_TEMPLATES)),
        auto_apply=st.sampled_from([None, True, False]),
    )
    def create(self, template: str, auto_apply: bool | None) -> None:
        self.record = new_record(template, auto_apply)

    def move(self, new: RunRecord) -> None:
        self.now += timedelta(seconds=1)
        moved = events.between(self.record, new, self.now)
        changed = self.record.run.status is not new.run.status
        assert any(event.kind == f"run.{new.run.status}" for event in moved) is changed
        self.record = new

    @precondition(lambda self: self.record.run.status is RunStatus.PENDING and not self.queued())
    @rule()
    def begin(self) -> None:
        self.move(run_transitions.begin(self.record, self.now))

    @precondition(lambda self: self.queued())
    @rule()
    def launch(self) -> None:
        queued = run_transitions.queued_step(self.record)
        assert queued is not None
        self.move(run_transitions.launching(self.record, queued.id, self.now))

    @precondition(lambda self: self.in_status(StepStatus.LAUNCHING))
    @rule(message=st.text(max_size=5))
    def wait(self, message: str) -> None:
        self.move(run_transitions.waits(self.record, self.in_status(StepStatus.LAUNCHING)[0].id, message, self.now))

    @precondition(lambda self: self.in_status(StepStatus.LAUNCHING) and self.record.run.cancel is None)
    @rule()
    def claim(self) -> None:
        step = self.in_status(StepStatus.LAUNCHING)[0]
        if step.kind in APPLY_KINDS:
            assert step.id not in self.applies_claimed, "an apply was claimed twice"
            self.applies_claimed.add(step.id)
        self.move(run_transitions.claimed(self.record, step.id, self.now))

    @precondition(lambda self: self.in_status(StepStatus.RUNNING))
    @rule(outcome=st.sampled_from(Outcome), changes=st.booleans())
    def report(self, outcome: Outcome, changes: bool) -> None:
        step = self.in_status(StepStatus.RUNNING)[0]
        planned = changes if step.kind in {StepKind.PLAN, StepKind.PLAN_DESTROY} else None
        self.move(
            run_transitions.reported(self.record, step.id, StepReport(outcome=outcome, has_changes=planned), self.now)
        )

    @precondition(lambda self: run_transitions.step_under_way(self.record) is not None)
    @rule(reason=st.sampled_from([None, *FailureReason]))
    def lose(self, reason: FailureReason | None) -> None:
        step = run_transitions.step_under_way(self.record)
        assert step is not None
        verdict = retry.verdict(
            kind=step.kind,
            claimed=step.status is StepStatus.RUNNING,
            cancel=self.record.run.cancel,
            reason=reason,
            attempt=step.attempt,
        )
        cause = reason or FailureReason.EXECUTOR_LOST
        self.move(run_transitions.lost(self.record, step.id, verdict, cause, "gone", self.now))

    @precondition(lambda self: self.record.run.failure_reason is FailureReason.OUTCOME_UNKNOWN)
    @rule(outcome=st.sampled_from(Outcome))
    def late_report(self, outcome: Outcome) -> None:
        step = self.in_status(StepStatus.ERRORED)[0]
        self.move(run_transitions.reported(self.record, step.id, StepReport(outcome=outcome), self.now))
        assert self.record.run.status in FINAL_RUN_STATUSES

    @rule()
    def approve(self) -> None:
        if self.in_status(StepStatus.WAITING_APPROVAL):
            self.move(run_transitions.approved(self.record, self.now))
            assert run_transitions.queued_step(self.record)
        else:
            self.refused(lambda: run_transitions.approved(self.record, self.now))

    @rule()
    def discard(self) -> None:
        if self.in_status(StepStatus.WAITING_APPROVAL) or (
            self.record.run.status is RunStatus.PENDING and not self.queued()
        ):
            self.move(run_transitions.discarded(self.record, self.now))
        elif self.record.run.status is not RunStatus.PENDING:
            self.refused(lambda: run_transitions.discarded(self.record, self.now))

    @rule(kind=st.sampled_from(CancelKind))
    def cancel(self, kind: CancelKind) -> None:
        run = self.record.run
        if run.status in FINAL_RUN_STATUSES or (kind is CancelKind.FORCE and run.cancel is None):
            self.refused(lambda: run_transitions.cancel_requested(self.record, kind, self.now))
        else:
            self.move(run_transitions.cancel_requested(self.record, kind, self.now))

    @invariant()
    def an_ended_run_has_no_open_step(self) -> None:
        ended = self.record.run.status in FINAL_RUN_STATUSES
        assert ended is all(step.status in FINAL_STEP_STATUSES for step in self.record.steps)
        assert ended is (self.record.run.finished_at is not None)

    @invariant()
    def at_most_one_step_is_under_way(self) -> None:
        open_steps = [s for s in self.record.steps if s.status not in {*FINAL_STEP_STATUSES, StepStatus.PENDING}]
        assert len(open_steps) <= 1

    @invariant()
    def errored_says_why(self) -> None:
        assert (self.record.run.status is RunStatus.ERRORED) is (self.record.run.failure_reason is not None)
        for step in self.record.steps:
            assert (step.status is StepStatus.ERRORED) is (step.failure_reason is not None)

    @invariant()
    def nothing_is_applied_before_its_approval(self) -> None:
        approvals = [s for s in self.record.steps if s.kind is StepKind.APPROVAL]
        applies = [s for s in self.record.steps if s.kind is StepKind.APPLY and s.attempt]
        if approvals and applies:
            assert approvals[0].status is StepStatus.FINISHED

    def in_status(self, status: StepStatus) -> list[Step]:
        return [step for step in self.record.steps if step.status is status]

    def queued(self) -> bool:
        return run_transitions.queued_step(self.record) is not None

    @staticmethod
    def refused(attempt: object) -> None:
        try:
            attempt()  # type: ignore[operator]  # a callable by construction
        except IllegalTransitionError:
            return
        raise AssertionError("an illegal transition was not refused")


RunMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestRunMachine = RunMachine.TestCase


def test_a_pending_record_without_steps_cannot_begin() -> None:
    """A run without steps has nothing to begin."""
    empty = replace(new_record("Plan", None), steps=())
    RunMachine.refused(lambda: run_transitions.begin(empty, START))

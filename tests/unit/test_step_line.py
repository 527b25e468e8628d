"""The canonical line about a step that has ended."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from api.domain import step_line
from api.domain.entities import Attempt, Run, RunRecord, Step
from common.failure_reasons import FailureReason
from common.statuses import StepKind, StepStatus
from common.step_report import Outcome, StepReport

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RUN = Run(
    id="run-1",
    number=41,
    organization_id="org-1",
    workspace_id="ws-1",
    configuration_id="cv-1",
    template_name="Plan",
    created_at=NOW,
    updated_at=NOW,
)
STEP = Step(id="step-1", run_id="run-1", number=100, kind=StepKind.PLAN, name="Plan", attempt=2)


def record(**changes: object) -> RunRecord:
    """A run whose one step has these values."""
    return RunRecord(run=RUN, steps=(replace(STEP, **changes),))  # type: ignore[arg-type]  # the tests' own names


@pytest.mark.parametrize(
    ("status", "finished_at", "ended"),
    [
        (StepStatus.FINISHED, NOW, True),
        (StepStatus.ERRORED, NOW, True),
        (StepStatus.CANCELED, NOW, True),
        (StepStatus.SKIPPED, NOW, False),
        (StepStatus.RUNNING, None, False),
        (StepStatus.FINISHED, NOW - timedelta(seconds=1), False),
    ],
)
def test_a_step_ends_once(status: StepStatus, finished_at: datetime | None, ended: bool) -> None:
    """Only what the last transition has ended is told, and no step that never began."""
    assert bool(step_line.ended_just_now(record(status=status, finished_at=finished_at))) is ended


def test_a_reported_step_is_told_whole() -> None:
    """Ids, outcome, times and sizes; nothing that the step said."""
    report = StepReport(
        outcome=Outcome.FINISHED, message="not to be told", log_bytes=9, timings={"init": 0.5, "plan": 1.25, "start": 7}
    )
    whole = record(
        status=StepStatus.FINISHED,
        report=report,
        queued_at=NOW - timedelta(seconds=5),
        started_at=NOW - timedelta(seconds=3),
        finished_at=NOW,
    )

    assert step_line.facts(whole, whole.steps[0]) == {
        "organization_id": "org-1",
        "workspace_id": "ws-1",
        "run_id": "run-1",
        "run_number": 41,
        "step_id": "step-1",
        "attempt": 2,
        "kind": "terraformPlan",
        "outcome": "finished",
        "reason": "",
        "start_seconds": 2.0,
        "work_seconds": 3.0,
        "total_seconds": 5.0,
        "terraform_seconds": 1.75,
        "log_bytes": 9,
    }


@pytest.mark.parametrize(
    ("number", "queued_at", "seconds"),
    [(1, NOW + timedelta(seconds=4), 10.0), (2, NOW + timedelta(seconds=4), 6.0), (2, None, 10.0)],
)
def test_a_first_step_has_waited_since_the_run_was_asked_for(
    number: int, queued_at: datetime | None, seconds: float
) -> None:
    """Later attempts have waited since they were queued."""
    attempt = Attempt(
        name="step-1-1",
        step_id="step-1",
        run_id="run-1",
        workspace_id="ws-1",
        number=number,
        launcher="process",
        claim_hash="",
        created_at=NOW + timedelta(seconds=10),
    )

    assert step_line.queue_seconds(record(queued_at=queued_at), attempt) == seconds


def test_what_is_not_known_is_left_out() -> None:
    """A step whose executor never reported has no times of terraform, one that never began no start."""
    lost = record(status=StepStatus.ERRORED, failure_reason=FailureReason.EXECUTOR_LOST, finished_at=NOW)

    told = step_line.facts(lost, lost.steps[0])

    assert told["reason"] == "executor_lost"
    assert not [name for name in told if name.endswith("_seconds") or name == "log_bytes"]

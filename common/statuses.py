"""The words for where a run and its steps stand, which moves are allowed, and the one translation table.

Read by the domain, the routes and the command line. Run statuses are HCP Terraform's words; `WORDS`
translates kind of step x run status into Terrakube's job words, both ways.
"""

from collections.abc import Mapping
from enum import StrEnum

from common.errors import PodformError


class RunStatus(StrEnum):
    """Where a run stands (HCP Terraform's words)."""

    PENDING = "pending"
    PLAN_QUEUED = "plan_queued"
    PLANNING = "planning"
    PLANNED = "planned"
    PLANNED_AND_FINISHED = "planned_and_finished"
    PLANNED_AND_SAVED = "planned_and_saved"
    POST_PLAN_RUNNING = "post_plan_running"
    CONFIRMED = "confirmed"
    PRE_APPLY_RUNNING = "pre_apply_running"
    APPLY_QUEUED = "apply_queued"
    APPLYING = "applying"
    APPLIED = "applied"
    DISCARDED = "discarded"
    ERRORED = "errored"
    CANCELED = "canceled"
    FORCE_CANCELED = "force_canceled"


class StepStatus(StrEnum):
    """Where a step stands."""

    PENDING = "pending"
    QUEUED = "queued"
    LAUNCHING = "launching"
    RUNNING = "running"
    WAITING_APPROVAL = "waiting_approval"
    FINISHED = "finished"
    ERRORED = "errored"
    CANCELED = "canceled"
    SKIPPED = "skipped"


class StepKind(StrEnum):
    """What a step does (the type words of Terrakube's templates)."""

    PLAN = "terraformPlan"
    PLAN_DESTROY = "terraformPlanDestroy"
    APPLY = "terraformApply"
    DESTROY = "terraformDestroy"
    APPROVAL = "approval"


#: Kinds that only read: they may be tried again, and may run beside another run of the workspace.
PLAN_KINDS = frozenset({StepKind.PLAN, StepKind.PLAN_DESTROY})
#: Kinds that change the world: never started twice.
APPLY_KINDS = frozenset({StepKind.APPLY, StepKind.DESTROY})

_R = RunStatus
_S = StepStatus

FINAL_RUN_STATUSES = frozenset(
    {_R.PLANNED_AND_FINISHED, _R.APPLIED, _R.DISCARDED, _R.ERRORED, _R.CANCELED, _R.FORCE_CANCELED}
)
FINAL_STEP_STATUSES = frozenset({_S.FINISHED, _S.ERRORED, _S.CANCELED, _S.SKIPPED})

_STOPPED = frozenset({_R.ERRORED, _R.CANCELED, _R.FORCE_CANCELED})

#: From each run status to those that may follow. `errored -> applied` and its like exist for one case only:
#: an executor thought lost reports after all (outcome_unknown is settled by the current attempt's report).
RUN_TRANSITIONS: Mapping[RunStatus, frozenset[RunStatus]] = {
    # `pending -> planned` is a run that has taken over an earlier run's plan and asks for its approval
    _R.PENDING: frozenset({_R.PLAN_QUEUED, _R.PLANNED, _R.APPLY_QUEUED, _R.DISCARDED}) | _STOPPED,
    _R.PLAN_QUEUED: frozenset({_R.PLANNING}) | _STOPPED,
    _R.PLANNING: frozenset(
        {
            _R.PLAN_QUEUED,
            _R.PLANNED,
            _R.PLANNED_AND_FINISHED,
            _R.PLANNED_AND_SAVED,
            _R.POST_PLAN_RUNNING,
            _R.CONFIRMED,
        }
    )
    | _STOPPED,
    _R.POST_PLAN_RUNNING: frozenset({_R.PLANNED, _R.PLANNED_AND_FINISHED, _R.PLANNED_AND_SAVED, _R.CONFIRMED})
    | _STOPPED,
    _R.PLANNED: frozenset({_R.CONFIRMED, _R.DISCARDED}) | _STOPPED,
    _R.PLANNED_AND_SAVED: frozenset({_R.CONFIRMED, _R.DISCARDED}) | _STOPPED,
    _R.CONFIRMED: frozenset({_R.PRE_APPLY_RUNNING, _R.APPLY_QUEUED, _R.PLANNED_AND_FINISHED}) | _STOPPED,
    _R.PRE_APPLY_RUNNING: frozenset({_R.APPLY_QUEUED}) | _STOPPED,
    _R.APPLY_QUEUED: frozenset({_R.APPLYING}) | _STOPPED,
    _R.APPLYING: frozenset({_R.APPLY_QUEUED, _R.APPLIED}) | _STOPPED,
    _R.ERRORED: frozenset({_R.APPLIED, _R.CANCELED}),
    _R.PLANNED_AND_FINISHED: frozenset(),
    _R.APPLIED: frozenset(),
    _R.DISCARDED: frozenset(),
    _R.CANCELED: frozenset(),
    _R.FORCE_CANCELED: frozenset(),
}

_STEP_STOPPED = frozenset({_S.ERRORED, _S.CANCELED})

#: From each step status to those that may follow; `running -> queued` is the next attempt of a plan,
#: `errored -> finished | canceled` the late report described above.
STEP_TRANSITIONS: Mapping[StepStatus, frozenset[StepStatus]] = {
    _S.PENDING: frozenset({_S.QUEUED, _S.WAITING_APPROVAL, _S.SKIPPED}) | _STEP_STOPPED,
    _S.QUEUED: frozenset({_S.LAUNCHING, _S.SKIPPED}) | _STEP_STOPPED,
    _S.LAUNCHING: frozenset({_S.RUNNING, _S.QUEUED}) | _STEP_STOPPED,
    _S.RUNNING: frozenset({_S.FINISHED, _S.QUEUED}) | _STEP_STOPPED,
    _S.WAITING_APPROVAL: frozenset({_S.FINISHED, _S.SKIPPED}) | _STEP_STOPPED,
    _S.ERRORED: frozenset({_S.FINISHED, _S.CANCELED}),
    _S.FINISHED: frozenset(),
    _S.CANCELED: frozenset(),
    _S.SKIPPED: frozenset(),
}


class IllegalTransitionError(PodformError):
    """A run or step was asked to move where it may not go."""


def check_run_transition(old: RunStatus, new: RunStatus) -> None:
    """Raise IllegalTransitionError unless a run may move from old to new."""
    if new not in RUN_TRANSITIONS[old]:
        raise IllegalTransitionError(f"a run that is {old} cannot become {new}")


def check_step_transition(old: StepStatus, new: StepStatus) -> None:
    """Raise IllegalTransitionError unless a step may move from old to new."""
    if new not in STEP_TRANSITIONS[old]:
        raise IllegalTransitionError(f"a step that is {old} cannot become {new}")


class TerrakubeStatus(StrEnum):
    """Terrakube's one list of words for jobs and steps."""

    PENDING = "pending"
    WAITING_APPROVAL = "waitingApproval"
    APPROVED = "approved"
    QUEUE = "queue"
    RUNNING = "running"
    COMPLETED = "completed"
    NO_CHANGES = "noChanges"
    NOT_EXECUTED = "notExecuted"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    FAILED = "failed"


_T = TerrakubeStatus

#: run status -> (status of the plan, status of the apply, Terrakube's word for the job). Plan and apply
#: statuses are HCP Terraform's; None where the run has no such phase yet and it stands `pending`.
WORDS: Mapping[RunStatus, tuple[str, str, TerrakubeStatus]] = {
    _R.PENDING: ("pending", "pending", _T.PENDING),
    _R.PLAN_QUEUED: ("queued", "pending", _T.QUEUE),
    _R.PLANNING: ("running", "pending", _T.RUNNING),
    _R.PLANNED: ("finished", "pending", _T.WAITING_APPROVAL),
    _R.PLANNED_AND_FINISHED: ("finished", "unreachable", _T.COMPLETED),
    _R.PLANNED_AND_SAVED: ("finished", "pending", _T.WAITING_APPROVAL),
    _R.POST_PLAN_RUNNING: ("finished", "pending", _T.RUNNING),
    _R.CONFIRMED: ("finished", "pending", _T.APPROVED),
    _R.PRE_APPLY_RUNNING: ("finished", "pending", _T.RUNNING),
    _R.APPLY_QUEUED: ("finished", "queued", _T.QUEUE),
    _R.APPLYING: ("finished", "running", _T.RUNNING),
    _R.APPLIED: ("finished", "finished", _T.COMPLETED),
    _R.DISCARDED: ("finished", "unreachable", _T.REJECTED),
    _R.ERRORED: ("errored", "errored", _T.FAILED),
    _R.CANCELED: ("canceled", "canceled", _T.CANCELLED),
    _R.FORCE_CANCELED: ("canceled", "canceled", _T.CANCELLED),
}

#: step status -> Terrakube's word for the step.
STEP_WORDS: Mapping[StepStatus, TerrakubeStatus] = {
    _S.PENDING: _T.PENDING,
    _S.QUEUED: _T.PENDING,
    _S.LAUNCHING: _T.QUEUE,
    _S.RUNNING: _T.RUNNING,
    _S.WAITING_APPROVAL: _T.WAITING_APPROVAL,
    _S.FINISHED: _T.COMPLETED,
    _S.ERRORED: _T.FAILED,
    _S.CANCELED: _T.CANCELLED,
    _S.SKIPPED: _T.NOT_EXECUTED,
}

#: step status -> HCP Terraform's status of the plan or apply that the step carries out.
PHASE_WORDS: Mapping[StepStatus, str] = {
    _S.PENDING: "pending",
    _S.QUEUED: "queued",
    _S.LAUNCHING: "queued",
    _S.RUNNING: "running",
    _S.WAITING_APPROVAL: "pending",
    _S.FINISHED: "finished",
    _S.ERRORED: "errored",
    _S.CANCELED: "canceled",
    _S.SKIPPED: "unreachable",
}

#: What a write of Terrakube's job status asks for; every other word is refused with this list.
REQUESTED_BY_TERRAKUBE_WORD: Mapping[TerrakubeStatus, str] = {
    _T.APPROVED: "approve",
    _T.REJECTED: "discard",
    _T.CANCELLED: "cancel",
}


def runs_with_terrakube_word(word: TerrakubeStatus) -> frozenset[RunStatus]:
    """The run statuses that Terrakube's word stands for: the table read the other way."""
    return frozenset(status for status, (_, _, theirs) in WORDS.items() if theirs is word)


#: (kind of step, what happened to it) -> the run's status while that step is the current one.
RUN_STATUS_WHILE: Mapping[tuple[StepKind, StepStatus], RunStatus] = {
    **{(kind, _S.LAUNCHING): _R.PLAN_QUEUED for kind in PLAN_KINDS},
    **{(kind, _S.RUNNING): _R.PLANNING for kind in PLAN_KINDS},
    **{(kind, _S.LAUNCHING): _R.APPLY_QUEUED for kind in APPLY_KINDS},
    **{(kind, _S.RUNNING): _R.APPLYING for kind in APPLY_KINDS},
    (StepKind.APPROVAL, _S.WAITING_APPROVAL): _R.PLANNED,
    (StepKind.APPROVAL, _S.FINISHED): _R.CONFIRMED,
}

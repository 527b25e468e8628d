"""Which steps a run has, and which comes next.

Pure. A template's flow becomes the steps of a run (services/create_run); after every end of a step
`after` says how the run goes on (services/record_step_report, decide_run, settle_lost_steps).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from api.domain.entities import Step
from common.statuses import APPLY_KINDS, PLAN_KINDS, StepKind, StepStatus


@dataclass(frozen=True, slots=True)
class FlowStep:
    """One step of a template's flow."""

    number: int
    kind: StepKind
    name: str


_PLAN = FlowStep(100, StepKind.PLAN, "Plan")
_PLAN_DESTROY = FlowStep(100, StepKind.PLAN_DESTROY, "Plan destroy")
_APPROVAL = FlowStep(150, StepKind.APPROVAL, "Approve")
_APPLY = FlowStep(200, StepKind.APPLY, "Apply")
_DESTROY = FlowStep(100, StepKind.DESTROY, "Destroy")

#: The templates that every organization starts with: name -> (description, flow).
DEFAULT_TEMPLATES: Mapping[str, tuple[str, tuple[FlowStep, ...]]] = {
    "Plan": ("Shows what an apply would do", (_PLAN,)),
    "Plan and apply": ("Plans and applies", (_PLAN, _APPLY)),
    "Destroy": ("Destroys everything in one step", (_DESTROY,)),
    "Terraform-Plan/Apply-Cli": ("Plans, waits for approval, applies", (_PLAN, _APPROVAL, _APPLY)),
    "Terraform-Plan/Destroy-Cli": (
        "Plans the destruction, waits for approval, applies",
        (_PLAN_DESTROY, _APPROVAL, _APPLY),
    ),
}
DEFAULT_TEMPLATE = "Plan and apply"


def with_approval(flow: Sequence[FlowStep], auto_apply: bool | None) -> tuple[FlowStep, ...]:
    """The flow with the approval that the request asks for.

    True leaves approvals out, False puts one before the first step that applies what was planned, None leaves
    the flow as its template has it.
    """
    if auto_apply is None:
        return tuple(flow)
    bare = tuple(step for step in flow if step.kind is not StepKind.APPROVAL)
    applies = [step for step in bare if step.kind is StepKind.APPLY]
    if auto_apply or not applies:
        return bare
    if any(step.kind is StepKind.APPROVAL for step in flow):
        return tuple(flow)
    number = applies[0].number - 50
    approval = FlowStep(number, StepKind.APPROVAL, _APPROVAL.name)
    return tuple(sorted((*bare, approval), key=lambda step: step.number))


def destroying(flow: Sequence[FlowStep]) -> tuple[FlowStep, ...]:
    """The flow with its plan planning the destruction of everything."""
    return tuple(
        FlowStep(step.number, StepKind.PLAN_DESTROY, step.name) if step.kind is StepKind.PLAN else step for step in flow
    )


def is_plan_only(flow: Sequence[FlowStep]) -> bool:
    """Whether a flow changes nothing: such runs never take their workspace."""
    return not any(step.kind in APPLY_KINDS for step in flow)


def is_destroy(flow: Sequence[FlowStep]) -> bool:
    """Whether a flow destroys what there is."""
    return any(step.kind in {StepKind.DESTROY, StepKind.PLAN_DESTROY} for step in flow)


class Continuation(StrEnum):
    """How a run goes on after a step."""

    NEXT_STEP = "next_step"
    WAIT_FOR_APPROVAL = "wait_for_approval"
    NOTHING_TO_APPLY = "nothing_to_apply"  # the plan found no changes: what follows is skipped
    DONE = "done"


def after(steps: Sequence[Step], finished: Step, has_changes: bool | None) -> tuple[Continuation, Step | None]:
    """How the run goes on after `finished`, and the step that this is about."""
    following = [step for step in steps if step.number > finished.number and step.status is StepStatus.PENDING]
    if not following:
        return Continuation.DONE, None
    if finished.kind in PLAN_KINDS and has_changes is False:
        return Continuation.NOTHING_TO_APPLY, None
    step = min(following, key=lambda candidate: candidate.number)
    if step.kind is StepKind.APPROVAL:
        return Continuation.WAIT_FOR_APPROVAL, step
    return Continuation.NEXT_STEP, step

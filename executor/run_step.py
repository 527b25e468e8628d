"""One step from its claim to its report: a list of actions per kind of step, run one by one.

Called by the entry point. Whatever an action raises becomes an outcome; the step always ends with the finish
report, except when the API has taken it away.
"""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from common.failure_reasons import FailureReason
from common.statuses import StepKind
from common.step_report import Outcome, StepReport
from executor import exit_codes
from executor.actions.apply import apply, destroy
from executor.actions.fetch_configuration import fetch_configuration
from executor.actions.init import init
from executor.actions.plan import plan
from executor.actions.resolve_engine import resolve_engine
from executor.actions.upload_plan import upload_plan
from executor.actions.verify_plan import verify_engine, verify_plan
from executor.actions.write_backend_override import write_backend_override
from executor.actions.write_state import write_state
from executor.actions.write_variables import write_environment, write_variable_files
from executor.api_client import ApiClient
from executor.cancellation import Stop
from executor.delivery import Delivery
from executor.errors import RefusedError, StepFailedError, StepStoppedError, UndeliveredError
from executor.exit_codes import ExitCode
from executor.step import Step

Action = Callable[[Step], None]

_PREPARE: tuple[Action, ...] = (
    fetch_configuration,
    write_state,
    write_backend_override,
    write_environment,
)
_PLAN: tuple[Action, ...] = (*_PREPARE, write_variable_files, resolve_engine, init, plan, upload_plan)

ACTIONS: Mapping[StepKind, Sequence[Action]] = {
    StepKind.PLAN: _PLAN,
    StepKind.PLAN_DESTROY: _PLAN,
    StepKind.APPLY: (*_PREPARE, verify_plan, resolve_engine, verify_engine, init, apply),
    StepKind.DESTROY: (*_PREPARE, write_variable_files, resolve_engine, init, destroy),
}


@dataclass(frozen=True, slots=True)
class Ending:
    """How the actions ended."""

    outcome: Outcome
    reason: FailureReason | None = None
    message: str = ""


def run_actions(step: Step) -> Ending:
    """Run the actions of this kind of step until one fails or the step is to stop.

    Raises UndeliveredError when something that must not be lost could not be delivered in time.
    """
    try:
        for action in ACTIONS[step.job.kind]:
            if step.cancellation.stop is not Stop.NONE:
                return _stopped(step)
            _timed(step, action)
    except StepStoppedError:
        return _stopped(step)
    except StepFailedError as error:
        return _failed(step, error)
    except RefusedError as error:
        return _failed(step, StepFailedError(FailureReason.EXECUTOR_FAILED, f"the API refused a request ({error})"))
    except UndeliveredError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, the step must end with a report
        import traceback  # 3 ms that no other step needs to spend

        traceback.print_exc(file=sys.stderr)
        return _failed(step, StepFailedError(FailureReason.EXECUTOR_FAILED, _described(error)))
    return Ending(Outcome.FINISHED)


def report_unprepared(api: ApiClient, delivery: Delivery, problem: str) -> ExitCode:
    """Report a step that could not even begin: its work directory cannot be used."""
    message = f"the executor's work directory cannot be used: {problem}"
    print(f"podform executor: {message}", file=sys.stderr)
    report = StepReport(outcome=Outcome.ERRORED, failure_reason=FailureReason.EXECUTOR_FAILED, message=message)
    return _deliver(api, delivery, report)


def finish(step: Step, ending: Ending) -> ExitCode:
    """Deliver the report, repeated until it is answered; the exit code."""
    report = StepReport(
        outcome=ending.outcome,
        failure_reason=ending.reason,
        message=ending.message,
        exit_code=step.findings.exit_code,
        has_changes=step.findings.has_changes,
        counts=step.findings.counts,
        plan=step.findings.plan,
        state_serial=step.findings.state_serial,
        log_bytes=step.log.length,
        engine_version=step.engine.version if step.engine else "",
        timings=step.findings.timings,
    )
    return _deliver(step.api, step.delivery, report)


def _deliver(api: ApiClient, delivery: Delivery, report: StepReport) -> ExitCode:
    try:
        delivery.until_answered(lambda: api.finish(report))
    except RefusedError as error:
        print(f"podform executor: the report was refused: {error}", file=sys.stderr)
        return ExitCode.SUPERSEDED
    except UndeliveredError as error:
        print(f"podform executor: the report could not be delivered: {error}", file=sys.stderr)
        return ExitCode.UNDELIVERED
    return exit_codes.of_outcome(report.outcome)


def _timed(step: Step, action: Action) -> None:
    begun = time.monotonic()
    try:
        action(step)
    finally:
        step.findings.timings[action.__name__] = round(time.monotonic() - begun, 3)


def _stopped(step: Step) -> Ending:
    if step.cancellation.stop is Stop.TIMED_OUT:
        seconds = step.claim.timeout_seconds
        message = f"the step took longer than its {seconds} s and was stopped"
        step.log.say(message)
        return Ending(Outcome.ERRORED, FailureReason.TIMED_OUT, message)
    if step.cancellation.stop is Stop.IDLE:
        seconds = step.claim.idle_timeout_seconds
        message = f"nothing was printed and the state did not change for {seconds} s: the step was stopped"
        step.log.say(message)
        return Ending(Outcome.ERRORED, FailureReason.TIMED_OUT, message)
    message = "the step was canceled"
    step.log.say(message)
    return Ending(Outcome.CANCELED, None, message)


def _failed(step: Step, error: StepFailedError) -> Ending:
    if error.reason is not FailureReason.TERRAFORM_FAILED:  # those stand in the log as terraform's own words
        step.log.say(f"{error.reason}: {error}")
    if error.exit_code is not None:
        step.findings.exit_code = error.exit_code
    return Ending(Outcome.ERRORED, error.reason, str(error))


def _described(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"the executor met an error of the system: {error.strerror or type(error).__name__}"
    return f"the executor met an unexpected error: {type(error).__name__}"

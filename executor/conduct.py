"""Wires up a claimed step, runs its actions, delivers its log and its report.

Called by the entry point with the answer to the claim; returns the exit code.
"""

import os
import sys
import time
from collections.abc import Callable

from common.executor_api import ClaimAnswer
from common.ids import attempt_name
from common.job_data import JobData
from executor import exit_codes, hardening, run_step
from executor.api_client import ApiClient
from executor.cancellation import Cancellation, Stop
from executor.delivery import Delivery
from executor.errors import STEP_TAKEN, RefusedError, UndeliveredError
from executor.exit_codes import ExitCode
from executor.heartbeat import Heartbeat
from executor.log_stream import LogShipper, LogStream
from executor.settings import Settings
from executor.step import Step
from executor.workdir import WorkDirectory


def conduct(
    settings: Settings,
    job: JobData,
    answer: ClaimAnswer,
    api: ApiClient,
    delivery: Delivery,
    cancellation: Cancellation,
) -> ExitCode:
    """Carry out a claimed step."""
    heartbeat = Heartbeat(api, cancellation, delivery)
    heartbeat.start()
    work = WorkDirectory(settings.work_directory, attempt_name(job.step_id, job.attempt))
    try:
        work.prepare()
        log = LogStream(work.spool / "log", secrets(answer))
    except OSError as error:
        return run_step.report_unprepared(api, delivery, f"{error.filename or work.root}: {error.strerror}")

    def taken(error: RefusedError) -> None:
        print(f"podform executor: the log was refused: {error}", file=sys.stderr)
        if error.code in STEP_TAKEN:
            cancellation.request(Stop.TAKEN)

    shipper = LogShipper(log, api, delivery, taken)
    heartbeat.undelivered.append(shipper.undelivered_seconds)
    shipper.start()
    if os.geteuid() == 0:
        log.say(hardening.ROOT_WARNING)
    step = Step(
        job=job,
        claim=answer,
        settings=settings,
        work=work,
        api=api,
        delivery=delivery,
        log=log,
        cancellation=cancellation,
        deadline=time.monotonic() + answer.timeout_seconds if answer.timeout_seconds else None,
    )
    return _to_the_end(step, shipper, heartbeat)


def secrets(answer: ClaimAnswer) -> tuple[str, ...]:
    """What must not appear in the log."""
    sensitive = (variable.value for variable in answer.variables if variable.sensitive)
    return (answer.token, *answer.redact, *sensitive)


def _to_the_end(step: Step, shipper: LogShipper, heartbeat: Heartbeat) -> ExitCode:
    try:
        ending = run_step.run_actions(step)
    except UndeliveredError as error:
        print(f"podform executor: {error}; what is left is in {step.work.spool}", file=sys.stderr)
        return ExitCode.UNDELIVERED
    step.log.close()
    if step.cancellation.taken:
        step.delivery.abandon()
        print("podform executor: the API took the step away: stopped without a report", file=sys.stderr)
        return ExitCode.SUPERSEDED
    _clear(step.work.clear)  # before the report: the next step of the run may begin right after it
    complete = shipper.join(heartbeat.answered_at)
    if not complete:
        print(f"podform executor: the log could not be delivered; it is in {step.work.spool}", file=sys.stderr)
    code = run_step.finish(step, ending)
    if complete and code in exit_codes.REPORTED:
        _clear(step.work.clear_spool)
    return code


def _clear(clear: Callable[[], None]) -> None:
    try:
        clear()
    except OSError as error:
        print(f"podform executor: the work directory could not be cleared: {error}", file=sys.stderr)

"""Changes the world: applies the saved plan, or destroys, while every change of the state is shipped."""

import hashlib
from collections.abc import Sequence

from common import executor_api
from common.failure_reasons import FailureReason
from executor import terraform
from executor.cancellation import Stop
from executor.errors import STEP_TAKEN, RefusedError, StepFailedError, UndeliveredError
from executor.state_shipper import Snapshot, StateShipper, parse
from executor.step import Step
from executor.workdir import read_regular

ERRORED_STATE_FILE = "errored.tfstate"


def apply(step: Step) -> None:
    """Apply the saved plan."""
    _change(step, terraform.apply(step.work.plan_file))


def destroy(step: Step) -> None:
    """Destroy everything, or what is targeted, without a saved plan."""
    _change(
        step,
        terraform.destroy(
            variable_files=step.variable_files, targets=step.claim.target_addrs, refresh=step.job.refresh
        ),
    )


def _change(step: Step, arguments: Sequence[str]) -> None:
    def refused(error: RefusedError) -> None:
        if error.code in STEP_TAKEN:
            step.cancellation.request(Stop.TAKEN)

    shipper = StateShipper(step.work.state_file, step.work.spool, step.api, step.delivery, refused)
    shipper.start()
    try:
        _, facts = step.terraform_succeeds(arguments)
        step.findings.counts = facts.counts
    finally:
        # whatever happened: what terraform wrote is the workspace's next state
        _deliver_last_state(step, shipper)


def _deliver_last_state(step: Step, shipper: StateShipper) -> None:
    if step.cancellation.taken:
        step.delivery.abandon()
    salvaged = _salvaged(step, shipper.latest)
    _keep_damaged_state(step)
    try:
        step.findings.state_serial = shipper.finish(salvaged)
    except UndeliveredError:
        if step.cancellation.taken:
            return
        raise
    except RefusedError as error:
        if error.code in STEP_TAKEN:
            step.cancellation.request(Stop.TAKEN)
            return
        _keep_refused_state(step, shipper.latest)
        raise StepFailedError(
            FailureReason.STATE_CONFLICT,
            f"the state that terraform left was refused ({error})",
            step.findings.exit_code,
        ) from error


def _salvaged(step: Step, latest: Snapshot | None) -> Snapshot | None:
    """The state that terraform could not write to its place, uploaded as it is, and given back if it is newer."""
    data = read_regular(step.directory / ERRORED_STATE_FILE)
    if data is None:
        return None
    step.log.say(f"terraform left {ERRORED_STATE_FILE}: it is kept as an artifact")
    _upload(step, data)
    snapshot = parse(data)
    if snapshot is None or (latest is not None and not _follows(snapshot, latest)):
        return None
    return snapshot


def _keep_damaged_state(step: Step) -> None:
    """A state file that terraform, killed or out of disk, left half written: kept for people, never shipped."""
    data = read_regular(step.work.state_file)
    if data and parse(data) is None:
        step.log.say(
            "terraform left its state file damaged: the last whole state counts, the file is kept as an artifact"
        )
        _upload(step, data)


def _follows(snapshot: Snapshot, latest: Snapshot) -> bool:
    return snapshot.lineage == latest.lineage and snapshot.serial > latest.serial


def _keep_refused_state(step: Step, latest: Snapshot | None) -> None:
    if latest is not None:
        step.log.say(f"the state was refused: it is kept as the artifact {executor_api.ERRORED_STATE}")
        _upload(step, latest.data)


def _upload(step: Step, data: bytes) -> None:
    checksum = hashlib.sha256(data).hexdigest()
    try:
        step.delivery.until_answered(
            lambda: step.api.put_artifact(executor_api.ERRORED_STATE, data, size=len(data), sha256=checksum)
        )
    except (RefusedError, UndeliveredError) as error:
        step.log.say(f"{executor_api.ERRORED_STATE} could not be kept as an artifact ({error})")

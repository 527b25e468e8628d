"""Fetches the configuration, holds it against its checksum and unpacks it into a fresh directory."""

import hashlib

from common import archive
from common.errors import BadInputError
from common.failure_reasons import FailureReason
from executor.errors import StepFailedError
from executor.step import Step
from executor.workdir import remove

#: Left by somebody's local work: would make init migrate a state or choose another workspace.
LOCAL_LEFTOVERS = (".terraform", "terraform.tfstate", "terraform.tfstate.d")
_SUFFIXES = {"terraform": (".tf", ".tf.json"), "tofu": (".tf", ".tf.json", ".tofu", ".tofu.json")}


def fetch_configuration(step: Step) -> None:
    """Unpack the configuration and choose terraform's directory in it."""
    source = step.claim.source
    if source is None:
        data = step.ask(step.api.configuration)
    else:
        from executor.actions import check_out  # most steps fetch what is there already

        data = check_out.check_out(step, source)
    step.configuration_sha256 = hashlib.sha256(data).hexdigest()
    wanted = step.claim.configuration_sha256
    if wanted and step.configuration_sha256 != wanted:
        raise StepFailedError(
            FailureReason.BAD_CONFIGURATION,
            f"the configuration's checksum is {step.configuration_sha256}, expected {wanted}",
        )
    try:
        archive.unpack(data, step.work.config)
    except BadInputError as error:
        raise StepFailedError(FailureReason.BAD_CONFIGURATION, str(error)) from error
    step.directory = step.work.terraform_directory(step.job.folder)
    for name in LOCAL_LEFTOVERS:
        remove(step.directory / name)
    suffixes = _SUFFIXES[step.job.engine]
    if not any(entry.name.endswith(suffixes) for entry in step.directory.iterdir()):
        where = f"folder {step.job.folder!r} of the configuration" if step.job.folder else "the configuration"
        raise StepFailedError(
            FailureReason.BAD_CONFIGURATION, f"there are no Terraform configuration files (*.tf) in {where}"
        )
    if source is not None:
        check_out.keep(step, data, step.configuration_sha256)

"""Writes the step's variables to where terraform finds them: files for TERRAFORM ones, its environment for ENV."""

import json
import re
from collections.abc import Iterable
from pathlib import Path

from common.executor_api import StepVariable
from common.failure_reasons import FailureReason
from executor import step_environment
from executor.errors import StepFailedError
from executor.step import Step
from executor.workdir import write_private

_IDENTIFIER = re.compile(r"[^\W\d][\w-]*")


def write_environment(step: Step) -> None:
    """Build terraform's environment; names that the platform keeps are dropped with a line in the log."""
    write_private(step.work.cli_configuration, b"")
    reserved = step_environment.base(
        step.settings.path,
        home=str(step.work.home),
        temporary=str(step.work.short_temporary()),
        cli_configuration=str(step.work.cli_configuration),
    )
    step.environment, dropped = step_environment.build(
        reserved, step.settings.inherited, step.claim.environment, step.claim.variables
    )
    if step.settings.ca_file is not None:
        step.environment["SSL_CERT_FILE"] = str(_authorities(step, step.settings.ca_file))
    for name in dropped:
        step.log.say(f"the variable {name} is reserved for the platform and was left out")


def _authorities(step: Step, ca_file: Path) -> Path:
    """The system's authorities and those of PODFORM_CA_FILE in one file: for registries and mirrors behind them."""
    import ssl

    file = step.work.variables / "authorities.pem"
    system = ssl.get_default_verify_paths().cafile
    known = Path(system).read_bytes() if system else b""
    write_private(file, known + b"\n" + ca_file.read_bytes())
    return file


def write_variable_files(step: Step) -> None:
    """Write the TERRAFORM variables: texts as JSON, where nothing is evaluated; expressions as they are."""
    variables = [item for item in step.claim.variables if item.category == step_environment.TERRAFORM]
    for item in variables:
        if not _IDENTIFIER.fullmatch(item.key):
            raise StepFailedError(
                FailureReason.BAD_CONFIGURATION, f"variable {item.key[:80]!r}: is no name for a Terraform variable"
            )
    for name, content in {"podform.tfvars.json": texts(variables), "podform.tfvars": expressions(variables)}.items():
        if content:
            file = step.work.variables / name
            write_private(file, content)
            step.variable_files.append(file)


def texts(variables: Iterable[StepVariable]) -> bytes:
    """The file of variables whose value is text; empty when there are none."""
    values = {item.key: item.value for item in variables if not item.hcl}
    return json.dumps(values, ensure_ascii=False).encode("utf-8", "replace") if values else b""


def expressions(variables: Iterable[StepVariable]) -> bytes:
    """The file of variables whose value is an expression; empty when there are none."""
    lines = [f"{item.key} = {item.value}\n" for item in variables if item.hcl]
    return "".join(lines).encode("utf-8", "replace")

"""Makes terraform work on our local state file, whatever backend or cloud block the configuration names."""

import json
import os

from common.failure_reasons import FailureReason
from executor.errors import StepFailedError
from executor.step import Step
from executor.workdir import read_regular, write_private

#: An override file; the tilde sorts after every letter and digit, and the last override wins.
OVERRIDE_FILE = "~podform_override.tf"


def write_backend_override(step: Step) -> None:
    """Write the override file into terraform's directory."""
    write_private(step.directory / OVERRIDE_FILE, override(_state_path(step)).encode())


def _state_path(step: Step) -> str:
    """The state file as seen from terraform's directory.

    A saved plan remembers this path and its apply writes there: relative, it stays right wherever the work
    directory of the apply is.
    """
    return os.path.relpath(os.path.realpath(step.work.state_file), step.directory)


def override(path: str) -> str:
    """The override file's text for a state file."""
    return f'terraform {{\n  backend "local" {{\n    path = {quoted(path)}\n  }}\n}}\n'


def quoted(text: str) -> str:
    """A text as a literal of terraform's language, its template marks taken away."""
    return json.dumps(text, ensure_ascii=False).replace("${", "$${").replace("%{", "%%{")


def check_backend(step: Step) -> None:
    """After init: StepFailedError unless the backend in use is ours (a later override file could have won)."""
    data = read_regular(step.directory / ".terraform" / "terraform.tfstate")
    if not is_ours(data or b"", _state_path(step)):
        raise StepFailedError(
            FailureReason.BAD_CONFIGURATION,
            f"the configuration overrides the platform's state backend; rename override files that sort after "
            f"{OVERRIDE_FILE}",
        )


def is_ours(data: bytes, path: str) -> bool:
    """Whether terraform's record of the initialized backend names the local backend on this path."""
    try:
        backend = json.loads(data)["backend"]
        return bool(backend["type"] == "local" and backend["config"]["path"] == path)
    except (ValueError, KeyError, TypeError):
        return False

"""Terraform's environment, built anew from nothing. Pure.

Called by the write_variables action. The executor's own environment, its token and its secret never enter it.
"""

from collections.abc import Iterable, Mapping

from common import environment
from common.executor_api import StepVariable
from common.failure_reasons import FailureReason
from executor.errors import StepFailedError

#: Linux takes at most 131,072 bytes for `NAME=value` with its closing NUL.
MAX_STRING_BYTES = 131_071

ENV = "ENV"
TERRAFORM = "TERRAFORM"


def base(path: str, *, home: str, temporary: str, cli_configuration: str) -> dict[str, str]:
    """What every command gets."""
    return {
        "PATH": path,
        "HOME": home,
        "TMPDIR": temporary,
        "LANG": "C.UTF-8",
        "TF_IN_AUTOMATION": "1",
        "TF_INPUT": "0",
        "CHECKPOINT_DISABLE": "1",
        "TF_CLI_CONFIG_FILE": cli_configuration,
    }


def build(
    reserved: Mapping[str, str],
    inherited: Mapping[str, str],
    given: Mapping[str, str],
    variables: Iterable[StepVariable],
) -> tuple[dict[str, str], list[str]]:
    """The environment and the names that were dropped because they are reserved.

    `inherited` from the carrier, then `given` by the platform, then the workspace's ENV variables, then the
    reserved ones that nothing overrides: a later one wins.
    Raises StepFailedError for a value that no process can be started with.
    """
    own = {variable.key: variable.value for variable in variables if variable.category == ENV}
    dropped = sorted(name for name in own if environment.is_reserved(name))
    platform = {name: value for name, value in given.items() if not _steers_executor(name)}
    merged = {**inherited, **platform, **{name: value for name, value in own.items() if name not in dropped}}
    for name, value in merged.items():
        _check(name, value)
    return {**merged, **reserved}, dropped


def _steers_executor(name: str) -> bool:
    return name in {environment.INTERNAL_SECRET, environment.JOB_DATA}


def _check(name: str, value: str) -> None:
    if not environment.is_name(name):
        raise _bad(name[:80], "is no name for an environment variable; allowed are letters, digits and _")
    if "\0" in value:
        raise _bad(name, "holds a NUL byte, which no environment variable can")
    size = len(f"{name}={value}".encode("utf-8", "surrogateescape"))
    if size > MAX_STRING_BYTES:
        raise _bad(
            name,
            f"is {size} bytes with its name; Linux allows {MAX_STRING_BYTES}: use a variable of category TERRAFORM",
        )


def _bad(name: str, problem: str) -> StepFailedError:
    return StepFailedError(FailureReason.BAD_CONFIGURATION, f"variable {name}: {problem}")

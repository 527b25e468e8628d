"""What stops a command: one sentence for people and the exit code that goes with it.

Raised anywhere in the command line; main.py prints the sentence on stderr, never a traceback.
"""

from cli.exit_codes import ExitCode
from common.errors import PodformError


class CommandError(PodformError):
    """A command cannot go on; str(error) is shown as it is."""

    def __init__(self, message: str, exit_code: ExitCode = ExitCode.USAGE) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class ApiRefusedError(CommandError):
    """The API answered 4xx or 5xx: `status` is the HTTP status, the text its own `detail`; `repeated` says that
    an earlier answer to the same request was lost, so that it may have been carried out already."""

    def __init__(self, message: str, status: int, *, repeated: bool = False) -> None:
        super().__init__(message, _exit_code(status))
        self.status = status
        self.repeated = repeated


def _exit_code(status: int) -> ExitCode:
    if status in {400, 413, 422}:
        return ExitCode.USAGE
    return ExitCode.UNREACHABLE if status >= 500 else ExitCode.REFUSED

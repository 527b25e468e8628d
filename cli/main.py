"""The `podform` command: the entry point of every process of it.

Finds the command by cli/words.py and turns what it raises into one line on stderr and an exit code, never a
traceback. The commands themselves are the modules of cli/commands.
"""

import sys

import typer

from cli.console import complain
from cli.errors import CommandError
from cli.exit_codes import ExitCode
from cli.words import WordGroup

#: Typer's own errors about what was typed; it exports only this leaf of them.
_UsageError: type[Exception] = typer.BadParameter.__bases__[0]

app = typer.Typer(
    cls=WordGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def podform() -> None:
    """Runs Terraform and OpenTofu through a Podform API.

    PODFORM_URL and PODFORM_TOKEN say which API and who is asking, or else the last `podform login`.
    """


def main() -> None:
    """Run the command that the process was started with, and exit."""
    try:
        code = app(standalone_mode=False)
    except CommandError as error:
        complain(str(error))
        code = error.exit_code
    except typer.Abort:
        code = ExitCode.LEFT
    except _UsageError as error:
        code = _misused(error)
    sys.exit(code)


def _misused(error: Exception) -> int:
    """Say what is wrong with what was typed: one line, or the help where nothing was typed at all."""
    text = error.format_message()  # type: ignore[attr-defined]  # typer does not export the class that has it
    context = getattr(error, "ctx", None)
    if "\n" in text:
        sys.stderr.write(f"{text}\n")
    else:
        complain(f"{text} See: {context.command_path} --help" if context else text)
    return ExitCode.USAGE


if __name__ == "__main__":
    main()

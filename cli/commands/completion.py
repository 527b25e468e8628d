"""`podform completion`: a shell's completion script, written from the commands themselves."""

from enum import StrEnum
from typing import Annotated

import typer

from cli import options
from cli.completion_scripts import SCRIPTS
from cli.console import write_out

app = options.single()


class Shell(StrEnum):
    """The shells that have a script."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


@app.command()
def completion(
    shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")],
) -> None:
    """Print the completion script of a shell.

    bash: eval "$(podform completion bash)" in ~/.bashrc; zsh the same in ~/.zshrc, behind compinit;
    fish: podform completion fish > ~/.config/fish/completions/podform.fish.
    """
    from cli.words import WORDS, command_of

    tree: dict[str, list[str]] = {"": list(WORDS)}
    for word in WORDS:
        tree |= _tree(word, command_of(word))
    write_out(SCRIPTS[shell.value](tree).encode())


def _tree(words: str, command: object) -> dict[str, list[str]]:
    """For each chain of words what may follow it: commands and options."""
    below: dict[str, object] = getattr(command, "commands", {})
    parameters = getattr(command, "params", ())
    flags = [flag for each in parameters for flag in (*each.opts, *each.secondary_opts) if flag.startswith("--")]
    found = {words: [*below, *flags, "--help"]}
    for name, each in below.items():
        found |= _tree(f"{words} {name}", each)
    return found

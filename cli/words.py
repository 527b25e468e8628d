"""The words of the command line and where each is kept: only the module of the word that was typed is imported.

Read by main.py and by scripts/write_docs.py. A new word is a row here and a module of its own in cli/commands; a test
holds the summaries here to the modules' own help.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup


@dataclass(frozen=True, slots=True)
class Word:
    """One word: the module in cli/commands whose `app` it is, and what `podform --help` says about it."""

    module: str
    summary: str


WORDS: Mapping[str, Word] = {
    "serve": Word("serve", "Serve the API on this machine: this process becomes the server, until Ctrl-C."),
    "login": Word("login", "Store the token of an API, once the API has accepted it."),
    "logout": Word("logout", "Forget the stored token of an API."),
    "run": Word("run", "Starts and shows runs: `podform run DIR` uploads DIR, plans, asks, applies."),
    "workspace": Word("workspace", "Works with workspaces: list, show, create, set, lock, unlock, delete."),
    "directory": Word(
        "directory", "Works with directories, nested groups of workspaces: list, show, create, move, delete."
    ),
    "variable": Word("variable", "Works with a workspace's variables: list, set, import, delete."),
    "token": Word("token", "Works with the API's tokens: list, create, delete."),
    "plan": Word("plan", "Shows what a run's plan changes."),
    "keys": Word("keys", "Works with the keys that contents are sealed with: show, rotate."),
    "logs": Word("logs", "Write the logs of a run to stdout."),
    "approve": Word("approve", "Let a run that waits for approval go on with its apply."),
    "discard": Word("discard", "Discard the plan of a run that waits for approval."),
    "cancel": Word("cancel", "Cancel a run: terraform is interrupted once and saves its state."),
    "retry": Word("retry", "Run it again: the whole run, or from one of its steps on."),
    "state": Word("state", "Works with a workspace's state: list its versions, pull one, roll back to one."),
    "backup": Word("backup", "Back up the data directory of an API on SQLite, while it serves or not."),
    "restore": Word("restore", "Restore a back-up, check every state in it, and end the runs that had not ended."),
    "doctor": Word("doctor", "Ask every part of the installation whether it works, and say what to do."),
    "completion": Word("completion", "Print the completion script of a shell."),
}


def command_of(word: str) -> Any:
    """The command (or group of commands) behind a word; its module is imported now."""
    app: typer.Typer = import_module(f"cli.commands.{WORDS[word].module}").app
    command = typer.main.get_command(app)
    command.name = word
    return command


class WordGroup(TyperGroup):
    """`podform` itself: its commands come from the table."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the signature is typer's
        return list(WORDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - the signature is typer's
        return command_of(cmd_name) if cmd_name in WORDS else None

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - the signature is typer's
        with formatter.section("Commands"):
            formatter.write_dl([(name, word.summary) for name, word in WORDS.items()])


class DefaultGroup(TyperGroup):
    """A group whose command `start` is meant where none of its commands is named."""

    DEFAULT = "start"

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] != "--help":
            args = [self.DEFAULT, *args]
        return super().parse_args(ctx, args)

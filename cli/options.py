"""Options and arguments that many commands share, and the place they name: the API and the organization.

Used by the modules of cli/commands. Holds no command.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup

from cli import target
from cli.documents import Named

if TYPE_CHECKING:
    from cli.api_client import ApiClient

Organization = Annotated[
    str, typer.Option("--organization", metavar="NAME", help="Default: PODFORM_ORGANIZATION, or the only one.")
]
Workspace = Annotated[
    str | None, typer.Option("--workspace", metavar="NAME", help="Default: the name of the directory.")
]
Run = Annotated[
    str | None, typer.Argument(metavar="RUN", help="Number or id of a run; the workspace's newest when left out.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the run as JSON on stdout at the end.")]

ListAsJson = Annotated[bool, typer.Option("--json", help="Print it as JSON on stdout.")]


def group(summary: str, cls: type[TyperGroup] = TyperGroup) -> typer.Typer:
    """The `app` of a module that holds several commands below one word."""
    app = typer.Typer(help=summary, cls=cls, no_args_is_help=True, add_completion=False, rich_markup_mode=None)
    app.callback()(_nothing)  # without a callback typer makes a lone command the whole app
    return app


def single() -> typer.Typer:
    """The `app` of a module that holds one command."""
    return typer.Typer(add_completion=False, rich_markup_mode=None)


@contextmanager
def at(organization: str) -> Iterator[tuple["ApiClient", Named]]:
    """The API and the organization that a command works in."""
    chosen = target.settings()
    with target.connected(chosen) as api:
        yield api, target.find_organization(api, organization or chosen.organization)


def workspace_here(given: str | None) -> str:
    """The workspace's name: the one given, or this directory's."""
    return target.workspace_name(given, Path())


def _nothing() -> None:
    pass

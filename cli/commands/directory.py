"""`podform directory`: nested groups of workspaces."""

from typing import Annotated, Any

import typer

from cli import options
from cli.console import print_json as show_json
from cli.console import printable, say, write_out
from cli.directory_tree import at_path, placed, tree_lines
from cli.errors import CommandError
from cli.show import show_one

app = options.group("Works with directories, nested groups of workspaces: list, show, create, move, delete.")

DirectoryPath = Annotated[str, typer.Argument(metavar="PATH", help="Names with slashes between them: team/network.")]


@app.command("list")
def listed(organization: options.Organization = "", as_json: options.ListAsJson = False) -> None:
    """Show directories and workspaces as a tree."""
    with options.at(organization) as (api, where):
        directories = api.resources(where.id, "directory")
        if as_json:
            show_json(directories)
            return
        workspaces = api.resources(where.id, "workspace")
    write_out("".join(f"{printable(line)}\n" for line in tree_lines(directories, workspaces)).encode())


@app.command()
def show(path: DirectoryPath, organization: options.Organization = "", as_json: options.ListAsJson = False) -> None:
    """Show a directory and the names of the workspaces that stand in it."""
    with options.at(organization) as (api, where):
        found = at_path(api, where.id, path)
        inside = [each["name"] for each in api.resources(where.id, "workspace") if each["directory"] == found["id"]]
    show_one(found | {"workspaces": sorted(inside)}, as_json=as_json)


@app.command()
def create(
    path: DirectoryPath,
    description: Annotated[str, typer.Option("--description", metavar="TEXT", help="What it is for.")] = "",
    organization: options.Organization = "",
    as_json: options.ListAsJson = False,
) -> None:
    """Create a directory; the ones above it must be there."""
    parent, _, name = path.strip("/").rpartition("/")
    attributes: dict[str, Any] = {"name": name, "description": description}
    with options.at(organization) as (api, where):
        place = placed(api, where.id, "parent", parent)
        made = api.add(where.id, "directory", attributes=attributes, relationships=place)
    show_one(made, as_json=as_json)


@app.command()
def move(
    path: DirectoryPath,
    to: Annotated[
        str | None, typer.Option("--to", metavar="PATH", help="The directory to stand in; / is the top.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Its new name.")] = None,
    organization: options.Organization = "",
    as_json: options.ListAsJson = False,
) -> None:
    """Move a directory with all that is in it, or rename it."""
    if to is None and name is None:
        raise CommandError("give --to PATH, --name NAME, or both")
    with options.at(organization) as (api, where):
        found = at_path(api, where.id, path)
        place = placed(api, where.id, "parent", to)
        attributes = {} if name is None else {"name": name}
        moved = api.change(where.id, "directory", found["id"], attributes=attributes, relationships=place)
    show_one(moved, as_json=as_json)


@app.command()
def delete(
    path: DirectoryPath,
    move_up: Annotated[bool, typer.Option("--move-up", help="What is in it moves to its parent first.")] = False,
    organization: options.Organization = "",
) -> None:
    """Delete an empty directory."""
    with options.at(organization) as (api, where):
        found = at_path(api, where.id, path)
        api.remove(where.id, "directory", found["id"], params={"moveUp": "true"} if move_up else None)
    say(f"deleted the directory {found['path']}")

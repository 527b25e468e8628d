"""`podform variable`: the variables of a workspace. A sensitive value is never shown."""

import sys
from typing import Annotated, Any

import typer

from cli import options, target
from cli.api_client import ApiClient
from cli.console import say
from cli.errors import CommandError
from cli.exit_codes import ExitCode
from cli.show import show_list, show_one

app = options.group("Works with a workspace's variables: list, set, delete.")

Key = Annotated[str, typer.Argument(metavar="KEY", help="The variable's name.")]
Env = Annotated[bool, typer.Option("--env", help="An environment variable of terraform, not one of the configuration.")]


@app.command("list")
def listed(
    workspace: options.Workspace = None, organization: options.Organization = "", as_json: options.ListAsJson = False
) -> None:
    """List the workspace's variables; sensitive values are left out."""
    with options.at(organization) as (api, where):
        place = target.find_workspace(api, where, options.workspace_here(workspace))
        found = api.resources(where.id, "workspace", place.id, "variable")
    show_list(found, ("key", "category", "value", "sensitive", "hcl", "description"), as_json=as_json)


@app.command("set")
def change(  # noqa: PLR0913, PLR0917 - each is an option of the command; typer calls it by name
    key: Key,
    value: Annotated[str | None, typer.Argument(metavar="VALUE", help="Read from stdin when left out.")] = None,
    env: Env = False,
    sensitive: Annotated[bool, typer.Option("--sensitive", help="Never show the value again.")] = False,
    hcl: Annotated[
        bool, typer.Option("--hcl", help="The value is an HCL expression: a list, a map, a number.")
    ] = False,
    description: Annotated[str | None, typer.Option("--description", metavar="TEXT", help="What it is for.")] = None,
    workspace: options.Workspace = None,
    organization: options.Organization = "",
    as_json: options.ListAsJson = False,
) -> None:
    """Set a variable, new or not. A value on the command line stays in the shell's history: secrets go by stdin.

    One that is sensitive stays so.
    """
    if value is None:
        value = sys.stdin.read().removesuffix("\n")
    fields: dict[str, Any] = {"value": value, "hcl": hcl}
    fields |= {"sensitive": True} if sensitive else {}
    fields |= {} if description is None else {"description": description}
    with options.at(organization) as (api, where):
        place = target.find_workspace(api, where, options.workspace_here(workspace))
        known = _known(api, where.id, place.id, key, env=env)
        path = ("workspace", place.id, "variable")
        if known is None:
            fields |= {"key": key, "category": _category(env)}
            kept = api.add(where.id, *path, attributes=fields)
        else:
            kept = api.change(where.id, *path, known, attributes=fields)
    show_one(kept, as_json=as_json)


@app.command()
def delete(
    key: Key, env: Env = False, workspace: options.Workspace = None, organization: options.Organization = ""
) -> None:
    """Delete a variable."""
    with options.at(organization) as (api, where):
        place = target.find_workspace(api, where, options.workspace_here(workspace))
        known = _known(api, where.id, place.id, key, env=env)
        if known is None:
            raise CommandError(
                f"KEY: workspace {place.name} has no {_category(env)} variable {key!r}", ExitCode.REFUSED
            )
        api.remove(where.id, "workspace", place.id, "variable", known)
    say(f"deleted the variable {key}")


def _known(api: ApiClient, organization: str, workspace: str, key: str, *, env: bool) -> str | None:
    found = api.resources(organization, "workspace", workspace, "variable")
    return next((str(each["id"]) for each in found if (each["key"], each["category"]) == (key, _category(env))), None)


def _category(env: bool) -> str:
    return "ENV" if env else "TERRAFORM"

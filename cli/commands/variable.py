"""`podform variable`: the variables of a workspace. A sensitive value is never shown."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import options, target
from cli.console import say, secret_line
from cli.errors import CommandError
from cli.exit_codes import ExitCode
from cli.show import show_list, show_one

if TYPE_CHECKING:
    from cli.api_client import ApiClient

app = options.group("Works with a workspace's variables: list, set, import, delete.")

_COLUMNS = ("key", "category", "value", "sensitive", "hcl", "description")

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
    show_list(found, _COLUMNS, as_json=as_json)


@app.command("set")
def change(  # noqa: PLR0913, PLR0917 - each is an option of the command; typer calls it by name
    key: Key,
    value: Annotated[
        str | None, typer.Argument(metavar="VALUE", help="Asked for, or read from stdin, when left out.")
    ] = None,
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
        value = secret_line(f"Value of {key} (not shown): ")
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


@app.command("import")
def imported(
    file: Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help=".tfvars, .tfvars.json.")],
    sensitive: Annotated[
        list[str] | None, typer.Option("--sensitive", metavar="KEY", help="Never show this one again. May be repeated.")
    ] = None,
    all_sensitive: Annotated[bool, typer.Option("--all-sensitive", help="Never show any of them again.")] = False,
    workspace: options.Workspace = None,
    organization: options.Organization = "",
    as_json: options.ListAsJson = False,
) -> None:
    """Set every variable of a .tfvars or .tfvars.json file; other variables stay as they are.

    Values must be literals: strings, numbers, true, false, null, lists and maps of them.
    """
    from cli.tfvars import read_file

    values = read_file(file)
    secret = set(values) if all_sensitive else set(sensitive or ())
    if unknown := sorted(secret - set(values)):
        raise CommandError(f"--sensitive: {file} sets no variable {unknown[0]!r}")
    with options.at(organization) as (api, where):
        place = target.find_workspace(api, where, options.workspace_here(workspace))
        path = ("workspace", place.id, "variable")
        there = {each["key"]: each["id"] for each in api.resources(where.id, *path) if each["category"] == "TERRAFORM"}
        kept = []
        for key, value in values.items():
            fields: dict[str, Any] = {"value": value.text, "hcl": value.hcl}
            fields |= {"sensitive": True} if key in secret else {}
            if key in there:
                kept.append(api.change(where.id, *path, there[key], attributes=fields))
            else:
                kept.append(api.add(where.id, *path, attributes={"key": key, "category": "TERRAFORM", **fields}))
    say(f"set {len(kept)} variables of the workspace {place.name}")
    show_list(kept, _COLUMNS, as_json=as_json)


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


def _known(api: "ApiClient", organization: str, workspace: str, key: str, *, env: bool) -> str | None:
    found = api.resources(organization, "workspace", workspace, "variable")
    return next((str(each["id"]) for each in found if (each["key"], each["category"]) == (key, _category(env))), None)


def _category(env: bool) -> str:
    return "ENV" if env else "TERRAFORM"

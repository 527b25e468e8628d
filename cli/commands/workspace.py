"""`podform workspace`: workspaces and their locks."""

from typing import Annotated, Any

import typer

from cli import options, target
from cli.console import say
from cli.directory_tree import placed
from cli.errors import CommandError
from cli.show import show_list, show_one

app = options.group("Works with workspaces: list, show, create, set, lock, unlock, delete.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The workspace's name.")]
Description = Annotated[str | None, typer.Option("--description", metavar="TEXT", help="What it is for.")]
Engine = Annotated[str | None, typer.Option("--iac-type", metavar="ENGINE", help="terraform or tofu.")]
Version = Annotated[str | None, typer.Option("--engine-version", metavar="CONSTRAINT", help="Such as '~> 1.9'.")]
Folder = Annotated[str | None, typer.Option("--folder", metavar="PATH", help="Where in the configuration to work.")]
Source = Annotated[str | None, typer.Option("--source", metavar="URL", help="A git repository; empty: uploads.")]
Branch = Annotated[str | None, typer.Option("--branch", metavar="REF", help="Branch, tag or commit of the source.")]
Directory = Annotated[
    str | None, typer.Option("--directory", metavar="PATH", help="The directory it stands in; / is the top.")
]
AutoApply = Annotated[
    bool | None, typer.Option("--auto-apply/--no-auto-apply", help="Whether its runs apply without asking.")
]


@app.command("list")
def listed(organization: options.Organization = "", as_json: options.ListAsJson = False) -> None:
    """List the organization's workspaces."""
    with options.at(organization) as (api, where):
        found = api.resources(where.id, "workspace")
    show_list(found, ("name", "iacType", "terraformVersion", "locked", "description"), as_json=as_json)


@app.command()
def show(name: Name, organization: options.Organization = "", as_json: options.ListAsJson = False) -> None:
    """Show a workspace with its lock and its last run."""
    with options.at(organization) as (api, where):
        found = api.resource(where.id, "workspace", target.find_workspace(api, where, name).id)
    show_one(found, as_json=as_json)


@app.command()
def create(  # noqa: PLR0913, PLR0917 - each is an option of the command; typer calls it by name
    name: Name,
    description: Description = None,
    iac_type: Engine = None,
    engine_version: Version = None,
    folder: Folder = None,
    source: Source = None,
    branch: Branch = None,
    auto_apply: AutoApply = None,
    directory: Directory = None,
    organization: options.Organization = "",
    as_json: options.ListAsJson = False,
) -> None:
    """Create a workspace."""
    given = _given(
        description=description,
        iacType=iac_type,
        terraformVersion=engine_version,
        folder=folder,
        source=source,
        branch=branch,
        autoApply=auto_apply,
    )
    with options.at(organization) as (api, where):
        place = placed(api, where.id, "directory", directory)
        made = api.add(where.id, "workspace", attributes={"name": name, **given}, relationships=place)
    show_one(made, as_json=as_json)


@app.command("set")
def change(  # noqa: PLR0913, PLR0917 - each is an option of the command; typer calls it by name
    name: Name,
    new_name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Its new name.")] = None,
    description: Description = None,
    iac_type: Engine = None,
    engine_version: Version = None,
    folder: Folder = None,
    source: Source = None,
    branch: Branch = None,
    auto_apply: AutoApply = None,
    directory: Directory = None,
    organization: options.Organization = "",
    as_json: options.ListAsJson = False,
) -> None:
    """Change what is given of a workspace, and nothing else."""
    given = _given(
        description=description,
        iacType=iac_type,
        terraformVersion=engine_version,
        folder=folder,
        source=source,
        branch=branch,
        autoApply=auto_apply,
    )
    given |= {} if new_name is None else {"name": new_name}
    if not given and directory is None:
        raise CommandError("nothing to set; give --name, --description, --engine-version or another option")
    _changed(name, organization, given, directory, as_json=as_json)


@app.command()
def lock(
    name: Name,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Shown to whoever must wait.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Take over the lock of somebody else.")] = False,
    organization: options.Organization = "",
    as_json: options.ListAsJson = False,
) -> None:
    """Lock a workspace: no run changes anything until it is unlocked."""
    fields = {"locked": True, "lockDescription": reason, "force": force}
    _changed(name, organization, fields, as_json=as_json)


@app.command()
def unlock(
    name: Name,
    force: Annotated[bool, typer.Option("--force", help="Break the lock of somebody else or of a lost run.")] = False,
    organization: options.Organization = "",
    as_json: options.ListAsJson = False,
) -> None:
    """Unlock a workspace."""
    _changed(name, organization, {"locked": False, "force": force}, as_json=as_json)


@app.command()
def delete(
    name: Name,
    confirmed: Annotated[bool, typer.Option("--yes", help="It really shall go, with its runs and states.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Although its state still names resources.")] = False,
    organization: options.Organization = "",
) -> None:
    """Delete a workspace with its variables, runs and states. What terraform made stays."""
    if not confirmed:
        raise CommandError(f"--yes: is missing; workspace {name!r} would go with its runs and states")
    with options.at(organization) as (api, where):
        wanted = {"force": "true"} if force else None
        api.remove(where.id, "workspace", target.find_workspace(api, where, name).id, params=wanted)
    say(f"deleted the workspace {name}")


def _changed(
    name: str, organization: str, fields: dict[str, Any], directory: str | None = None, *, as_json: bool
) -> None:
    with options.at(organization) as (api, where):
        found = target.find_workspace(api, where, name)
        place = placed(api, where.id, "directory", directory)
        changed = api.change(where.id, "workspace", found.id, attributes=fields, relationships=place)
    show_one(changed, as_json=as_json)


def _given(**values: str | bool | None) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}

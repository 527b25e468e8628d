"""`podform token`: the API's bearer tokens, for admins."""

from typing import Annotated, Any

import typer

from cli import options, target
from cli.console import say
from cli.show import show_list, show_one

app = options.group("Works with the API's tokens: list, create, delete.")


@app.command("list")
def listed(as_json: options.ListAsJson = False) -> None:
    """List the tokens, without their texts."""
    with target.connected(target.settings()) as api:
        found = api.tokens()
    show_list(found, ("id", "description", "admin", "organizationId", "expiresDate"), as_json=as_json)


@app.command()
def create(
    description: Annotated[str, typer.Argument(metavar="DESCRIPTION", help="Whose it is, or what for.")],
    admin: Annotated[bool, typer.Option("--admin", help="It opens everything, not one organization.")] = False,
    days: Annotated[int, typer.Option("--days", min=0, max=3650, help="It expires then; 0: never.")] = 0,
    organization: options.Organization = "",
    as_json: options.ListAsJson = False,
) -> None:
    """Create a token of one organization (or --admin). Its text is shown this once."""
    wanted: dict[str, Any] = {"description": description, "days": days}
    chosen = target.settings()
    with target.connected(chosen) as api:
        if not admin:
            wanted["organizationId"] = target.find_organization(api, organization or chosen.organization).id
        made = api.create_token(wanted)
    show_one(made, as_json=as_json)


@app.command()
def delete(token: Annotated[str, typer.Argument(metavar="ID", help="The token's id, from `token list`.")]) -> None:
    """Revoke a token: it opens nothing from now on."""
    with target.connected(target.settings()) as api:
        api.delete_token(token)
    say(f"deleted the token {token}")

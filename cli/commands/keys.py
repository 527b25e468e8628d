"""`podform keys`: the keys that contents are sealed with, for admins."""

import time
from typing import Annotated, Any

import typer

from cli import options, target
from cli.console import say
from cli.show import show_list

app = options.group("Works with the keys that contents are sealed with: show, rotate.")

_LOOK_SECONDS = 1.0


@app.command()
def show(as_json: options.ListAsJson = False) -> None:
    """Show the data keys, and how far the sealing anew is after a rotation."""
    with target.connected(target.settings()) as api:
        known = api.keys()
    show_list(known["keys"], ("id", "active", "createdDate", "retiredDate"), as_json=as_json)
    say(_progress(known))


@app.command()
def rotate(
    wait: Annotated[bool, typer.Option("--wait", help="Until everything is sealed with the new key.")] = False,
) -> None:
    """Seal with a new key from now on, and what is there already in the background; the API serves on."""
    with target.connected(target.settings()) as api:
        before = api.keys()
        known = api.rotate_keys(next(key["id"] for key in before["keys"] if key["active"]))
        say(_progress(known))
        while wait and known["resealing"]:
            time.sleep(_LOOK_SECONDS)
            known = api.keys()
            say(_progress(known))


def _progress(known: dict[str, Any]) -> str:
    active = next(key["id"] for key in known["keys"] if key["active"])
    if not known["resealing"]:
        return f"everything is sealed with {active}"
    return f"sealing anew with {active}: {known['lookedAt']} looked at, {known['sealedAnew']} sealed anew"

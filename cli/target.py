"""Where a command works: connection, organization, workspace and run, from options and environment.

Called by main.py's commands and run.py. Its errors name what is missing and how to give it.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cli.console import say
from cli.documents import Job, Named
from cli.errors import CommandError
from cli.exit_codes import ExitCode
from cli.logins import logins_file, read_logins
from common.ids import is_id

if TYPE_CHECKING:
    from cli.api_client import ApiClient

DEFAULT_URL = "http://127.0.0.1:8080"
DEFAULT_ORGANIZATION = "default"
#: How long the first request is tried: long enough for an API that is just starting.
FIRST_SECONDS = 5.0
#: How long an API that has answered once is waited for: as long as an executor goes on delivering.
PATIENCE_SECONDS = 86_400.0
_NAME_CHARACTERS = 90


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line takes from its environment."""

    url: str
    token: str
    organization: str
    patience_seconds: float


def settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Settings out of PODFORM_URL, PODFORM_TOKEN, PODFORM_ORGANIZATION and PODFORM_API_WAIT_SECONDS.

    URL and token that are not there come from the last login, a token only for the URL that it was given for.
    """
    url = environment.get("PODFORM_URL", "").strip()
    token = environment.get("PODFORM_TOKEN", "").strip()
    if not url or not token:
        logins = read_logins(logins_file(environment))
        url = url or logins.current or DEFAULT_URL
        token = token or logins.tokens.get(url.rstrip("/"), "")
    if not token:
        raise CommandError(
            f"PODFORM_TOKEN is not set and there is no login at {url}: `podform login` stores a token; "
            "`podform serve` prints the first admin's once, at its first start"
        )
    return Settings(
        url=url,
        token=checked_token(token, "PODFORM_TOKEN"),
        organization=environment.get("PODFORM_ORGANIZATION", "").strip(),
        patience_seconds=_seconds(environment.get("PODFORM_API_WAIT_SECONDS", "").strip()),
    )


def checked_token(token: str, name: str) -> str:
    """The token, when it can be one; CommandError by that name otherwise, which does not show it."""
    if not token:
        raise CommandError(f"{name}: is empty")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise CommandError(f"{name}: holds a character that no token has; allowed: letters, digits, - _ .")
    return token


def checked_url(url: str) -> str:
    """The URL as logins know it, without a slash at its end; CommandError when it is none."""
    scheme, _, rest = url.strip().rstrip("/").partition("://")
    if scheme not in {"http", "https"} or not rest or not rest.isprintable() or " " in rest or "@" in rest:
        raise CommandError(f"URL: is {url!r}; write it like https://podform.example.com")
    return f"{scheme}://{rest}"


@contextmanager
def connected(chosen: Settings, patience_seconds: float | None = None) -> Iterator[ApiClient]:
    """A client of the API of these settings, with another patience where one is given."""
    # imported here: help and completion need no HTTP
    from cli.api_client import ApiClient
    from cli.connection import Connection

    patience = chosen.patience_seconds if patience_seconds is None else patience_seconds
    connection = Connection(
        chosen.url,
        chosen.token,
        say=say,
        first_seconds=min(FIRST_SECONDS, patience),
        patience_seconds=patience,
    )
    try:
        yield ApiClient(connection)
    finally:
        connection.close()


def workspace_name(given: str | None, directory: Path) -> str:
    """The workspace's name: the given one as it is (the API judges it), else the directory's made valid."""
    if given is not None:
        return unicodedata.normalize("NFC", given)  # as the API keeps names
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", directory.resolve().name).strip("-.")[:_NAME_CHARACTERS]
    if not name:
        raise CommandError(f"{directory.resolve()}: its name gives no workspace name; give one by --workspace NAME")
    return name


def find_organization(api: ApiClient, name: str) -> Named:
    """The organization of that name, or the only one when the name is empty; CommandError otherwise."""
    found = choose_organization(api.organizations(), name)
    if found is None:
        raise CommandError(
            f"there is no organization {name!r} that this token may see" if name else "there is no organization yet",
            ExitCode.REFUSED,
        )
    return found


def choose_organization(all_of_them: list[Named], name: str) -> Named | None:
    """The one of that name (None: no such), or the only one when the name is empty (None: there is none)."""
    if name:
        composed = unicodedata.normalize("NFC", name)  # as the API keeps names
        return next((each for each in all_of_them if each.name == composed), None)
    if len(all_of_them) > 1:
        names = ", ".join(sorted(each.name for each in all_of_them))
        raise CommandError(f"which organization? give --organization or PODFORM_ORGANIZATION; there are: {names}")
    return all_of_them[0] if all_of_them else None


def find_or_create_organization(api: ApiClient, name: str) -> Named:
    """The organization, made when it is missing (an admin's token may)."""
    found = choose_organization(api.organizations(), name)
    if found is not None:
        return found
    created = api.create_organization(name or DEFAULT_ORGANIZATION)
    say(f"created the organization {created.name}")
    return created


def find_workspace(api: ApiClient, organization: Named, name: str) -> Named:
    """The workspace of that name; CommandError when there is none."""
    found = api.workspace(organization.id, name)
    if found is None:
        raise CommandError(
            f"there is no workspace {name!r} in the organization {organization.name}; give one by --workspace NAME",
            ExitCode.REFUSED,
        )
    return found


def find_or_create_workspace(api: ApiClient, organization: Named, name: str, iac_type: str) -> Named:
    """The workspace, made when it is missing."""
    found = api.workspace(organization.id, name)
    if found is not None:
        return found
    created = api.create_workspace(organization.id, {"name": name, "iacType": iac_type})
    say(f"created the workspace {created.name} in the organization {organization.name}")
    return created


def find_job(api: ApiClient, organization: Named, run: str | None, workspace: str) -> Job:
    """The run of that number or id; without one the newest of the workspace."""
    if run is not None:
        if not (run.isascii() and run.isdecimal()) and not is_id(run, "run"):
            raise CommandError(f"RUN: is {run!r}; give the number of a run, or its id (run-…)")
        return api.job(organization.id, run)
    newest = api.newest_job(organization.id, find_workspace(api, organization, workspace).id)
    if newest is None:
        raise CommandError(f"the workspace {workspace!r} has had no run yet", ExitCode.REFUSED)
    return api.job(organization.id, newest.number)


def _seconds(text: str) -> float:
    if not text:
        return PATIENCE_SECONDS
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds < float("inf"):
        raise CommandError(f"PODFORM_API_WAIT_SECONDS: is {text!r}; allowed: a number of seconds, 0 or more")
    return seconds

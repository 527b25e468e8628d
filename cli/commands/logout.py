"""`podform logout`: forgets a stored token."""

from typing import Annotated

import typer

from cli import options, target
from cli.console import say
from cli.errors import CommandError
from cli.exit_codes import ExitCode
from cli.logins import logins_file, read_logins, write_logins

app = options.single()


@app.command()
def logout(
    url: Annotated[str, typer.Argument(metavar="[URL]", help="Default: the server of the last login.")] = "",
) -> None:
    """Forget the stored token of an API.

    The token itself stays valid: `podform token delete` ends it.
    """
    path = logins_file()
    known = read_logins(path)
    url = target.checked_url(url) if url else known.current
    if url not in known.tokens:
        raise CommandError(f"there is no login at {url!r}" if url else "there is no login", ExitCode.REFUSED)
    write_logins(path, known.without(url))
    say(f"forgot the token of {url}")

"""`podform login`: checks a token and stores it for the commands that follow."""

from pathlib import Path
from typing import Annotated

import typer

from cli import options, target
from cli.console import ask, can_ask, say, secret_line
from cli.errors import ApiRefusedError, CommandError
from cli.exit_codes import ExitCode
from cli.logins import logins_file, read_logins, write_logins

app = options.single()


@app.command()
def login(
    url: Annotated[str, typer.Argument(metavar="[URL]", help="The API, such as https://podform.example.com.")] = "",
    token_file: Annotated[
        Path | None,
        typer.Option("--token-file", metavar="FILE", exists=True, dir_okay=False, help="Take the token from there."),
    ] = None,
) -> None:
    """Store the token of an API, once the API has accepted it.

    Asks for what is not given; without a terminal the token is read from stdin. The server of the last login is
    meant where PODFORM_URL names none. A token of another server is kept, and counts where PODFORM_URL names that one.
    """
    path = logins_file()
    known = read_logins(path)
    url = target.checked_url(url or _asked_url(known.current or target.DEFAULT_URL))
    token = target.checked_token(_token(token_file), "the token")
    try:
        with target.connected(target.settings({"PODFORM_URL": url, "PODFORM_TOKEN": token})) as api:
            organizations = api.organizations()
    except ApiRefusedError as error:
        if error.status != 401:
            raise
        raise CommandError(f"{url} does not accept this token; nothing was stored", ExitCode.REFUSED) from None
    write_logins(path, known.with_login(url, token))
    names = ", ".join(each.name for each in organizations) or "none yet"
    say(f"logged in at {url} (organizations: {names}); the token is in {path}")


def _asked_url(default: str) -> str:
    if not can_ask():
        raise CommandError("URL: is missing, and there is no terminal to ask on")
    return ask(f"URL of the API [{default}]: ") or default


def _token(file: Path | None) -> str:
    if file is not None:
        try:
            return file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeError) as error:
            raise CommandError(f"--token-file: {file} cannot be read ({type(error).__name__})") from None
    return secret_line("Token (not shown): ").strip()

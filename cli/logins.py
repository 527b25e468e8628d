"""The servers that `podform login` has stored: one JSON file that only its owner may read.

Used by target.py and the commands login and logout. A token is only ever given out together with its own URL.
"""

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from cli.errors import CommandError


@dataclass(frozen=True, slots=True)
class Logins:
    """Tokens by URL, and the URL that is meant where none is given."""

    current: str = ""
    tokens: Mapping[str, str] = field(default_factory=dict)

    def with_login(self, url: str, token: str) -> "Logins":
        """With this server, which is the current one from now on."""
        return Logins(url, {**self.tokens, url: token})

    def without(self, url: str) -> "Logins":
        """Without this server; when it was the current one, none is."""
        left = {known: token for known, token in self.tokens.items() if known != url}
        return replace(self, current="" if self.current == url else self.current, tokens=left)


def logins_file(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the logins are kept, by the XDG base directories."""
    configured = environment.get("XDG_CONFIG_HOME", "")
    # the specification: a relative path is to be ignored
    base = Path(configured) if configured.startswith("/") else Path(environment.get("HOME") or Path.home()) / ".config"
    return base / "podform" / "logins.json"


def read_logins(path: Path) -> Logins:
    """What is stored; nothing when there is no file. CommandError when it cannot be read."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        tokens = {str(url): str(token) for url, token in document["tokens"].items()}
        return Logins(str(document["current"]), tokens)
    except FileNotFoundError:
        return Logins()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CommandError(
            f"{path}: cannot be read ({type(error).__name__}); mend or remove it, then `podform login` again"
        ) from None


def write_logins(path: Path, logins: Logins) -> None:
    """Store them, readable by nobody else at any moment; CommandError when that cannot be."""
    document = {"current": logins.current, "tokens": dict(logins.tokens)}
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # made with mode 0600, then put in place whole: a reader sees the old file or the new one
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".logins-", delete=False) as file:
            json.dump(document, file, indent=2)
        Path(file.name).replace(path)
    except OSError as error:
        raise CommandError(
            f"{path}: cannot be written ({error.strerror}); set XDG_CONFIG_HOME to another place"
        ) from None

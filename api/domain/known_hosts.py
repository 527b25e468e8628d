"""Known hosts of SSH, as OpenSSH writes them: whether the text is one, and whether it covers a host.

Pure. Asked when a key or a workspace is saved; what holds at the run is ssh's own reading of the same text.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterator

from common.errors import BadInputError

_MARKERS = frozenset({"@cert-authority", "@revoked"})


def check_known_hosts(text: str) -> str:
    """The text; BadInputError names the first line that is none: names, type, key."""
    for number, words in _lines(text):
        if len(words) < 3:
            raise BadInputError(
                "knownHosts", f"line {number} is not `names type key`, as ssh-keyscan and ~/.ssh/known_hosts have it"
            )
    return text


def covers(text: str, host: str, port: int) -> bool:
    """Whether some line has a key of this host."""
    name = host if port == 22 else f"[{host}]:{port}"
    return any(words[0] != "@revoked" and _matches(_names(words), name) for _, words in _lines(text))


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if words and not words[0].startswith("#"):
            yield number, words


def _names(words: list[str]) -> str:
    rest = words[1:] if words[0] in _MARKERS else words
    return rest[0] if rest else ""


def _matches(names: str, name: str) -> bool:
    if names.startswith("|1|"):
        return _hash_matches(names, name)
    patterns = [pattern.lower() for pattern in names.split(",")]
    if any(pattern.startswith("!") and _like(pattern[1:], name) for pattern in patterns):
        return False
    return any(_like(pattern, name) for pattern in patterns)


def _like(pattern: str, name: str) -> bool:
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, name) is not None


def _hash_matches(names: str, name: str) -> bool:
    try:
        salt, wanted = (base64.b64decode(part, validate=True) for part in names.split("|")[2:4])
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(hmac.new(salt, name.encode(), hashlib.sha1).digest(), wanted)

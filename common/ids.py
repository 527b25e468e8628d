"""Identifiers: a kind's prefix and 26 characters that sort by the time of creation.

Called wherever a row is about to be made: ids are chosen before the insert, so that a repeated request
is recognised. Lower case throughout, so that every id is also a valid Kubernetes name and label value.
"""

import re
import secrets
import time

# Crockford's alphabet in lower case: no i, l, o, u, so an id read aloud is not misheard.
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_ID = re.compile(r"[a-z]{2,4}-[0-9a-hjkmnp-tv-z]{26}")

#: kind of thing -> prefix; the ones that clients of HCP Terraform look at are HCP Terraform's own.
PREFIXES = {
    "organization": "org",
    "workspace": "ws",
    "variable": "var",
    "directory": "dir",
    "configuration_version": "cv",
    "template": "tpl",
    "run": "run",
    "step": "step",
    "state_version": "sv",
    "token": "at",
    "user": "user",
    "vcs": "vcs",
    "ssh": "ssh",
}


def new_id(kind: str) -> str:
    """A fresh id of a kind in PREFIXES, e.g. `run-01k9…`; unguessable (80 random bits), sortable by creation."""
    return format_id(PREFIXES[kind], time.time_ns() // 1_000_000, secrets.randbits(80))


def format_id(prefix: str, milliseconds: int, randomness: int) -> str:
    """The text of an id: 48 bits of time in milliseconds since 1970, then 80 random bits (the ULID layout)."""
    number = (milliseconds & (1 << 48) - 1) << 80 | randomness & (1 << 80) - 1
    digits = [_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5)]
    return f"{prefix}-{''.join(digits)}"


def is_id(text: str, kind: str | None = None) -> bool:
    """Whether a text has the form of an id (of that kind); says nothing about whether the thing exists."""
    return _ID.fullmatch(text) is not None and (kind is None or text.startswith(PREFIXES[kind] + "-"))


def attempt_name(step_id: str, attempt: int) -> str:
    """The one name of an attempt of a step, used for its Job and its directory; at most 63 characters."""
    return f"{step_id}-{attempt}"


def parse_attempt_name(name: str) -> tuple[str, int] | None:
    """Step id and attempt number out of an attempt's name, or None when it is not one of ours."""
    step_id, _, number = name.rpartition("-")
    if not is_id(step_id, "step") or not number.isdecimal():
        return None
    return step_id, int(number)

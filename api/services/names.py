"""Rules for texts that users choose: names, descriptions, versions. Pure; used by the services that save them."""

import re
import unicodedata

from common.errors import BadInputError

MAX_DESCRIPTION_CHARACTERS = 4000


def check_name(value: str, *, field: str = "name") -> str:
    """A name of 1 to 90 letters, digits, `-`, `_` and `.`, not only dots; answered in Unicode's composed form.

    It becomes part of URLs, annotations and directories, hence no slash, space or control character.
    """
    name = unicodedata.normalize("NFC", value)
    if not 1 <= len(name) <= 90:
        raise BadInputError(field, "must have 1 to 90 characters")
    bad = next((character for character in name if not (character.isalnum() or character in "-_.")), None)
    if bad is not None:
        raise BadInputError(field, f"holds {bad!r}; allowed are letters, digits, '-', '_' and '.'")
    if not name.strip("."):
        raise BadInputError(field, "must hold a letter or digit")
    return name


def check_description(value: str) -> str:
    """A description of at most 4,000 characters."""
    return check_length(value, "description", MAX_DESCRIPTION_CHARACTERS)


def check_length(value: str, field: str, limit: int) -> str:
    """A text of at most `limit` characters."""
    if len(value) > limit:
        raise BadInputError(field, f"has more than {limit} characters")
    return value


_FOLDER_PART = re.compile(r"[^\x00-\x1f\x7f\\]+")


def check_folder(value: str) -> str:
    """A relative folder without `..`; answered without leading or trailing slashes."""
    parts = [part for part in value.split("/") if part not in {"", "."}]
    if ".." in parts or any(not _FOLDER_PART.fullmatch(part) for part in parts):
        raise BadInputError("folder", "must be a path inside the configuration, without '..'")
    if len(value) > 1000:
        raise BadInputError("folder", "has more than 1000 characters")
    return "/".join(parts)

"""Reading typed fields out of decoded JSON, with errors that name the field.

Used by the wire formats of common (job data, reports, answers), which must work on the standard library
alone and must ignore fields they do not know: the other side may be newer.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from common.errors import BadInputError

T = TypeVar("T", str, int, bool, float)


def required(document: Mapping[str, Any], name: str, kind: type[T]) -> T:
    """The field's value, or BadInputError naming the field when it is missing or of another type."""
    if name not in document:
        raise BadInputError(name, "is missing")
    return _checked(document[name], name, kind)


def optional(document: Mapping[str, Any], name: str, default: T) -> T:
    """The field's value, or the default when it is missing or null; BadInputError for another type."""
    value = document.get(name)
    return default if value is None else _checked(value, name, type(default))


def optional_text(document: Mapping[str, Any], name: str) -> str | None:
    """The field's text, or None when it is missing or null."""
    value = document.get(name)
    return None if value is None else _checked(value, name, str)


def optional_number(document: Mapping[str, Any], name: str) -> int | None:
    """The field's whole number, or None when it is missing or null."""
    value = document.get(name)
    return None if value is None else _checked(value, name, int)


def text_list(document: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """The field's list of texts, empty when it is missing or null."""
    value = document.get(name)
    if value is None:
        return ()
    if not isinstance(value, list):
        raise BadInputError(name, f"must be a list of texts, not {type(value).__name__}")
    return tuple(_checked(item, f"{name}[{index}]", str) for index, item in enumerate(value))


def section(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The object under a field, empty when it is missing or null."""
    value = document.get(name)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise BadInputError(name, f"must be an object, not {type(value).__name__}")
    return value


def _checked(value: Any, name: str, kind: type[T]) -> T:
    # bool is a subclass of int in Python; on the wire a flag is not a number.
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return kind(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise BadInputError(name, f"must be {_NAMES[kind]}, not {type(value).__name__}")
    if kind is int and abs(value) > _LARGEST:
        raise BadInputError(name, f"must be a whole number between -{_LARGEST} and {_LARGEST}")
    return value


#: Beyond it not every reader of JSON gives back the number that was written.
_LARGEST = 2**53
_NAMES: Mapping[type, str] = {str: "text", int: "a whole number", bool: "true or false", float: "a number"}

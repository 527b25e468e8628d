"""Reads the API's settings: the environment wins over the settings file (appsettings.json), a file over the defaults.

Called once by `python -m api`. What a setting means stands in settings.py; here a bad one becomes one line.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from api.settings import Settings
from common.errors import BadInputError

#: Names of the command line and of executors, which the API's environment may hold too.
_OTHERS = frozenset(
    {
        "PODFORM_URL",
        "PODFORM_TOKEN",
        "PODFORM_ORGANIZATION",
        "PODFORM_API_WAIT_SECONDS",
        "PODFORM_PYTHON",
        "PODFORM_WORK_DIR",
        "PODFORM_INTERRUPT_GRACE_SECONDS",
    }
)
_OURS = ("PODFORM_", "Terraform__", "ExecutorEphemeral")


def read(environment: Mapping[str, str], overrides: Mapping[str, Any], file: Path | None) -> Settings:
    """The settings, or BadInputError whose one line names the setting, the value's problem and what is allowed."""
    known = {field.alias for field in Settings.model_fields.values() if field.alias}
    values = _from_file(file) if file else {}
    for name, value in environment.items():
        if _is_service_link(name, value):
            continue
        if name in known:
            values[name] = value
        elif name.startswith(_OURS) and name not in _OTHERS:
            raise BadInputError(name, "is no setting of Podform; see docs/reference/settings.md for their names")
    values.update(overrides)
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise _first_problem(error) from None  # the original would show values


#: What Kubernetes tells every container of a namespace about a Service called podform or podform-…
_SERVICE_LINK = re.compile(r"PODFORM_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)")


def _is_service_link(name: str, value: str) -> bool:
    return _SERVICE_LINK.fullmatch(name) is not None or (
        name.endswith("PORT") and value.startswith(("tcp://", "udp://"))
    )


def _from_file(path: Path) -> dict[str, Any]:
    """Names and values of an appsettings.json: comments allowed, nested objects joined by `__`."""
    try:
        document = json.loads(_without_comments(path.read_text(encoding="utf-8-sig")))
    except OSError as error:
        raise BadInputError("--settings", f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise BadInputError("--settings", f"{path} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise BadInputError("--settings", f"{path} must hold a JSON object")
    return _flat(document, "")


def _without_comments(text: str) -> str:
    """JSON with // and /* */ comments taken out; strings are left alone."""
    pattern = r'"(?:\\.|[^"\\])*"|//[^\n]*|/\*.*?\*/'
    return re.sub(pattern, lambda match: match[0] if match[0].startswith('"') else " ", text, flags=re.DOTALL)


def _flat(document: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in document.items():
        if isinstance(value, list):
            value = {str(index): item for index, item in enumerate(value)}  # noqa: PLW2901 - lists are read as indices
        if isinstance(value, dict):
            flat.update(_flat(value, f"{prefix}{name}__"))
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _first_problem(error: ValidationError) -> BadInputError:
    first = error.errors(include_input=True, include_url=False)[0]
    name = ".".join(str(part) for part in first["loc"]) or "settings"
    problem = first["msg"].removeprefix("Value error, ")
    field = next((field for field in Settings.model_fields.values() if field.alias == name), None)
    secret = field is None or "SecretStr" in str(field.annotation)
    if first["type"] == "extra_forbidden":
        return BadInputError(name, "is no setting of Podform; see docs/reference/settings.md for their names")
    return BadInputError(name, problem if secret else f"is {first['input']!r}: {problem}")

"""The executor's settings: read once from the environment at the start, then never again.

Called by the entry point. Every error names the setting, what is wrong with it and what is allowed; none
shows a value that could be secret.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from common import environment
from executor.errors import SettingsError

#: What must not stay readable in the process's first environment strings.
SECRET_NAMES = (environment.INTERNAL_SECRET, environment.JOB_DATA)

DEFAULT_DELIVERY_SECONDS = 86_400.0  # a day: longer than any outage worth waiting for; a Job's deadline bounds it
DEFAULT_INTERRUPT_GRACE_SECONDS = 600.0  # cloud calls in flight may take minutes; killing terraform loses them
DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of one executor; times in seconds."""

    job_data: str
    internal_secret: str = field(repr=False)
    work_directory: Path
    engine_cache: Path | None
    provider_cache: Path | None = None
    provider_mirrors: tuple[Path, ...] = ()
    provider_network_mirror: str = ""
    delivery_seconds: float
    interrupt_grace_seconds: float
    ca_file: Path | None
    path: str
    inherited: Mapping[str, str] = field(default_factory=dict)  # what its carrier gives to terraform
    online: bool  # EphemeralFlagBatch is not true


def read(environ: Mapping[str, str]) -> Settings:
    """The settings out of an environment; SettingsError when one is missing or malformed."""
    batch = environment.truth(environ.get(environment.FLAG_BATCH, ""))
    if batch is None:
        raise SettingsError(f"{environment.FLAG_BATCH}: must be true or false")
    online = not batch
    return Settings(
        job_data="" if online else _required(environ, environment.JOB_DATA),
        internal_secret="" if online else _secret(environ),
        work_directory=Path("/") if online else _work_directory(environ),
        engine_cache=_path(environ, environment.ENGINE_CACHE),
        provider_cache=_path(environ, environment.PROVIDER_CACHE),
        provider_mirrors=_paths(environ, environment.PROVIDER_MIRRORS),
        provider_network_mirror=environ.get(environment.PROVIDER_NETWORK_MIRROR, ""),
        delivery_seconds=_seconds(environ, environment.DELIVERY_SECONDS, DEFAULT_DELIVERY_SECONDS),
        interrupt_grace_seconds=_seconds(environ, environment.INTERRUPT_GRACE_SECONDS, DEFAULT_INTERRUPT_GRACE_SECONDS),
        ca_file=_path(environ, environment.CA_FILE),
        path=environ.get("PATH") or DEFAULT_PATH,
        inherited=_inherited(environ),
        online=online,
    )


#: What a shell or a container runtime sets about itself: says nothing to terraform.
_OWN = frozenset({"HOSTNAME", "PWD", "OLDPWD", "SHLVL", "_"})


def _inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that the carrier was given for terraform (EPHEMERAL_JOB_ENV_VARS, further secrets of
    ExecutorEphemeralSecret, what the image sets); reserved names and what is no name are not among them."""
    return {
        name: value
        for name, value in environ.items()
        if environment.is_name(name) and not environment.is_reserved(name) and name not in _OWN
    }


def _required(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name, "")
    if not value:
        raise SettingsError(f"{name}: is missing; the launcher of this executor sets it")
    return value


def _secret(environ: Mapping[str, str]) -> str:
    if environ.get(environment.INTERNAL_SECRET):
        return environ[environment.INTERNAL_SECRET]
    file = environ.get(environment.INTERNAL_SECRET_FILE, "")
    if not file:
        raise SettingsError(
            f"{environment.INTERNAL_SECRET}: is missing, and so is {environment.INTERNAL_SECRET_FILE}; one is needed"
        )
    try:
        secret = Path(file).read_text().strip()
    except (OSError, UnicodeError) as error:
        raise SettingsError(
            f"{environment.INTERNAL_SECRET_FILE}: {file} cannot be read ({type(error).__name__})"
        ) from error
    if not secret:
        raise SettingsError(f"{environment.INTERNAL_SECRET_FILE}: {file} is empty")
    return secret


def _work_directory(environ: Mapping[str, str]) -> Path:
    path = Path(_required(environ, environment.WORK_DIRECTORY))
    if not path.is_absolute():
        raise SettingsError(f"{environment.WORK_DIRECTORY}: is {str(path)!r}; it must be an absolute path")
    # one spelling for plan and apply, which must see the same absolute paths
    return Path(os.path.normpath(path))


def _path(environ: Mapping[str, str], name: str) -> Path | None:
    value = environ.get(name, "")
    if not value:
        return None
    if not value.startswith("/"):
        raise SettingsError(f"{name}: is {value!r}; it must be an absolute path")
    return Path(value)


def _paths(environ: Mapping[str, str], name: str) -> tuple[Path, ...]:
    paths = [text for text in environ.get(name, "").split(":") if text]
    for text in paths:
        if not text.startswith("/"):
            raise SettingsError(f"{name}: holds {text!r}; it must be a list of absolute paths separated by ':'")
    return tuple(Path(text) for text in paths)


def _seconds(environ: Mapping[str, str], name: str, default: float) -> float:
    text = environ.get(name, "")
    if not text:
        return default
    try:
        seconds = float(text)
    except ValueError as error:
        raise SettingsError(f"{name}: is {text!r}; it must be a number of seconds") from error
    if not 0 <= seconds < 1e9:  # also refuses nan
        raise SettingsError(f"{name}: is {text!r}; it must be between 0 and 1000000000 seconds")
    return seconds

"""Finds the terraform or tofu that satisfies a version or constraint, on PATH or in the engine cache.

Versions of programs on PATH are asked once and remembered by path, size and time of change, so that a warm
start spawns nothing. The cache is laid out as <cache>/<terraform|tofu>/<version>/<terraform|tofu>.
"""

import json
import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from common import versions
from common.errors import BadInputError
from common.failure_reasons import FailureReason
from common.versions import Constraint, parse_version
from executor import workdir
from executor.errors import StepFailedError

_ASK_SECONDS = 30
_REMEMBERED = "versions.json"


@dataclass(frozen=True, slots=True)
class Engine:
    """A program that was found."""

    name: str  # terraform or tofu
    version: str
    path: Path


def choose(found: Iterable[Engine], name: str, constraint: str) -> Engine:
    """The highest of these engines that satisfies the constraint; of equal ones the first.

    Raises StepFailedError that says what was found and what is wanted.
    """
    engines = list(found)
    wanted = _constraint(constraint)
    oldest = versions.oldest(name)
    fitting = [
        (version, engine)
        for engine in engines
        if (version := parse_version(engine.version)) and version.order >= oldest.order and wanted.allows(version)
    ]
    if fitting:
        return max(fitting, key=lambda pair: pair[0].order)[1]
    there = ", ".join(f"{engine.version} ({engine.path})" for engine in engines) or "none"
    asked = f"{name} {constraint}" if constraint.strip() else name
    raise StepFailedError(
        FailureReason.ENGINE_UNAVAILABLE,
        f"{asked} is wanted ({oldest} or newer); found on PATH and in the engine cache: {there}",
    )


def _constraint(text: str) -> Constraint:
    try:
        return Constraint(text)
    except BadInputError as error:
        raise StepFailedError(FailureReason.BAD_CONFIGURATION, str(error)) from error


def find(name: str, path: str, cache: Path | None, memory: Path) -> list[Engine]:
    """Every engine of this name: those on PATH first, then the cache's.

    `memory` is a directory for the remembered versions, used where the cache cannot be written.
    """
    return [*_on_path(name, path, [directory for directory in (cache, memory) if directory]), *in_cache(name, cache)]


def in_cache(name: str, cache: Path | None) -> Iterator[Engine]:
    """The cache's engines of this name."""
    directory = cache / name if cache else None
    if directory is None or not os.access(directory, os.R_OK | os.X_OK):
        return
    for entry in sorted(directory.iterdir()):
        program = entry / name
        if parse_version(entry.name) and os.access(program, os.X_OK):
            yield Engine(name, entry.name.removeprefix("v"), program)


def _on_path(name: str, path: str, memories: list[Path]) -> Iterator[Engine]:
    for directory in path.split(":"):
        program = Path(directory or ".") / name
        # access says no where is_file would raise: PATH may name places that this user cannot enter
        if program.is_absolute() and os.access(program, os.X_OK) and program.is_file():
            version = _version_of(program, memories)
            if version:
                yield Engine(name, version, program)


def _version_of(program: Path, memories: list[Path]) -> str:
    real = Path(os.path.realpath(program))
    found = real.stat()
    key = f"{program} {real} {found.st_size} {found.st_mtime_ns}"
    for memory in memories:
        if version := _remembered(memory / _REMEMBERED).get(key):
            return version
    version = _ask(program)
    if version:
        _remember(memories, key, version)
    return version


def _remembered(file: Path) -> Mapping[str, str]:
    try:
        document = json.loads(workdir.read_regular(file) or b"{}")
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _remember(memories: list[Path], key: str, version: str) -> None:
    for memory in memories:
        file = memory / _REMEMBERED
        fresh = memory / f"{_REMEMBERED}.{os.getpid()}"
        try:
            memory.mkdir(parents=True, exist_ok=True)
            workdir.write_private(fresh, json.dumps({**_remembered(file), key: version}).encode())
            fresh.replace(file)
        except OSError:
            continue  # a read-only cache: the next place
        return


def _ask(program: Path) -> str:
    """What `version` of the program says; empty when it does not run or says nothing readable."""
    environment = {"PATH": os.defpath, "CHECKPOINT_DISABLE": "1", "TF_CLI_CONFIG_FILE": os.devnull}
    try:
        answer = subprocess.run(
            [program, "version", "-json"],
            env=environment,
            capture_output=True,
            timeout=_ASK_SECONDS,
            check=False,
            close_fds=False,
        )
        document = json.loads(answer.stdout)
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return ""
    version = document.get("terraform_version") if isinstance(document, dict) else None
    return version if isinstance(version, str) else ""


_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


def platform() -> str:
    """This machine as the engines name it, e.g. linux_amd64."""
    system = os.uname()
    return f"{system.sysname.lower()}_{_MACHINES.get(system.machine, system.machine)}"

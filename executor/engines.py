"""Finds the terraform or tofu that satisfies a version or constraint, on PATH or in the engine cache.

Versions of programs on PATH are asked once and remembered by path, size and time of change, so that a warm
start spawns nothing. The cache is laid out as <cache>/<terraform|tofu>/<version>/<terraform|tofu>.
"""

import json
import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from common.failure_reasons import FailureReason
from executor import workdir
from executor.errors import StepFailedError

#: Older ones lack what plans and state shipping rest upon.
OLDEST = {"terraform": "1.1.0", "tofu": "1.6.0"}

_VERSION = re.compile(r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?")
_TERM = re.compile(r"\s*(=|!=|>=|<=|>|<|~>)?\s*(v?\d[0-9A-Za-z.+-]*)\s*")
_ASK_SECONDS = 30
_REMEMBERED = "versions.json"


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """A version, ordered as semantic versioning has it: a pre-release comes before its release."""

    numbers: tuple[int, int, int]
    released: bool = True
    pre: tuple[tuple[int, int, str], ...] = ()

    @property
    def base(self) -> "Version":
        """This version without its pre-release."""
        return Version(self.numbers)


@dataclass(frozen=True, slots=True)
class Engine:
    """A program that was found."""

    name: str  # terraform or tofu
    version: str
    path: Path


def parse_version(text: str) -> Version | None:
    """A version out of its text, None when it is none."""
    match = _VERSION.fullmatch(text.strip())
    if match is None:
        return None
    major, minor, patch, pre = match.groups()
    parts = tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in (pre.split(".") if pre else ()))
    return Version((int(major), int(minor or 0), int(patch or 0)), not parts, parts)


def satisfies(version: str, constraint: str) -> bool:
    """Whether a version fits a constraint such as `~> 1.9`, `>= 1.5, < 2` or `1.11.4`; empty fits all releases.

    Pre-releases fit only where a term names a pre-release of the same version.
    Raises StepFailedError for a constraint that cannot be read.
    """
    candidate = parse_version(version)
    if candidate is None:
        return False
    terms = list(_terms(constraint))
    if not candidate.released and not any(not term.released and term.base == candidate.base for _, term, _ in terms):
        return False
    return all(_fits(candidate, operator, term, segments) for operator, term, segments in terms)


def _terms(constraint: str) -> Iterator[tuple[str, Version, int]]:
    for part in constraint.split(",") if constraint.strip() else ():
        match = _TERM.fullmatch(part)
        version = parse_version(match[2]) if match else None
        if match is None or version is None:
            raise StepFailedError(
                FailureReason.BAD_CONFIGURATION,
                f"terraformVersion: {part.strip()!r} is no version constraint; allowed are =, !=, >, >=, <, <=, ~> and "
                "a version, separated by commas",
            )
        yield match[1] or "=", version, match[2].partition("-")[0].count(".") + 1


def _fits(candidate: Version, operator: str, term: Version, segments: int) -> bool:
    if operator == "~>":
        kept = max(segments - 1, 1)
        return candidate >= term and candidate.numbers[:kept] == term.numbers[:kept]
    return {
        "=": candidate == term,
        "!=": candidate != term,
        ">": candidate > term,
        ">=": candidate >= term,
        "<": candidate < term,
        "<=": candidate <= term,
    }[operator]


def choose(found: Iterable[Engine], name: str, constraint: str) -> Engine:
    """The highest of these engines that satisfies the constraint; of equal ones the first.

    Raises StepFailedError that says what was found and what is wanted.
    """
    engines = list(found)
    fitting = [engine for engine in engines if satisfies(engine.version, constraint) and _is_new_enough(engine)]
    if fitting:
        return max(fitting, key=lambda engine: parse_version(engine.version) or Version((0, 0, 0)))
    there = ", ".join(f"{engine.version} ({engine.path})" for engine in engines) or "none"
    wanted = f"{name} {constraint}" if constraint.strip() else name
    raise StepFailedError(
        FailureReason.ENGINE_UNAVAILABLE,
        f"{wanted} is wanted ({OLDEST[name]} or newer); found on PATH and in the engine cache: {there}",
    )


def _is_new_enough(engine: Engine) -> bool:
    version, oldest = parse_version(engine.version), parse_version(OLDEST[engine.name])
    return version is not None and oldest is not None and version >= oldest


def find(name: str, path: str, cache: Path | None, memory: Path) -> list[Engine]:
    """Every engine of this name: those on PATH first, then the cache's.

    `memory` is a directory for the remembered versions, used where the cache cannot be written.
    """
    return [*_on_path(name, path, [directory for directory in (cache, memory) if directory]), *_in_cache(name, cache)]


def _in_cache(name: str, cache: Path | None) -> Iterator[Engine]:
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

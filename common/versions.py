"""Engine versions and constraints as terraform's users write them: `1.11.4`, `~> 1.9`, `>= 1.5, < 2`.

Pure. Used when a workspace is saved (an engine that is too old is refused there) and by the executor, which
picks the newest engine that satisfies the constraint.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from common.errors import BadInputError

#: The oldest releases that steps are built for.
MINIMUM: Mapping[str, str] = {"terraform": "1.1.0", "tofu": "1.6.0"}

_VERSION = re.compile(r"(\d{1,9})(?:\.(\d{1,9}))?(?:\.(\d{1,9}))?(?:-([0-9A-Za-z.-]{1,64}))?")
_TERM = re.compile(r"(=|!=|>=|<=|>|<|~>)?\s*(\S+)")


@dataclass(frozen=True, slots=True)
class Version:
    """A version: three numbers, and a pre-release part that is empty for a release."""

    numbers: tuple[int, int, int]
    pre_release: str = ""

    def __str__(self) -> str:
        text = ".".join(str(number) for number in self.numbers)
        return f"{text}-{self.pre_release}" if self.pre_release else text

    @property
    def order(self) -> tuple[object, ...]:
        """Sorts as semantic versioning says: a pre-release comes before its release, numbers before words."""
        parts = [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in self.pre_release.split(".")]
        return (*self.numbers, 0 if self.pre_release else 1, *(parts if self.pre_release else []))


def parse_version(text: str) -> Version | None:
    """A version out of text such as `1.11.4` or `v1.9`, or None."""
    match = _VERSION.fullmatch(text.strip().removeprefix("v"))
    if match is None:
        return None
    major, minor, patch, pre_release = match.groups()
    return Version((int(major), int(minor or 0), int(patch or 0)), pre_release or "")


@dataclass(frozen=True, slots=True)
class _Term:
    operator: str
    version: Version
    depth: int  # how many numbers were written: `~> 1.9` and `~> 1.9.0` differ in it

    def allows(self, candidate: Version) -> bool:
        left, right = candidate.order, self.version.order
        if self.operator == "~>":
            upper = self.version.numbers[: max(self.depth - 1, 1)]
            return left >= right and candidate.numbers[: len(upper)] == upper
        return {
            "=": left == right,
            "!=": left != right,
            ">": left > right,
            ">=": left >= right,
            "<": left < right,
            "<=": left <= right,
        }[self.operator]


def oldest(engine: str) -> Version:
    """The oldest release of `terraform` or `tofu` that steps are built for."""
    version = parse_version(MINIMUM[engine])
    if version is None:  # pragma: no cover - the table above holds versions
        raise AssertionError(MINIMUM[engine])
    return version


class Constraint:
    """A constraint; the empty one allows every release, a pre-release only a term naming one of the same version."""

    def __init__(self, text: str) -> None:
        """Parse; BadInputError("terraformVersion", …) says what is wrong."""
        self.text = text.strip()
        wildcard = self.text.lower() in {"", "latest", "*"}
        self._terms = [] if wildcard else [_term(part) for part in self.text.split(",")]

    def allows(self, candidate: Version) -> bool:
        """Whether a version satisfies the constraint."""
        named = any(term.version.pre_release and term.version.numbers == candidate.numbers for term in self._terms)
        if candidate.pre_release and not named:
            return False
        return all(term.allows(candidate) for term in self._terms)

    def newest_wanted(self) -> Version | None:
        """The newest version that is named with `=`, `<`, `<=` or `~>`: an upper bound, or None."""
        bounds = [term for term in self._terms if term.operator in {"=", "<", "<=", "~>"}]
        tops = [_top(term) for term in bounds]
        return min(tops, key=lambda version: version.order, default=None)


def check_constraint(engine: str, text: str) -> None:
    """Refuse a constraint that is malformed or can only be met by engines that are too old."""
    top = Constraint(text).newest_wanted()
    if top and top.order < oldest(engine).order:
        raise BadInputError(
            "terraformVersion", f"is {text!r}; {engine} {MINIMUM[engine].removesuffix('.0')} or newer is needed"
        )


def _top(term: _Term) -> Version:
    if term.operator != "~>":
        return term.version
    fixed = term.version.numbers[: max(term.depth - 1, 1)]
    return Version((*fixed, *(10**9,) * (3 - len(fixed))))  # type: ignore[arg-type]  # three numbers by the arithmetic


def _term(text: str) -> _Term:
    text = text.strip()
    if re.fullmatch(r"\d+(\.\d+)?\.[xX*]", text):  # Terrakube's users also write 1.x and 1.9.x
        text = "~> " + re.sub(r"[xX*]$", "0", text)
    match = _TERM.fullmatch(text)
    version = parse_version(match[2]) if match else None
    if match is None or version is None:
        raise BadInputError(
            "terraformVersion", f"{text!r} is no version constraint; write e.g. '1.11.4', '~> 1.9' or '>= 1.5, < 2'"
        )
    return _Term(match[1] or "=", version, match[2].split("-")[0].count(".") + 1)

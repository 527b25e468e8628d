"""Command lines of terraform and tofu, and what their output says. Pure.

`OutputFacts` reads the output as it streams by and keeps only the summary line and the first error.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.step_report import ResourceCounts

_COMMON = ("-input=false", "-no-color")
#: The state file is this step's own: the workspace's lock is held by the platform.
_NO_LOCK = "-lock=false"

#: Exit codes of `plan -detailed-exitcode`.
PLAN_UNCHANGED = 0
PLAN_CHANGED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOptions:
    """What shapes a plan."""

    plan_file: Path
    variable_files: Sequence[Path] = ()
    destroy: bool = False
    refresh: bool = True
    refresh_only: bool = False
    targets: Sequence[str] = ()
    replacements: Sequence[str] = ()


def init(*, lock_file_is_fixed: bool = False) -> tuple[str, ...]:
    """Arguments of init; with a fixed lock file it may not change it."""
    return ("init", *_COMMON, *(("-lockfile=readonly",) if lock_file_is_fixed else ()))


def plan(options: PlanOptions) -> tuple[str, ...]:
    """Arguments of a plan saved to a file."""
    switches = [
        ("-destroy", options.destroy),
        ("-refresh=false", not options.refresh and not options.refresh_only),
        ("-refresh-only", options.refresh_only),
    ]
    return (
        "plan",
        *_COMMON,
        _NO_LOCK,
        "-detailed-exitcode",
        f"-out={options.plan_file}",
        *(switch for switch, wanted in switches if wanted),
        *_addresses(options.targets, options.replacements),
        *_variable_files(options.variable_files),
    )


def show_json(plan_file: Path) -> tuple[str, ...]:
    """Arguments that print a saved plan as JSON."""
    return ("show", "-json", "-no-color", str(plan_file))


def apply(plan_file: Path) -> tuple[str, ...]:
    """Arguments that apply a saved plan; it holds its variables and targets itself."""
    return ("apply", *_COMMON, _NO_LOCK, str(plan_file))


def destroy(*, variable_files: Sequence[Path], targets: Sequence[str], refresh: bool) -> tuple[str, ...]:
    """Arguments that destroy without a saved plan."""
    return (
        "destroy",
        "-auto-approve",
        *_COMMON,
        _NO_LOCK,
        *(() if refresh else ("-refresh=false",)),
        *_addresses(targets, ()),
        *_variable_files(variable_files),
    )


def _addresses(targets: Sequence[str], replacements: Sequence[str]) -> list[str]:
    return [f"-target={address}" for address in targets] + [f"-replace={address}" for address in replacements]


def _variable_files(files: Sequence[Path]) -> list[str]:
    return [f"-var-file={file}" for file in files]


_SUMMARY = re.compile(r"(?:Plan:|(?:Apply|Destroy) complete! Resources:) (.*)\.")
_COUNT = re.compile(r"(\d+) (?:to )?(import|add|change|destroy)")


def parse_summary(line: str) -> ResourceCounts | None:
    """The counts in a summary line ("Plan: 1 to add, …", "Apply complete! Resources: …"), None for other lines."""
    summary = _SUMMARY.match(line)
    if summary is None:
        return None
    counts = {word: int(number) for number, word in _COUNT.findall(summary[1])}
    return ResourceCounts(
        add=counts.get("add", 0),
        change=counts.get("change", 0),
        destroy=counts.get("destroy", 0),
        imported=counts.get("import", 0),
    )


_LONGEST_LINE = 4096
_ERROR_LINES = 4
#: Says only that other errors follow or came before.
_EMPTY_ERROR = "Terraform encountered problems during initiali"
_EMPTY_ERROR_TOFU = "OpenTofu encountered problems during initiali"


class OutputFacts:
    """The summary and the first error in an output that streams by, in bounded memory."""

    def __init__(self) -> None:
        self.counts: ResourceCounts | None = None
        self._partial = b""
        self._error: list[str] = []
        self._in_error = False

    def feed(self, data: bytes) -> None:
        """Take the next bytes, already redacted."""
        *lines, rest = (self._partial + data).split(b"\n")
        self._partial = rest[:_LONGEST_LINE]
        for line in lines:
            self._line(line[:_LONGEST_LINE].decode("utf-8", "replace").lstrip("│╷╵ ").rstrip())

    @property
    def error(self) -> str:
        """One sentence with the first error and its place; empty when there was none."""
        self.feed(b"\n")
        if not self._error:
            return ""
        head = self._error[0].removeprefix("Error: ")
        place = next((line for line in self._error[1:] if line.startswith(("on ", "with "))), "")
        return f"{head} ({place.rstrip(':')})" if place else head

    def _line(self, line: str) -> None:
        self.counts = parse_summary(line) or self.counts
        if line.startswith("Error: ") and not self._error:
            if line[len("Error: ") :].startswith((_EMPTY_ERROR, _EMPTY_ERROR_TOFU)):
                return
            self._error, self._in_error = [line], True
        elif self._in_error and line:
            if line.startswith(("Error: ", "Warning: ")) or len(self._error) > _ERROR_LINES:
                self._in_error = False
            else:
                self._error.append(line)

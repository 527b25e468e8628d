"""A live board of the runs that have not ended: where each stands, what it waits for, how old it is.

Called by `podform run watch`. On a terminal the board is redrawn in place; in a pipe each move of a run is a line.
"""

import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from cli.api_client import ApiClient
from cli.console import write_out
from cli.documents import Job
from cli.interrupts import Interrupts
from cli.show import table
from common.statuses import FINAL_RUN_STATUSES

_EVERY_SECONDS = 1.0
#: The newest runs that are looked at; whoever has more under way narrows it by a workspace.
_NEWEST = 100
#: Of those, how many are asked about each second; the others show what the list says.
_IN_DETAIL = 20
_COLUMNS = ("run", "workspace", "status", "step", "place", "age", "waiting for")
_FINAL_WORDS = frozenset(status.value for status in FINAL_RUN_STATUSES)


def watch(api: ApiClient, organization: str, workspace: str, interrupts: Interrupts) -> None:
    """Show the runs until Ctrl-C (InterruptedByUserError); in a pipe until none is under way."""
    show: Callable[[Sequence[Mapping[str, str]]], None] = _Board() if sys.stdout.isatty() else _Lines()
    names: dict[str, str] = {}
    while True:
        with interrupts.allowed():
            rows = _rows(api, organization, workspace, names)
        show(rows)
        if not rows and not sys.stdout.isatty():
            return
        with interrupts.allowed():
            time.sleep(_EVERY_SECONDS)


def row(job: Job, workspace: str, age_seconds: float) -> dict[str, str]:
    """What the board says of a run."""
    step = next((each for each in job.steps if not each.has_ended), None)
    return {
        "run": job.number,
        "workspace": workspace,
        "status": job.run_status.value,
        "step": f"{step.number} {step.name}" if step else "",
        "place": str(job.queue_position or ""),
        "age": age(age_seconds),
        "waiting for": job.waiting_for,
    }


def age(seconds: float) -> str:
    """How long ago, in the two largest units."""
    whole = max(int(seconds), 0)
    for size, unit, smaller_size, smaller in ((86_400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            return f"{whole // size}{unit}{whole % size // smaller_size:02}{smaller}"
    return f"{whole}s"


def _rows(api: ApiClient, organization: str, workspace: str, names: dict[str, str]) -> list[dict[str, str]]:
    filters = {"job": f"workspace.id=={workspace}"} if workspace else {}
    now = datetime.now(UTC)
    listed = [each for each in api.newest(organization, "job", _NEWEST, **filters) if _is_under_way(each)]
    rows = []
    for each in reversed(listed[-_IN_DETAIL:]):  # the oldest are the ones that move
        job = api.job(organization, str(each["id"]))
        if job.workspace_id not in names:
            names[job.workspace_id] = str(api.resource(organization, "workspace", job.workspace_id)["name"])
        created = datetime.fromisoformat(str(each["createdDate"]))
        rows.append(row(job, names[job.workspace_id], (now - created).total_seconds()))
    others = reversed(listed[:-_IN_DETAIL])
    return rows + [{"run": str(each["id"]), "status": str(each["runStatus"])} for each in others]


def _is_under_way(listed: Mapping[str, Any]) -> bool:
    return listed["runStatus"] not in _FINAL_WORDS


class _Board:
    """The rows drawn over the ones before."""

    def __init__(self) -> None:
        self._drawn = 0

    def __call__(self, rows: Sequence[Mapping[str, str]]) -> None:
        size = shutil.get_terminal_size()
        lines = table(rows, _COLUMNS, size.columns) if rows else ["no run is under way"]
        if len(lines) >= size.lines:  # more would scroll away, and then nothing could be drawn over it
            lines = [*lines[: size.lines - 2], f"… and {len(lines) - size.lines + 2} more"]
        back = f"\x1b[{self._drawn}A\r\x1b[J" if self._drawn else ""
        write_out((back + "".join(f"{line}\n" for line in lines)).encode())
        self._drawn = len(lines)


class _Lines:
    """A line for each run whose row is another one than before, its age aside; and one for its end."""

    def __init__(self) -> None:
        self._said: dict[str, str] = {}

    def __call__(self, rows: Sequence[Mapping[str, str]]) -> None:
        now = {each["run"]: "\t".join(each.get(name, "") for name in _COLUMNS if name != "age") for each in rows}
        lines = [line for run, line in now.items() if self._said.get(run) != line]
        lines += [f"{run}\t\tended" for run in self._said if run not in now]
        self._said = now
        write_out("".join(f"{line}\n" for line in lines).encode())

"""`python -m bench`: measures the figures that the project holds itself to, and prints one table.

Run by scripts/bench. Nothing here is a test: a missed bar is a line in the table.
"""

import argparse
import contextlib
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from bench.figure_adopt import Adoption
from bench.figure_api import ApiStart
from bench.figure_decision import SchedulingDecision
from bench.figure_executor import ExecutorStart
from bench.figure_http import HttpRates, ListCost
from bench.figure_ingest import LogIngest
from bench.figure_job import JobCreate
from bench.figure_log import LogFollowing
from bench.figure_queue import QueuedRuns
from bench.figure_resources import ManyResources
from bench.figure_run import RunBesideBareTerraform
from bench.stage import Figure
from bench.table import Row, render

FIGURES: Mapping[str, Callable[[], Figure]] = {
    figure.name: figure
    for figure in (RunBesideBareTerraform, ExecutorStart, ApiStart, JobCreate, LogFollowing, HttpRates)
}
#: Minutes each: measured with --all or by their names, fewer rounds, one figure after the other.
HEAVY: Mapping[str, Callable[[], Figure]] = {
    figure.name: figure for figure in (LogIngest, ListCost, SchedulingDecision, Adoption, QueuedRuns, ManyResources)
}
DEFAULT_ROUNDS = 7
DEFAULT_HEAVY_ROUNDS = 1


def main() -> int:
    """Exit code 0 once everything was measured."""
    arguments = _arguments()
    names = arguments.only or [*FIGURES, *(HEAVY if arguments.all else ())]
    print(_machine(), flush=True)
    rows = _measured([FIGURES[name] for name in names if name in FIGURES], arguments.rounds or DEFAULT_ROUNDS)
    for name in names:
        if name in HEAVY:  # alone: each of them keeps the whole machine busy
            rows += _measured([HEAVY[name]], arguments.rounds or DEFAULT_HEAVY_ROUNDS)
    print(render(rows))
    print(f"load average at the end: {_load()}")
    return 0


def _measured(makers: Sequence[Callable[[], Figure]], rounds: int) -> list[Row]:
    with contextlib.ExitStack() as stack:
        figures = [stack.enter_context(make()) for make in makers]
        for number in range(rounds if figures else 0):
            names = ", ".join(figure.name for figure in figures)
            print(f"bench: round {number + 1} of {rounds}: {names}", file=sys.stderr, flush=True)
            for figure in figures:  # interleaved: what disturbs the machine meets all figures alike
                figure.round()
        return [row for figure in figures for row in figure.rows()]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measure Podform beside bare terraform")
    rounds = f"how often to measure (default {DEFAULT_ROUNDS}; {DEFAULT_HEAVY_ROUNDS} for the heavy figures)"
    parser.add_argument("--rounds", type=_rounds, help=rounds)
    parser.add_argument("--all", action="store_true", help=f"the heavy figures too: {', '.join(HEAVY)}")
    parser.add_argument("--only", choices=[*FIGURES, *HEAVY], action="append", help="measure this alone; repeatable")
    return parser.parse_args()


def _rounds(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of rounds; allowed: 1 or more")
    return int(text)


def _machine() -> str:
    terraform = subprocess.run(["terraform", "version"], capture_output=True, text=True, check=True).stdout
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, {terraform.splitlines()[0]}\n"
        f"load average at the start: {_load()}"
    )


def _load() -> str:
    return " ".join(f"{value:.2f}" for value in os.getloadavg())


if __name__ == "__main__":
    sys.exit(main())

"""The benchmark's command still measures; what it measures is no test's business."""

import subprocess
import sys
from pathlib import Path

from bench.figure_queue import QueuedRuns

ROOT = Path(__file__).parent.parent.parent


def test_one_round_prints_a_table() -> None:
    """One round of the cheapest figures ends with a row for each of them."""
    command = [sys.executable, "-m", "bench", "--rounds", "1", "--only", "api"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)

    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("| API: ")]
    assert len(rows) == 3


def test_a_wrong_number_of_rounds_is_refused() -> None:
    """The error names the option, the value and what is allowed."""
    command = [sys.executable, "-m", "bench", "--rounds", "0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 2
    assert "--rounds: '0' is no number of rounds; allowed: 1 or more" in done.stderr


def test_queued_runs_are_carried_out_by_the_load_cluster() -> None:
    """Rows that were put in past the API become Jobs, and the stand-in's executors carry all of them out, once each."""
    figure = QueuedRuns(runs=12, workspaces=4)
    figure.round()

    rate, memory, reads = figure.rows()
    assert "24 of 24 Jobs" in rate.note
    assert "0 created twice" in rate.note
    assert min(rate.value, memory.value, reads.value) > 0

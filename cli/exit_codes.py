"""What `podform` says by its exit code; the table in docs/reference/cli.md is held to this module by a test.

Read by every command. Pure: a run's status in, a number out.
"""

from collections.abc import Mapping
from enum import IntEnum

from common.statuses import RunStatus


class ExitCode(IntEnum):
    """Exit code of a command; the comment beside each is its meaning for scripts."""

    OK = 0  # applied, planned, or nothing to change
    RUN_ERRORED = 1  # the run ended errored
    USAGE = 2  # wrong usage, or a value that the API refused
    DISCARDED = 3  # the plan was discarded
    CANCELED = 4  # the run was canceled
    NEEDS_APPROVAL = 5  # the plan waits for an approval and there is no terminal to ask on
    UNREACHABLE = 6  # the API cannot be reached, or answered with an error of its own
    REFUSED = 7  # no such thing, no permission, or not possible in its present state
    UNHEALTHY = 8  # doctor found a part that does not work
    LEFT = 130  # left before the end: second Ctrl-C, or the reader of the output went away


_BY_RUN_STATUS: Mapping[RunStatus, ExitCode] = {
    RunStatus.APPLIED: ExitCode.OK,
    RunStatus.PLANNED_AND_FINISHED: ExitCode.OK,
    RunStatus.ERRORED: ExitCode.RUN_ERRORED,
    RunStatus.DISCARDED: ExitCode.DISCARDED,
    RunStatus.CANCELED: ExitCode.CANCELED,
    RunStatus.FORCE_CANCELED: ExitCode.CANCELED,
}


def for_run(status: RunStatus) -> ExitCode:
    """The exit code for a run that has ended with this status; NEEDS_APPROVAL while it has not ended."""
    return _BY_RUN_STATUS.get(status, ExitCode.NEEDS_APPROVAL)

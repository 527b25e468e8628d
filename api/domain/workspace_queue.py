"""Which waiting runs of a workspace may start now, and why the others wait.

Pure; asked by services/start_next_step for one workspace at a time, so that a blocked workspace never
delays another. One run at a time takes a workspace, in the order of their numbers; plan-only runs do not.
"""

from collections.abc import Sequence

from api.domain.entities import Run, Workspace
from common.statuses import RunStatus


def startable(workspace: Workspace, waiting: Sequence[Run]) -> tuple[Run, ...]:
    """The runs among `waiting` (all pending ones of the workspace) that may start now, in order."""
    pending = sorted((run for run in waiting if run.status is RunStatus.PENDING), key=lambda run: run.number)
    plan_only = tuple(run for run in pending if run.plan_only)
    taking = [run for run in pending if not run.plan_only]
    if workspace.locked or workspace.taken_by or not taking:
        return plan_only
    return tuple(sorted((*plan_only, taking[0]), key=lambda run: run.number))


def waiting_for(workspace: Workspace, run: Run, earlier: Sequence[Run]) -> str:
    """Why a pending run waits, as a sentence for people; empty when it does not.

    `earlier` holds the workspace's unfinished runs with smaller numbers.
    """
    if run.status is not RunStatus.PENDING or run.plan_only:
        return ""
    if workspace.locked:
        by = f" by {workspace.locked_by}" if workspace.locked_by else ""
        return f"the workspace is locked{by}: {workspace.lock_reason}".rstrip(": ")
    ahead = sorted(other.number for other in earlier if not other.plan_only)
    return f"waiting for run {ahead[0]}" if ahead else ""

"""Writes the workspace's current state to where the local backend will find it."""

from executor.step import Step
from executor.workdir import write_private


def write_state(step: Step) -> None:
    """Fetch the state, if there is one, into the state file."""
    data = step.ask(step.api.state)
    if data is not None:
        write_private(step.work.state_file, data)

"""What the executor's exit code means to whoever reads its Job or process.

Shown to people only: what became of a step is what the finish report says, never this number.
"""

from enum import IntEnum

from common.step_report import Outcome


class ExitCode(IntEnum):
    """Exit codes of the executor; the API never decides by them."""

    FINISHED = 0
    ERRORED = 1  # the step ended errored, and that was reported
    CANCELED = 3  # the step was canceled, and that was reported; or SIGTERM came before the claim
    BAD_SETTINGS = 10  # a setting in the environment is missing or malformed
    BAD_JOB_DATA = 11  # EphemeralJobData cannot be read
    ONLINE_UNSUPPORTED = 12  # EphemeralFlagBatch is not true: this executor carries out one step only
    CLAIM_REFUSED = 20  # the API refused the claim: nothing was touched
    SUPERSEDED = 21  # the API took the step away while it ran; nothing more was reported
    NEVER_CLAIMED = 30  # the API could not be reached for the claim: nothing was touched
    UNDELIVERED = 31  # the step ended, its report or state could not be delivered in time
    FAILED = 70  # the executor itself is broken; its output says how


_BY_OUTCOME = {
    Outcome.FINISHED: ExitCode.FINISHED,
    Outcome.ERRORED: ExitCode.ERRORED,
    Outcome.CANCELED: ExitCode.CANCELED,
}

#: The step's report was delivered.
REPORTED = frozenset(_BY_OUTCOME.values())


def of_outcome(outcome: Outcome) -> ExitCode:
    """The exit code of a step whose report was delivered."""
    return _BY_OUTCOME[outcome]

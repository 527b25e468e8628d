"""Following a run: its steps' logs as they are written, until it ends or waits for an approval.

Called by run.py and the `logs` command. What comes next is decided by `next_move`, a pure function; the
Follower only carries it out and remembers, per step, how many bytes it has written.
"""

import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from cli.api_client import ApiClient
from cli.documents import Job, Step
from cli.interrupts import Interrupts
from common.statuses import TerrakubeStatus

#: How long the API may hold an answer while a step writes nothing; below its limit of 30.
_LOG_WAIT_SECONDS = 20
#: The same before a step has begun: the run is looked at again in between, for what it waits for.
_START_WAIT_SECONDS = 2
#: Between two looks at a run that has no log to wait on.
_PAUSE_SECONDS = 0.3
_FOR_APPROVAL = "waiting for an approval"


@dataclass(frozen=True, slots=True)
class StreamLog:
    """Write on with the log of this step."""

    step: Step


@dataclass(frozen=True, slots=True)
class NeedsApproval:
    """The run waits for a person."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing to write yet: look again soon."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The run has ended and every log is written."""


Move = StreamLog | NeedsApproval | Pause | Ended


def next_move(job: Job, written: AbstractSet[str]) -> Move:
    """What to do next about a run of which the logs of the steps `written` (ids) are complete."""
    for step in job.steps:
        if step.id in written or step.status == TerrakubeStatus.NOT_EXECUTED:
            continue
        if not step.is_approval:
            if step.status == TerrakubeStatus.PENDING and job.has_ended:
                continue  # it never began and never will
            return StreamLog(step)
        if step.status == TerrakubeStatus.WAITING_APPROVAL:
            return NeedsApproval()
        if not step.has_ended:
            return Ended() if job.has_ended else Pause()
    return Ended() if job.has_ended else Pause()


class Follower:
    """Writes the logs of one run. Interrupted at any point, it goes on where it was."""

    def __init__(
        self,
        api: ApiClient,
        organization: str,
        interrupts: Interrupts,
        *,
        write: Callable[[bytes], None],
        say: Callable[[str], None],
    ) -> None:
        self._api = api
        self._organization = organization
        self._interrupts = interrupts
        self._write = write
        self._say = say
        self._written: set[str] = set()
        self._offsets: dict[str, int] = {}
        self._waiting_for = ""

    def follow(self, job: Job, *, past_approval: bool = False) -> Job:
        """Write logs until the run has ended, or waits for an approval (unless `past_approval`); the run then.

        Raises InterruptedByUserError at the first Ctrl-C and CommandError when the API stays away.
        """
        while True:
            move = next_move(job, self._written)
            self._tell(job, _FOR_APPROVAL if isinstance(move, NeedsApproval) else job.waiting_for)
            if isinstance(move, Ended) or (isinstance(move, NeedsApproval) and not past_approval):
                return job
            if isinstance(move, StreamLog):
                self._stream(job, move.step)
            else:
                with self._interrupts.allowed():
                    time.sleep(_PAUSE_SECONDS)
            with self._interrupts.allowed():
                job = self._api.job(self._organization, job.number)

    def write_what_there_is(self, job: Job) -> None:
        """Write the logs as far as they go now, without waiting."""
        for step in job.steps:
            while not step.is_approval and step.status != TerrakubeStatus.NOT_EXECUTED:
                grown, at_end = self._write_part(job, step, wait_seconds=0)
                if at_end or not grown:
                    break

    def _stream(self, job: Job, step: Step) -> None:
        """Write a step's log while there is some; return when it is complete or nothing came for a while."""
        wait_seconds = _LOG_WAIT_SECONDS if step.status == TerrakubeStatus.RUNNING else _START_WAIT_SECONDS
        if step.has_ended:
            wait_seconds = 0
        while True:
            grown, at_end = self._write_part(job, step, wait_seconds)
            if at_end or (step.has_ended and not grown):
                self._written.add(step.id)
                return
            if not grown:
                return
            wait_seconds = _LOG_WAIT_SECONDS  # it has begun

    def _write_part(self, job: Job, step: Step, wait_seconds: int) -> tuple[bool, bool]:
        """Write the next bytes of a step's log: whether there were any, and whether the log is complete."""
        offset = self._offsets.get(step.id, 0)
        with self._interrupts.allowed():
            part = self._api.log(self._organization, job.number, step.id, offset=offset, wait_seconds=wait_seconds)
        if part.data:
            if offset == 0:
                self._say(f"log of step {step.number}, {step.name}:")
            self._write(part.data)
        self._offsets[step.id] = part.following
        return bool(part.data), part.at_end

    def _tell(self, job: Job, waiting_for: str) -> None:
        """Say what the run waits for, once."""
        if waiting_for and waiting_for != self._waiting_for:
            self._say(f"run {job.number}: {waiting_for}")
        self._waiting_for = waiting_for

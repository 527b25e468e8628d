"""The event rows of a transition: what changed between two records of one run.

Pure; called by the one service function that saves a record, so that no transition is without its event.
"""

from datetime import datetime

from api.domain.entities import Event, RunRecord, Step


def between(old: RunRecord | None, new: RunRecord, now: datetime) -> tuple[Event, ...]:
    """One event for the run's and for each step's change of status; `old` is None for a new run."""
    before = {step.id: step for step in old.steps} if old else {}
    events = [_step_event(new, step, now) for step in new.steps if _moved(before.get(step.id), step)]
    if old is None or old.run.status is not new.run.status:
        data = {"reason": new.run.failure_reason.value} if new.run.failure_reason else {}
        events.append(Event(run_id=new.run.id, kind=f"run.{new.run.status}", data=data, at=now))
    if old is not None and old.run.cancel is not new.run.cancel and new.run.cancel is not None:
        events.append(Event(run_id=new.run.id, kind=f"run.cancel_requested.{new.run.cancel}", at=now))
    return tuple(events)


def _moved(old: Step | None, new: Step) -> bool:
    return old is None or old.status is not new.status or old.attempt != new.attempt


def _step_event(record: RunRecord, step: Step, now: datetime) -> Event:
    data = {"attempt": str(step.attempt)}
    if step.failure_reason:
        data["reason"] = step.failure_reason.value
    return Event(run_id=record.run.id, step_id=step.id, kind=f"step.{step.status}", data=data, at=now)

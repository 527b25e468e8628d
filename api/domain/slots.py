"""How many runs may be carried out at once, and whose turn it is.

Pure; asked by the scheduler for the order of workspaces, by services/start_next_step inside the transaction that
begins, and by services/read_runs for the reason. A run has a slot while a step of it is launching or running: one
that waits for an approval has none, a plan-only run counts like any other.
"""

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Slots:
    """The limits (0 = none) and the runs under way by organization."""

    overall: int = 0
    per_organization: int = 0
    under_way: Mapping[str, int]

    def free(self, organization_id: str) -> int | None:
        """How many runs of the organization may begin now; None = as many as there are."""
        free = []
        if self.overall:
            free.append(self.overall - sum(self.under_way.values()))
        if self.per_organization:
            free.append(self.per_organization - self.under_way.get(organization_id, 0))
        return max(min(free), 0) if free else None


def waiting_for(slots: Slots, organization_id: str) -> str:
    """Why a run that nothing else holds up does not begin, as a sentence for people; empty when a slot is free."""
    if slots.free(organization_id) != 0:
        return ""
    own, overall = slots.under_way.get(organization_id, 0), sum(slots.under_way.values())
    if slots.overall and overall >= slots.overall:
        return f"waiting for a free slot: {overall} of {slots.overall} runs are under way"
    return f"waiting for a free slot: {own} of {slots.per_organization} runs of this organization are under way"


def in_turn(slots: Slots, waiting: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """The workspaces among `waiting` (organization and workspace) that may begin a run now, whose turn it is first.

    Organizations take turns, those with the fewest runs under way in front; each keeps the order of its own.
    """
    queues: dict[str, deque[str]] = defaultdict(deque)
    for organization_id, workspace_id in waiting:
        queues[organization_id].append(workspace_id)
    used = {owner: slots.under_way.get(owner, 0) for owner in queues}
    left = {owner: slots.free(owner) for owner in queues}
    room = max(slots.overall - sum(slots.under_way.values()), 0) if slots.overall else len(waiting)
    chosen: list[str] = []
    while len(chosen) < room:
        able = [owner for owner, queue in queues.items() if queue and left[owner] != 0]
        if not able:
            break
        least = min(used[owner] for owner in able)
        for owner in [owner for owner in able if used[owner] == least][: room - len(chosen)]:
            chosen.append(queues[owner].popleft())
            used[owner] += 1
            if (still := left[owner]) is not None:
                left[owner] = still - 1
    return tuple(chosen)

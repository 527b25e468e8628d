"""How many runs may be carried out at once, and whose turn it is.

Pure; asked by the scheduler for the order of workspaces, by services/start_next_step inside the transaction that
begins, and by services/read_runs for the reason. A run has a slot while a step of it is launching or running: one
that waits for an approval has none, a plan-only run counts like any other.
"""

import heapq
import math
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace


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


def in_turn(slots: Slots, waiting: Mapping[str, Iterable[str]], at_most: int) -> tuple[tuple[str, str], ...]:
    """The next workspaces (organization and workspace) that may begin a run now, whose turn it is first.

    Organizations take turns, those with the fewest runs under way in front; each keeps the order of its own.
    """
    in_all = sum(slots.under_way.values())
    room = min(at_most, max(slots.overall - in_all, 0)) if slots.overall else at_most
    ceiling = slots.per_organization or math.inf
    heap = [(slots.under_way.get(owner, 0), place, owner) for place, owner in enumerate(waiting)]
    heapq.heapify(heap)
    queues = {owner: iter(queue) for owner, queue in waiting.items()}
    chosen: list[tuple[str, str]] = []
    while heap and len(chosen) < room:
        used, place, owner = heap[0]
        workspace_id = next(queues[owner], None) if used < ceiling else None
        if workspace_id is None:
            heapq.heappop(heap)
            continue
        chosen.append((owner, workspace_id))
        heapq.heapreplace(heap, (used + 1, place, owner))
    return tuple(chosen)


class Turns:
    """The workspaces to look at, by organization, each in the order in which they came. Only a hint, kept in memory:
    after a start and from time to time it is filled from the database."""

    def __init__(self) -> None:
        self._queues: dict[str, OrderedDict[str, None]] = {}

    def __len__(self) -> int:
        return sum(len(queue) for queue in self._queues.values())

    def add(self, organization_id: str, workspace_id: str, *, first: bool = False) -> None:
        """Have it looked at; one that waits already keeps its place."""
        queue = self._queues.setdefault(organization_id, OrderedDict())
        new = workspace_id not in queue
        queue.setdefault(workspace_id)
        if new and first:
            queue.move_to_end(workspace_id, last=False)

    def take(self, slots: Slots, at_most: int) -> tuple[tuple[str, str], ...]:
        """The next ones whose turn it is; they wait no longer. An organization that was served goes behind the rest."""
        chosen = in_turn(slots, self._queues, at_most)
        for organization_id, workspace_id in chosen:
            queue = self._queues.pop(organization_id)
            del queue[workspace_id]
            if queue:
                self._queues[organization_id] = queue
        return chosen

    def position(self, slots: Slots, organization_id: str, workspace_id: str) -> int | None:
        """At which place from 1 its turn comes if no other comes in between; None when it does not wait here."""
        if workspace_id not in self._queues.get(organization_id, ()):
            return None
        order = in_turn(replace(slots, overall=0, per_organization=0), self._queues, len(self))
        return order.index((organization_id, workspace_id)) + 1

"""How many runs may be carried out at once, and whose turn it is.

Pure; asked by the scheduler for the order of workspaces, by services/start_next_step inside the transaction that
begins, and by services/read_runs for the reason. A run has a slot while a step of it is launching or running: one
that waits for an approval has none, a plan-only run counts like any other.
"""

import heapq
import math
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Slots:
    """The limits (0 = none) and the runs under way by organization."""

    overall: int = 0
    per_organization: int = 0
    under_way: Mapping[str, int]
    pools: Mapping[str, int] = field(default_factory=dict)  # limits by name; any other pool has none
    in_pools: Mapping[str, int] = field(default_factory=dict)  # runs under way by pool

    def free(self, organization_id: str) -> int | None:
        """How many runs of the organization may begin now; None = as many as there are."""
        free = []
        if self.overall:
            free.append(self.overall - sum(self.under_way.values()))
        if self.per_organization:
            free.append(self.per_organization - self.under_way.get(organization_id, 0))
        return max(min(free), 0) if free else None

    def free_in(self, pool: str) -> int | None:
        """How many runs of the pool may begin now; None = as many as there are."""
        limit = self.pools.get(pool)
        return None if limit is None else max(limit - self.in_pools.get(pool, 0), 0)

    def room(self, organization_id: str, pool: str) -> int | None:
        """How many runs of the organization's workspaces of this pool may begin now; None = as many as there are."""
        free = [number for number in (self.free(organization_id), self.free_in(pool)) if number is not None]
        return min(free) if free else None


_POOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


def is_pool_name(text: str) -> bool:
    """Whether a pool may be called so."""
    return _POOL.fullmatch(text) is not None


def pool_limits(text: str) -> dict[str, int]:
    """The limits out of `small=2,big=10`; ValueError says what is wrong and what is allowed."""
    limits: dict[str, int] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, number = (piece.strip() for piece in part.partition("="))
        if not is_pool_name(name) or not (number.isascii() and number.isdecimal() and int(number) > 0):
            raise ValueError(f"{part!r} is no NAME=NUMBER with a number from 1 on, as in small=2,big=10")
        if name in limits:
            raise ValueError(f"the pool {name!r} is there twice")
        limits[name] = int(number)
    return limits


def waiting_for(slots: Slots, organization_id: str, pool: str = "") -> str:
    """Why a run that nothing else holds up does not begin, as a sentence for people; empty when a slot is free."""
    if slots.room(organization_id, pool) != 0:
        return ""
    if slots.free(organization_id) != 0:
        return (
            f"waiting for a free slot: {slots.in_pools[pool]} of {slots.pools[pool]} runs of pool {pool} are under way"
        )
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
        self._parked: dict[str, Turns] = {}  # by the pool in which they found no slot

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

    def park(self, pool: str, organization_id: str, workspace_id: str) -> None:
        """Have it wait until its pool has a slot: it must not be taken for its turn again and again."""
        self._parked.setdefault(pool, Turns()).add(organization_id, workspace_id)

    def unpark(self, slots: Slots) -> None:
        """Have as many of each pool looked at again as it has slots for."""
        for pool, parked in list(self._parked.items()):
            free = slots.free_in(pool)
            bare = replace(slots, overall=0, per_organization=0)
            for organization_id, workspace_id in parked.take(bare, len(parked) if free is None else free):
                self.add(organization_id, workspace_id)
            if not len(parked):
                del self._parked[pool]

    def position(self, slots: Slots, organization_id: str, workspace_id: str, pool: str = "") -> int | None:
        """At which place from 1 its turn comes if no other comes in between; None when it does not wait here."""
        if pool in self._parked and workspace_id not in self._queues.get(organization_id, ()):
            return self._parked[pool].position(slots, organization_id, workspace_id)
        if workspace_id not in self._queues.get(organization_id, ()):
            return None
        order = in_turn(replace(slots, overall=0, per_organization=0), self._queues, len(self))
        return order.index((organization_id, workspace_id)) + 1

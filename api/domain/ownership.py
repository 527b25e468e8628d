"""Which of several API processes sees to an attempt: the node that started a process, the leading one for Jobs.

Pure; called by the scheduler and by stop_attempts for every attempt under way.
"""

from dataclasses import dataclass

from api.domain.entities import Attempt
from api.domain.launch_mode import PROCESS


@dataclass(frozen=True, slots=True)
class Here:
    """This node among all: whether it leads, and which nodes are known to live."""

    node: str = ""
    leads: bool = True
    living: frozenset[str] = frozenset()


def sees_to(attempt: Attempt, here: Here) -> bool:
    """Whether this node looks at the attempt's carrier and ends it."""
    return _is_from(attempt, here) if attempt.launcher == PROCESS else here.leads


def launches(attempt: Attempt, here: Here) -> bool:
    """Whether this node carries out the intent: its own, or as the leading one that of a node that is away."""
    if _is_from(attempt, here):
        return True
    return attempt.launcher != PROCESS and here.leads and attempt.node not in here.living


def may_give_up(attempt: Attempt, here: Here) -> bool:
    """Whether this node may end by force what another one started and cannot be asked about."""
    return not sees_to(attempt, here) and here.leads and attempt.node not in here.living


def _is_from(attempt: Attempt, here: Here) -> bool:
    return attempt.node in {"", here.node}

"""What probes and metrics ask: whether the database answers, and how many runs and attempts there are.

Called by the routes for health and metrics; nobody's permission is needed, and nothing is named.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from api.domain.entities import Token
from api.services.ports import Ports
from common.launcher_port import Watching


@dataclass(frozen=True, slots=True)
class Census:
    """Runs by status; attempts under way by launcher and state."""

    runs: Mapping[str, int]
    attempts: Mapping[tuple[str, str], int]


async def check_database(ports: Ports) -> None:
    """Ask the database something small; whatever it raises is why it is not ready."""
    async with ports.database.reading() as tx:
        await tx.get(Token, "none")


def watch_ages(ports: Ports) -> Mapping[str, float]:
    """Seconds since each watch of a carrier was last known to be good; empty where nothing is watched."""
    ages: dict[str, float] = {}
    for launcher in ports.launchers.values():
        if isinstance(launcher, Watching):
            ages.update(launcher.watch_ages())
    return ages


async def census(ports: Ports) -> Census:
    """How many runs and attempts there are right now."""
    async with ports.database.reading() as tx:
        runs = await tx.counts()
        attempts = await tx.attempts_under_way()
    return Census(runs, Counter((attempt.launcher, attempt.state.value) for attempt in attempts))

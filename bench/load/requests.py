"""`python -m bench.load.requests`: sends HTTP requests and tells how long the answers took. Spec on stdin, JSON out.

A process of its own, so that making load is not measured as answering it. SIGTERM ends it early, with its result.
"""

import asyncio
import itertools
import json
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import uvloop

from bench.load.wire import Connection


@dataclass
class Load:
    """What to send. `targets` are taken in a seeded random order, again and again; `{n}` counts requests."""

    url: str
    token: str
    targets: list[str]
    method: str = "GET"
    bodies: list[str] = field(default_factory=lambda: [""])  # one per request, in turn
    connections: int = 8
    seconds: float = 5.0
    per_second: float = 0.0  # 0 = as fast as it goes

    @property
    def headers(self) -> str:
        """Of every request."""
        return f"Authorization: Bearer {self.token}\r\nContent-Type: application/vnd.api+json\r\n"


class Sender:
    """Sends until the time is over."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._milliseconds: list[float] = []
        self._statuses: Counter[int] = Counter()
        self.until = 0.0

    async def send(self) -> dict[str, Any]:
        """All requests; their statuses, times and rate."""
        begun = time.perf_counter()
        self.until = begun + self._load.seconds
        work = self._work()
        await asyncio.gather(*(self._one(work) for _ in range(self._load.connections)))
        seconds = time.perf_counter() - begun
        return {
            "requests": len(self._milliseconds),
            "seconds": seconds,
            "milliseconds": self._milliseconds,
            "statuses": {str(status): count for status, count in self._statuses.items()},
        }

    def _work(self) -> Iterator[tuple[str, bytes]]:
        chosen, count, bodies = random.Random(1), itertools.count(), itertools.cycle(self._load.bodies)
        while True:
            yield chosen.choice(self._load.targets), next(bodies).replace("{n}", str(next(count))).encode()

    async def _one(self, work: Iterator[tuple[str, bytes]]) -> None:
        load, connection = self._load, Connection(self._load.url)
        pause = load.connections / load.per_second if load.per_second else 0.0
        due = time.perf_counter() + pause * random.random()
        while (now := time.perf_counter()) < self.until:
            if pause:
                # counted from when it was due: a stalled answer delays none of the requests behind it unseen
                await asyncio.sleep(max(0.0, due - now))
            target, body = next(work)
            begun = due if pause else time.perf_counter()
            status, _ = await connection.request(load.method, target, load.headers, body)
            self._milliseconds.append((time.perf_counter() - begun) * 1000)
            self._statuses[status] += 1
            due += pause
        connection.close()


async def _main() -> None:
    sender = Sender(Load(**json.load(sys.stdin)))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: setattr(sender, "until", 0.0))
    json.dump(await sender.send(), sys.stdout)


if __name__ == "__main__":
    uvloop.run(_main())

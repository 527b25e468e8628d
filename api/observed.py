"""Database and artifact store with figures: how long each request took and how it ended.

Put around the ports by api/app.py. It changes nothing of what it is around.
"""

import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any, TypeVar, cast

from api.services.figures import Figures
from api.services.ports import AlreadyExistsError, Artifacts, Database, Ports, Reading, Writing
from common.errors import PodformError

T = TypeVar("T")
#: Answers that a service gives on purpose: nothing is wrong with what was asked.
_ANSWERS = (PodformError, AlreadyExistsError)


def around(ports: Ports) -> Ports:
    """The same ports, telling their figures."""
    return replace(
        ports,
        database=_Database(ports.database, ports.figures),
        artifacts=cast("Artifacts", _Artifacts(ports.artifacts, ports.figures)),
    )


class _Database:
    def __init__(self, database: Database, figures: Figures) -> None:
        self._database, self._figures = database, figures

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    def reading(self) -> AbstractAsyncContextManager[Reading]:
        return self._timed(self._database.reading, "reading")

    def writing(self) -> AbstractAsyncContextManager[Writing]:
        return self._timed(self._database.writing, "writing")

    @asynccontextmanager
    async def _timed(self, transaction: Callable[[], AbstractAsyncContextManager[T]], kind: str) -> AsyncIterator[T]:
        began, outcome = time.perf_counter(), "failed"
        try:
            async with transaction() as tx:
                yield tx
            outcome = "committed"
        except _ANSWERS:
            outcome = "refused"
            raise
        finally:
            self._figures.time("transaction", time.perf_counter() - began, kind=kind, outcome=outcome)


class _Artifacts:
    def __init__(self, artifacts: Artifacts, figures: Figures) -> None:
        self._artifacts, self._figures = artifacts, figures

    def __getattr__(self, name: str) -> Any:
        return getattr(self._artifacts, name)

    async def put(self, key: str, content: bytes) -> None:
        await self._timed("put", self._artifacts.put(key, content))

    async def get(self, key: str) -> bytes | None:
        return await self._timed("get", self._artifacts.get(key))

    async def _timed(self, operation: str, request: Coroutine[Any, Any, T]) -> T:
        began, outcome = time.perf_counter(), "failed"
        try:
            result = await request
            outcome = "done"
            return result
        finally:
            self._figures.time("artifact", time.perf_counter() - began, operation=operation, outcome=outcome)

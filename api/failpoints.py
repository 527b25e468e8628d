"""Named points before and after every commit and every effect outside, at which a test lets this process die.

Put around the ports by app.py when PODFORM_FAILPOINT is set; otherwise not even loaded. A point is named after the
effect and after who asks for it: `commit.before:claim_step.claim_step`. It must not change what it is around.
"""

import asyncio
import os
import re
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, cast

from api.services.ports import Artifacts, Database, Logs, Ports, Writing
from common.errors import BadInputError
from common.launcher_port import Launcher

#: Methods that only look: a process that dies around them dies between two effects, which other points show.
_LOOKS = re.compile(r"get\w*|read\w*|size|look|list\w*|exists|stat\w*|close|start")
_NAME = re.compile(r"(?P<name>[a-z_]+\.(?:before|after):[\w.<>]+)(?:#(?P<passing>[1-9]\d{0,5}))?")
_NOTE = "note:"


class Failpoints:
    """The one point of this process, or the file that notes all that are passed."""

    def __init__(self, text: str) -> None:
        """`text` is `NAME`, `NAME#N` (at its Nth passing) or `note:FILE`; BadInputError when it is none of them."""
        self._notes: Path | None = None
        self._name, self._left = "", 0
        if text.startswith(_NOTE) and len(text) > len(_NOTE):
            self._notes = Path(text.removeprefix(_NOTE))
        elif match := _NAME.fullmatch(text):
            self._name, self._left = match["name"], int(match["passing"] or 1)
        else:
            raise BadInputError(
                "PODFORM_FAILPOINT",
                f"is {text!r}; allowed: EFFECT.before:MODULE.FUNCTION, with #N behind it, or note:FILE",
            )

    def at(self, name: str) -> None:
        """Die here if this is the point, as kill -9 would end it."""
        if self._notes is not None:
            with self._notes.open("a") as file:
                file.write(name + "\n")
        elif name == self._name:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def around(self, ports: Ports) -> Ports:
        """The same ports, passing the points on their way."""
        launchers: Mapping[str, Launcher] = {
            kind: cast("Launcher", _Announced(launcher, kind, self)) for kind, launcher in ports.launchers.items()
        }
        return replace(
            ports,
            database=cast("Database", _AnnouncedDatabase(ports.database, self)),
            artifacts=cast("Artifacts", _Announced(ports.artifacts, "artifacts", self)),
            logs=cast("Logs", _Announced(ports.logs, "logs", self)),
            launchers=launchers,
        )


class _Announced:
    """A port whose asynchronous methods pass a point before and after."""

    def __init__(self, target: Any, label: str, points: Failpoints) -> None:
        self._target, self._label, self._points = target, label, points

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._target, name)
        if not asyncio.iscoroutinefunction(attribute) or _LOOKS.fullmatch(name):
            return attribute
        return self._announcing(attribute, f"{self._label}_{name}", _caller(sys._getframe(1)))  # noqa: SLF001 - the only way to the caller's name

    def _announcing(
        self, call: Callable[..., Awaitable[Any]], effect: str, caller: str
    ) -> Callable[..., Awaitable[Any]]:
        async def announced(*arguments: Any, **named: Any) -> Any:
            self._points.at(f"{effect}.before:{caller}")
            answer = await call(*arguments, **named)
            self._points.at(f"{effect}.after:{caller}")
            return answer

        return announced


class _AnnouncedDatabase:
    """A database whose commits pass a point before and after."""

    def __init__(self, database: Database, points: Failpoints) -> None:
        self._database, self._points = database, points

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    def writing(self, *arguments: Any, **named: Any) -> AbstractAsyncContextManager[Writing]:
        """The database's own transaction."""
        caller = _caller(sys._getframe(1))  # noqa: SLF001 - the only way to the caller's name
        return _AnnouncedCommit(self._database.writing(*arguments, **named), caller, self._points)


class _AnnouncedCommit(AbstractAsyncContextManager[Writing]):
    """A transaction whose commit passes the points; one that is rolled back passes none."""

    def __init__(self, block: AbstractAsyncContextManager[Writing], caller: str, points: Failpoints) -> None:
        self._block, self._caller, self._points = block, caller, points

    async def __aenter__(self) -> Writing:
        return await self._block.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        if kind is None:
            self._points.at(f"commit.before:{self._caller}")
        swallowed = await self._block.__aexit__(kind, error, traceback)
        if kind is None:
            self._points.at(f"commit.after:{self._caller}")
        return swallowed


def _caller(frame: FrameType) -> str:
    """`module.function` of whoever asked, without packages and without enclosing functions."""
    module = str(frame.f_globals.get("__name__", "")).rpartition(".")[2]
    return f"{module}.{frame.f_code.co_qualname.rpartition('.')[2]}"

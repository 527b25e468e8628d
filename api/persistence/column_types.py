"""Column types between the entities' values and what a database stores. Used by tables.py alone."""

from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import orjson
from sqlalchemy import BigInteger, Dialect, LargeBinary, String, Text, TypeDecorator

from api.persistence.sealing import Sealer
from common import step_report
from common.step_report import StepReport

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: The sealer of the database that is being read or written; set by database.py before its first statement.
current_sealer: ContextVar[Sealer] = ContextVar("current_sealer")


class UtcTime(TypeDecorator[datetime]):
    """An aware UTC time, stored as whole microseconds since 1970: sorts and compares alike on every database."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else (value - _EPOCH) // timedelta(microseconds=1)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        return None if value is None else _EPOCH + timedelta(microseconds=value)


class EnumText(TypeDecorator[StrEnum]):
    """A word of an enumeration, stored as text: new words need no migration."""

    impl = String(40)
    cache_ok = True

    def __init__(self, words: type[StrEnum]) -> None:
        super().__init__()
        self.words = words

    def process_bind_param(self, value: StrEnum | None, dialect: Dialect) -> str | None:
        return None if value is None else value.value

    def process_result_value(self, value: Any, dialect: Dialect) -> StrEnum | None:
        return None if value is None else self.words(value)


class TextTuple(TypeDecorator[tuple[str, ...]]):
    """A tuple of texts, stored as a JSON list."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: tuple[str, ...] | None, dialect: Dialect) -> str | None:
        return None if value is None else orjson.dumps(value).decode()

    def process_result_value(self, value: Any, dialect: Dialect) -> tuple[str, ...] | None:
        return None if value is None else tuple(orjson.loads(value))


class JsonMap(TypeDecorator[Mapping[str, Any]]):
    """A JSON object, stored as text."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Mapping[str, Any] | None, dialect: Dialect) -> str | None:
        return None if value is None else orjson.dumps(dict(value)).decode()

    def process_result_value(self, value: Any, dialect: Dialect) -> Mapping[str, Any] | None:
        return None if value is None else orjson.loads(value)


class OptionalReport(TypeDecorator[StepReport]):
    """A step report, stored as its own JSON."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: StepReport | None, dialect: Dialect) -> str | None:
        return None if value is None else orjson.dumps(step_report.to_json(value)).decode()

    def process_result_value(self, value: Any, dialect: Dialect) -> StepReport | None:
        return None if value is None else step_report.from_json(orjson.loads(value))


class SealedText(TypeDecorator[str]):
    """A text that is sealed with the master key; `context` binds the seal to the column."""

    impl = LargeBinary
    cache_ok = True

    def __init__(self, context: str) -> None:
        super().__init__()
        self.context = context

    def process_bind_param(self, value: str | None, dialect: Dialect) -> bytes | None:
        if value is None:
            return None
        return current_sealer.get().seal(value.encode("utf-8", "surrogatepass"), self.context)

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        if value is None:
            return None
        return current_sealer.get().open(bytes(value), self.context).decode("utf-8", "surrogatepass")

"""How log lines look: one format for our own lines, uvicorn's, and exceptions that nobody caught.

Called once by `python -m api`. JSON for machines, text for people; a traceback is a field and shows no local variable.
"""

import logging
import sys
from typing import Any

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from api import log_context


def configure(log_format: str, level: str) -> None:
    """From now on every line, whoever writes it, has this format."""
    shared: list[Processor] = [
        _with_ids,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        # before any renderer: it would print local variables, and with them what must never be printed
        structlog.processors.format_exc_info,
    ]
    renderer = _renderer(log_format)
    number: int = getattr(logging, level.upper())
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *_: _Printing(sys.stderr),
    )
    _adopt_foreign_lines(shared, renderer, number)


def _adopt_foreign_lines(shared: list[Processor], renderer: Processor, number: int) -> None:
    """Lines of libraries (the standard library's logging) come out like ours."""
    handler = _Stream(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_with_logger, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    # what libraries tell in passing (a server started, a migration ran) is not for operators
    root.setLevel(max(number, logging.WARNING))
    logging.getLogger("uvicorn").setLevel(number)
    logging.captureWarnings(capture=True)


def _renderer(log_format: str) -> Processor:
    if log_format == "json":
        return structlog.processors.JSONRenderer(serializer=_dumps)
    return structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback, pad_event_to=0
    )


def _dumps(event: Any, **_: Any) -> str:
    return orjson.dumps(event, default=repr).decode()


def _with_ids(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    for name, value in log_context.current().items():
        event.setdefault(name, value)
    return event


def _with_logger(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    record: logging.LogRecord = event["_record"]
    event["logger"] = record.name
    return event


class _Stream(logging.StreamHandler[Any]):
    """One that cannot be written to (the disk of the log is full) must not fill stderr with complaints about it."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the base class's name
        pass


class _Printing(structlog.PrintLogger):
    """Prints lines; one that cannot be printed (the disk of the log is full) must not stop what wrote it."""

    def msg(self, message: str) -> None:
        try:
            super().msg(message)
        except OSError:
            pass

    log = debug = info = warn = warning = msg
    fatal = failure = err = error = critical = exception = msg

"""The ids that belong into every line of a request or of one piece of scheduling. Pure context, no output.

Set by the request middleware, the scheduler and the services that learn an id; read by log_lines.py. A value, a token
or a body never comes here.
"""

from contextvars import ContextVar

_current: ContextVar[dict[str, str] | None] = ContextVar("podform_log_context", default=None)


def begin(**ids: str) -> dict[str, str]:
    """A fresh context for what this asyncio task does from now on; more may be noted in it later."""
    context = dict(ids)
    _current.set(context)
    return context


def note(**ids: str) -> None:
    """Add what was just learnt: all later lines of the request bear it. Nothing happens outside of one."""
    context = _current.get()
    if context is not None:
        context.update(ids)


def current() -> dict[str, str]:
    """The ids of whatever is being done now."""
    return _current.get() or {}

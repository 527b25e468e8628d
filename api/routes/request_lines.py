"""One canonical line per request, and its id in and out. Goes around everything that public.py puts together.

Shows the route's template and ids that it names, never a header, a query value, a body or a token.
"""

import re
import time
import uuid
from typing import Any

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import log_context

_log = structlog.get_logger()

REQUEST_ID = "X-Request-Id"
_HEADER = REQUEST_ID.lower().encode()
#: What comes in is shown in logs and sent back: it must be short and harmless.
_ACCEPTABLE = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")
#: Asked every few seconds by whoever watches the server.
_PROBES = frozenset({"/healthz", "/readyz", "/metrics"})
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_IDS = frozenset({"organization_id", "workspace_id", "step_id", "job"})
#: nginx's word for a client that went away before it was answered: the usual end of a long-poll
_CLIENT_GONE = 499
_MAX_ID_CHARACTERS = 64


class RequestLinesMiddleware:
    """Writes the line when the answer is out."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI interface."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        context = log_context.begin(request_id=request_id)
        status, sent, began = 0, 0, time.perf_counter()

        async def noting(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            else:
                sent += len(message.get("body", b""))
            await send(message)

        failed = False
        try:
            await self._app(scope, receive, noting)
        except Exception:
            failed = True  # the server's own line has the traceback, and this request's id
            raise
        finally:
            status = 500 if failed else status or _CLIENT_GONE
            _write(scope, context, status=status, milliseconds=_since(began), bytes=sent)


def _write(scope: Scope, context: dict[str, str], **figures: Any) -> None:
    route = getattr(scope.get("route"), "path", "unmatched")
    for name, value in scope.get("path_params", {}).items():
        if name in _IDS:
            context.setdefault(name, str(value)[:_MAX_ID_CHARACTERS])
    method = scope["method"] if scope["method"] in _METHODS else "other"
    usual = _log.debug if route in _PROBES else _log.info
    say = _log.error if figures["status"] >= 500 else usual
    say("request", method=method, route=route, **figures)


def _request_id(scope: Scope) -> str:
    given = next((value for name, value in scope["headers"] if name == _HEADER), b"")
    return given.decode() if _ACCEPTABLE.fullmatch(given) else uuid.uuid4().hex


def _since(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 2)

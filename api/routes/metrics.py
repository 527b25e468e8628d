"""Figures for Prometheus: requests as they are answered, runs and attempts as they stand when asked.

One registry per application: MetricsMiddleware fills it, health.py answers `/metrics` from it.
"""

import time
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.domain.entities import AttemptState
from api.services.observe import Census
from common.statuses import RunStatus

#: Where a request's scope holds the figures of its application.
SCOPE_KEY = "podform.metrics"

_UNMATCHED = "unmatched"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_UNDER_WAY = tuple(state for state in AttemptState if state is not AttemptState.SETTLED)
#: Long-polls and streams are held on purpose: their seconds say nothing and would drown the others.
_HELD = ("/heartbeat", "/stream", "/tfoutput/")


class Metrics:
    """The figures of one application; `launchers` are the kinds that it has."""

    def __init__(self, launchers: Iterable[str]) -> None:
        self._launchers = tuple(launchers)
        self.registry = CollectorRegistry()
        labels = ("method", "route", "status")
        self._requests = Counter(
            "podform_http_requests", "Requests answered, by route template", labels, registry=self.registry
        )
        self._seconds = Histogram(
            "podform_http_request_seconds",
            "Seconds until a request was answered, by route template; without long-polls and streams",
            ("method", "route"),
            registry=self.registry,
            buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
        )
        self._under_way = Gauge("podform_http_requests_under_way", "Requests being answered", registry=self.registry)
        self._runs = Gauge("podform_runs", "Runs by status", ("status",), registry=self.registry)
        self._attempts = Gauge(
            "podform_attempts_under_way", "Attempts under way", ("launcher", "state"), registry=self.registry
        )

    def show(self, census: Census) -> None:
        """Take over how many runs and attempts there are."""
        for status in RunStatus:
            self._runs.labels(status.value).set(census.runs.get(status.value, 0))
        for launcher in {*self._launchers, *(kind for kind, _ in census.attempts)}:
            for state in _UNDER_WAY:
                self._attempts.labels(launcher, state.value).set(census.attempts.get((launcher, state.value), 0))

    def text(self) -> bytes:
        """All figures in Prometheus' text format."""
        return generate_latest(self.registry)

    async def answer(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the application answer one request, and count it."""
        status, began = "500", time.perf_counter()

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        with self._under_way.track_inprogress():
            try:
                await app(scope, receive, noting)
            finally:
                self._count(scope, status, time.perf_counter() - began)

    def _count(self, scope: Scope, status: str, seconds: float) -> None:
        # the template, never the path itself: paths are without number
        route = getattr(scope.get("route"), "path", _UNMATCHED)
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._requests.labels(method, route, status).inc()
        if not any(part in route for part in _HELD):
            self._seconds.labels(method, route).observe(seconds)


class MetricsMiddleware:
    """Counts what the application behind it answers; leaves its figures in the scope for `/metrics`."""

    def __init__(self, app: ASGIApp, launchers: Iterable[str]) -> None:
        self._app = app
        self._metrics = Metrics(launchers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI interface."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope[SCOPE_KEY] = self._metrics
        await self._metrics.answer(self._app, scope, receive, send)

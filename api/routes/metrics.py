"""Figures for Prometheus: requests as they are answered, runs and attempts as they stand when asked.

One registry per application: MetricsMiddleware fills it, health.py answers `/metrics` from it.
"""

import time
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.domain.entities import AttemptState
from api.routes.figure_tables import COUNTERS, GAUGES, HISTOGRAMS
from api.services.observe import Census
from common.statuses import RunStatus

#: Where a request's scope holds the figures of its application.
SCOPE_KEY = "podform.metrics"

_UNMATCHED = "unmatched"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_UNDER_WAY = tuple(state for state in AttemptState if state is not AttemptState.SETTLED)
#: An executor that lives is heard of every half minute.
_HEARD_SECONDS = 120.0
#: Long-polls and streams are held on purpose: their seconds say nothing and would drown the others.
_HELD = ("/heartbeat", "/stream", "/tfoutput/")


class Metrics:
    """The figures of one application, as the services' Figures port takes them."""

    def __init__(self) -> None:
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
        self._times = {
            key: Histogram(row.name, row.meaning, row.labels, registry=self.registry, buckets=row.buckets)
            for key, row in HISTOGRAMS.items()
        }
        self._counts = {
            key: Counter(row.name, row.meaning, row.labels, registry=self.registry) for key, row in COUNTERS.items()
        }
        self._gauges = {
            key: Gauge(row.name, row.meaning, row.labels, registry=self.registry) for key, row in GAUGES.items()
        }
        self._asked: dict[str, Callable[[], float]] = {}
        self._undelivered: dict[str, tuple[float, float]] = {}  # attempt -> when it was said, seconds

    def time(self, name: str, seconds: float, **labels: str) -> None:
        """One more that took so long."""
        histogram = self._times[name]
        (histogram.labels(**labels) if labels else histogram).observe(max(seconds, 0.0))

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """So many more."""
        counter = self._counts[name]
        (counter.labels(**labels) if labels else counter).inc(max(amount, 0.0))

    def undelivered(self, attempt: str, seconds: float) -> None:
        """For how long an executor has held something; forgotten when it is heard of no more."""
        if seconds > 0:
            self._undelivered[attempt] = (time.monotonic(), seconds)
        else:
            self._undelivered.pop(attempt, None)

    def ask(self, name: str, how: Callable[[], float]) -> None:
        """Ask so how it stands whenever the figures are read."""
        self._asked[name] = how

    def show(self, name: str, value: float, **labels: str) -> None:
        """How something stands now."""
        gauge = self._gauges[name]
        (gauge.labels(**labels) if labels else gauge).set(value)

    def show_census(self, census: Census, launchers: Iterable[str]) -> None:
        """Take over how many runs and attempts there are."""
        for status in RunStatus:
            self.show("runs", census.runs.get(status.value, 0), status=status.value)
        for launcher in {*launchers, *(kind for kind, _ in census.attempts)}:
            for state in _UNDER_WAY:
                number = census.attempts.get((launcher, state.value), 0)
                self.show("attempts", number, launcher=launcher, state=state.value)

    def text(self) -> bytes:
        """All figures in Prometheus' text format."""
        now = time.monotonic()
        self._undelivered = {
            attempt: said for attempt, said in self._undelivered.items() if now - said[0] < _HEARD_SECONDS
        }
        self.show("spool_age", max((seconds for _, seconds in self._undelivered.values()), default=0.0))
        for name, how in self._asked.items():
            self.show(name, how())
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

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI interface."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope[SCOPE_KEY] = self._metrics
        await self._metrics.answer(self._app, scope, receive, send)

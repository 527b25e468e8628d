"""`/healthz`, `/readyz`, `/metrics`: for probes and Prometheus, without a token. Part of public.py's routes."""

import asyncio
import hmac
from collections.abc import Callable, Mapping

import orjson
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from api.routes.metrics import SCOPE_KEY, Metrics
from api.services import observe
from api.services.ports import Ports

#: A probe that hears nothing for longer gives up by itself.
_DATABASE_SECONDS = 5

#: Asked by `/readyz`: name of a part -> what is wrong with it, empty when all is well.
Checks = Mapping[str, Callable[[], str]]


def routes(ports: Ports, checks: Checks) -> list[BaseRoute]:
    """The routes; `checks` are the composition root's own (e.g. whether the scheduler lives)."""

    async def healthz(_request: Request) -> Response:
        """The process answers: nothing else is asked, for a restart cures nothing else."""
        return PlainTextResponse("ok\n")

    async def readyz(_request: Request) -> Response:
        problems = {"database": await _database(ports)} | {name: _asked(check) for name, check in checks.items()}
        ready = not any(problems.values())
        parts = {name: problem or "ok" for name, problem in problems.items()}
        body = orjson.dumps({"ready": ready, "parts": parts})
        return Response(body, 200 if ready else 503, media_type="application/json")

    async def figures(request: Request) -> Response:
        if not _may_read(request, ports.rules.metrics_token):
            return PlainTextResponse("a token is needed\n", 401, {"WWW-Authenticate": "Bearer"})
        metrics: Metrics = request.scope[SCOPE_KEY]
        metrics.show_census(await observe.census(ports), ports.launchers)
        for resource, age in observe.watch_ages(ports).items():
            metrics.show("watch_age", age, resource=resource)
        return Response(metrics.text(), media_type="text/plain; version=1.0.0; charset=utf-8")

    return [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", figures)]


def _may_read(request: Request, token: str) -> bool:
    """Whether the request has the token of PODFORM_METRICS_TOKEN, where one is set."""
    given = request.headers.get("authorization", "").encode()
    return not token or hmac.compare_digest(given, f"Bearer {token}".encode())


def _asked(check: Callable[[], str]) -> str:
    try:
        return check()
    except OSError as error:
        return f"cannot be asked ({error.strerror})"


async def _database(ports: Ports) -> str:
    try:
        async with asyncio.timeout(_DATABASE_SECONDS):
            await observe.check_database(ports)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is why the database is not ready
        return f"does not answer ({type(error).__name__})"
    return ""

"""The public faces put together: every operation, `/openapi.json` about them, health and metrics.

Composed by api/app.py out of `routes`, `middleware` and `exception_handlers`.
"""

from importlib.metadata import version

import orjson
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from api.routes import doctor, engines, health, keys, openapi, tokens
from api.routes.errors import exception_handlers
from api.routes.health import Checks
from api.routes.metrics import Metrics, MetricsMiddleware
from api.routes.operations import Operation, starlette_routes
from api.routes.request_lines import RequestLinesMiddleware
from api.routes.terrakube import (
    configuration,
    directory,
    git_credentials,
    history,
    job,
    organization,
    output,
    plan,
    step,
    template,
    variable,
    workspace,
)
from api.services.ports import Ports

__all__ = ["OPERATIONS", "exception_handlers", "middleware", "routes"]

OPERATIONS: tuple[Operation, ...] = (
    *organization.OPERATIONS,
    *directory.OPERATIONS,
    *workspace.OPERATIONS,
    *variable.OPERATIONS,
    *template.OPERATIONS,
    *configuration.OPERATIONS,
    *job.OPERATIONS,
    *step.OPERATIONS,
    *git_credentials.OPERATIONS,
    *history.OPERATIONS,
    *output.OPERATIONS,
    *plan.OPERATIONS,
    *tokens.OPERATIONS,
    *engines.OPERATIONS,
    *keys.OPERATIONS,
    *doctor.OPERATIONS,
)


def routes(ports: Ports, checks: Checks | None = None) -> list[BaseRoute]:
    """The routes of the public faces; `checks` are what `/readyz` asks besides the database."""
    document = b""

    async def openapi_json(_request: Request) -> Response:
        nonlocal document
        if not document:  # made when somebody asks: the start does not wait for it
            document = orjson.dumps(openapi.document(OPERATIONS, version("podform")))
        return Response(document, media_type="application/json")

    about = Route("/openapi.json", openapi_json)
    return [*starlette_routes(ports, OPERATIONS), about, *health.routes(ports, checks or {})]


def middleware(ports: Ports) -> list[Middleware]:
    """What goes around the whole application, the executor face included."""
    metrics = ports.figures if isinstance(ports.figures, Metrics) else Metrics()
    return [Middleware(RequestLinesMiddleware), Middleware(MetricsMiddleware, metrics=metrics)]

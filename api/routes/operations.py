"""One table row per operation of the public faces, and the way of a request through it.

Resources list their Operations; `starlette_routes` makes routes of them and openapi.py the document, so that
neither can know an operation that the other does not. The way: authenticate, decode, act, encode.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from api import log_context
from api.domain.permissions import Principal
from api.routes import bodies, errors
from api.routes.authentication import authenticate
from api.routes.queries import Query, decoded_query
from api.services.errors import NotFoundError
from api.services.ports import Ports
from common import ids

Model = TypeVar("Model", bound=BaseModel)

#: What a JSON document may weigh besides the one large value it may carry.
DOCUMENT_BYTES = 2 * 1024**2

#: Path parameters that hold an id -> its kind; a text that is no such id names nothing.
_ID_PARAMETERS = {
    "organization_id": "organization",
    "workspace_id": "workspace",
    "variable_id": "variable",
    "directory_id": "directory",
    "template_id": "template",
    "configuration_id": "configuration_version",
    "step_id": "step",
    "state_version_id": "state_version",
    "token_id": "token",
    "vcs_id": "vcs",
    "ssh_id": "ssh",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a successful operation answers, for the document.

    `attributes` with `kind` is a JSON:API resource (or a list of them), without `kind` the plain JSON body;
    neither means `media_type` bytes, or nothing for a 204.
    """

    status: int = 200
    description: str = "Done"
    kind: str = ""
    attributes: type[BaseModel] | None = None
    many: bool = False
    media_type: str = errors.MEDIA_TYPE


@dataclass(frozen=True, slots=True)
class Call:
    """A request on its way: who asks, and what was decoded."""

    ports: Ports
    principal: Principal
    request: Request
    document: BaseModel | None
    decoded_query: Query | None

    def path(self, name: str) -> str:
        """A path parameter."""
        return str(self.request.path_params[name])

    @property
    def organization(self) -> str:
        """The organization's id in the path."""
        return self.path("organization_id")

    @property
    def workspace(self) -> str:
        """The workspace's id in the path."""
        return self.path("workspace_id")

    def body(self, model: type[Model]) -> Model:
        """The request's document, which the operation declared to be of this model."""
        return _as(model, self.document)

    def query(self, model: type[Model]) -> Model:
        """The query, which the operation declared to be of this model."""
        return _as(model, self.decoded_query)

    def url(self, path: str) -> str:
        """An absolute URL of this API."""
        return str(self.request.base_url).rstrip("/") + path


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method on one path. `raw_body` names the media type of a body that `act` reads by itself."""

    method: str
    path: str
    act: Callable[[Call], Awaitable[Response]]
    summary: str
    answer: Answer
    body: type[BaseModel] | None = None
    query: type[Query] = Query
    raw_body: str = ""
    headers: Mapping[str, str] | None = None  # request headers that it reads: name -> what for


def starlette_routes(ports: Ports, operations: Iterable[Operation]) -> list[BaseRoute]:
    """One route per path, with all its methods: so a wrong method is told which ones there are."""
    by_path: dict[str, dict[str, Operation]] = {}
    for operation in operations:
        by_path.setdefault(operation.path, {})[operation.method] = operation
    return [Route(path, _endpoint(ports, methods), methods=list(methods)) for path, methods in by_path.items()]


def _endpoint(ports: Ports, by_method: Mapping[str, Operation]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        operation = by_method["GET" if request.method == "HEAD" else request.method]
        try:
            return await operation.act(await _call(ports, operation, request))
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is there to read it
        except Exception as error:
            response = errors.response_to(error, operation.body)
            if response is None:
                raise
            return response

    return answer


async def _call(ports: Ports, operation: Operation, request: Request) -> Call:
    principal = await authenticate(ports, request)
    log_context.note(principal=principal.name)
    for name, kind in _ID_PARAMETERS.items():
        value = request.path_params.get(name)
        if value is not None and not ids.is_id(value, kind):
            raise NotFoundError(f"{kind.replace('_', ' ')} {value[:100]}")
    query = decoded_query(request.query_params, operation.query)
    document = None
    if operation.body is not None:
        limit = DOCUMENT_BYTES + ports.rules.max_variable_bytes
        document = bodies.decoded(await bodies.read_document(request, limit), operation.body)
    return Call(ports, principal, request, document, query)


def _as(model: type[Model], value: object) -> Model:
    if not isinstance(value, model):
        raise TypeError(f"the operation declares no {model.__name__}")
    return value

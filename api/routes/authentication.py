"""Who sends a request: the bearer token in its Authorization header. Called by operations.py alone."""

from starlette.requests import Request

from api.domain.permissions import Principal
from api.routes.errors import RequestError, refused
from api.services.ports import Ports
from api.services.tokens import principal_behind

#: Longer ones are no tokens of ours and are not worth a look.
_MAX_TOKEN_CHARACTERS = 512


async def authenticate(ports: Ports, request: Request) -> Principal:
    """The principal behind the request's token; RequestError 401 when there is none, or an unknown or expired one."""
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    text = text.strip()
    if scheme.lower() != "bearer" or not text:
        raise _unauthorized("a token is needed: Authorization: Bearer <token>", 'Bearer realm="podform"')
    principal = await principal_behind(ports, text) if len(text) <= _MAX_TOKEN_CHARACTERS else None
    if principal is None:
        raise _unauthorized("the token is unknown or has expired", 'Bearer realm="podform", error="invalid_token"')
    return principal


def _unauthorized(detail: str, challenge: str) -> RequestError:
    return refused(401, detail, {"WWW-Authenticate": challenge}, header="Authorization")

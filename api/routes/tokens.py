"""Personal access tokens at `/pat/v1`, plain JSON. Decodes, calls services/tokens, encodes."""

from datetime import datetime
from typing import Any

import orjson
from pydantic import Field
from starlette.responses import Response

from api.domain.entities import Token
from api.routes import jsonapi
from api.routes.jsonapi import Read, Text, Written
from api.routes.operations import Answer, Call, Operation
from api.routes.queries import PageQuery
from api.services import tokens

PATH = "/pat/v1"
ONE = f"{PATH}/{{token_id}}"


class NewToken(Written):
    """The document of a POST."""

    description: Text
    days: int = Field(0, description="0 = never expires")
    organization_id: Text = Field("", description="the one organization it opens; missing = all, as an admin")


class TokenRead(Read):
    """What is answered."""

    id: str
    name: str = Field(serialization_alias="description")
    organization_id: str
    admin: bool
    created_at: datetime = Field(serialization_alias="createdDate")
    expires_at: datetime | None = Field(serialization_alias="expiresDate")
    token: str = Field("", description="the token itself; answered once, to the POST that made it")


def encoded(token: Token) -> dict[str, Any]:
    """What is known of a token, without its text."""
    return TokenRead.model_validate(token).attributes()


async def _list(call: Call) -> Response:
    page = call.query(PageQuery).page
    found = await tokens.list_tokens(call.ports, call.principal, page)
    body = orjson.dumps([encoded(token) for token in found.items])
    return Response(body, headers={"X-Total-Count": str(found.total)}, media_type="application/json")


async def _create(call: Call) -> Response:
    wanted = call.body(NewToken)
    token, text = await tokens.create_token(
        call.ports,
        call.principal,
        description=wanted.description,
        days=wanted.days,
        organization_id=wanted.organization_id,
    )
    headers = {"Cache-Control": "no-store", "Location": f"{PATH}/{token.id}"}
    return Response(orjson.dumps(encoded(token) | {"token": text}), 201, headers, "application/json")


async def _delete(call: Call) -> Response:
    await tokens.delete_token(call.ports, call.principal, call.path("token_id"))
    return jsonapi.nothing()


_JSON = "application/json"

OPERATIONS = (
    Operation(
        method="GET",
        path=PATH,
        act=_list,
        summary="List the tokens, without their texts",
        query=PageQuery,
        answer=Answer(attributes=TokenRead, many=True, media_type=_JSON, description="A page of tokens"),
    ),
    Operation(
        method="POST",
        path=PATH,
        act=_create,
        summary="Make a token",
        body=NewToken,
        answer=Answer(status=201, attributes=TokenRead, media_type=_JSON, description="The token, this once"),
    ),
    Operation(
        method="DELETE",
        path=ONE,
        act=_delete,
        summary="Revoke a token",
        answer=Answer(status=204, description="It opens nothing any more"),
    ),
)

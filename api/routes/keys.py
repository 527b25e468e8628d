"""The data keys at `/keys/v1`, plain JSON, for admins. Decodes, calls services/keys, encodes."""

from datetime import datetime

import orjson
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.routes.jsonapi import Read, Text, Written
from api.routes.operations import Answer, Call, Operation
from api.services import keys
from api.services.key_ports import KeysStatus

PATH = "/keys/v1"


class KeyRead(Read):
    """One data key, without the key."""

    id: str
    active: bool
    created_at: datetime = Field(serialization_alias="createdDate")
    retired_at: datetime | None = Field(serialization_alias="retiredDate")


class KeysRead(BaseModel):
    """What is answered."""

    resealing: bool = Field(description="whether something may still be sealed with an older key")
    looked_at: int = Field(serialization_alias="lookedAt", description="contents that the sealing anew has looked at")
    sealed_anew: int = Field(serialization_alias="sealedAnew", description="those that it has sealed anew")
    keys: list[KeyRead]


class Rotation(Written):
    """The document of a rotation."""

    active: Text = Field("", description="rotate only while this key is the active one; makes a repeat harmless")


def _encoded(status: KeysStatus) -> Response:
    body = {
        "resealing": status.under_way,
        "lookedAt": status.looked_at,
        "sealedAnew": status.sealed_anew,
        "keys": [KeyRead.model_validate(key).attributes() for key in status.keys],
    }
    return Response(orjson.dumps(body), media_type="application/json")


async def _show(call: Call) -> Response:
    return _encoded(await keys.show_keys(call.ports, call.principal))


async def _rotate(call: Call) -> Response:
    return _encoded(await keys.rotate_keys(call.ports, call.principal, call.body(Rotation).active))


_ANSWER = Answer(
    attributes=KeysRead, media_type="application/json", description="The keys, without the keys themselves"
)

OPERATIONS = (
    Operation(method="GET", path=PATH, act=_show, summary="Show the data keys", answer=_ANSWER),
    Operation(
        method="POST",
        path=f"{PATH}/rotate",
        act=_rotate,
        summary="Seal with a new data key from now on, and what is there already in the background",
        body=Rotation,
        answer=_ANSWER,
    ),
)

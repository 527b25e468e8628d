"""Engines at `/engines/v1`, plain JSON, for admins. Decodes, calls services/engines, encodes."""

from datetime import datetime

import orjson
from pydantic import Field
from starlette.responses import Response

from api.domain.engine_archive import newest_fitting
from api.routes.jsonapi import Read
from api.routes.operations import Answer, Call, Operation
from api.services import engines
from api.services.engines import MirrorStanding

PATH = "/engines/v1"
_JSON = "application/json"


class EngineRead(Read):
    """One engine that the API keeps for its executors."""

    name: str
    version: str
    where: str = "store"
    path: str = ""
    platform: str
    sha256: str
    size: int
    created_at: datetime = Field(serialization_alias="fetchedDate")


class MirrorRead(Read):
    """One engine's mirror."""

    name: str
    url: str
    reachable: bool | None = Field(description="null: no mirror is set")
    problem: str = Field(description="a sentence for people; empty when all is well")
    versions: int
    newest: str
    signatures: bool = Field(description="whether signatures of SHA256SUMS are checked")


class EnginesRead(Read):
    """What is answered."""

    engines: list[EngineRead]
    mirrors: list[MirrorRead]


def _mirror(standing: MirrorStanding) -> MirrorRead:
    return MirrorRead(
        name=standing.name,
        url=standing.url,
        reachable=standing.reachable,
        problem=standing.problem,
        versions=len(standing.versions),
        newest=newest_fitting(standing.name, "", standing.versions) or "",
        signatures=standing.signatures,
    )


async def _list(call: Call) -> Response:
    kept, mirrors = await engines.list_engines(call.ports, call.principal)
    body = {
        "engines": [{**EngineRead.model_validate(item).attributes(), "where": "store", "path": ""} for item in kept],
        "mirrors": [_mirror(item).attributes() for item in mirrors],
    }
    return Response(orjson.dumps(body), media_type=_JSON)


OPERATIONS = (
    Operation(
        method="GET",
        path=PATH,
        act=_list,
        summary="Show the engines that are kept, and how the mirrors stand",
        answer=Answer(attributes=EnginesRead, media_type=_JSON, description="Engines and mirrors"),
    ),
)

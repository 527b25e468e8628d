"""JSON:API documents: the base models of writes and reads, and the documents of answers.

Called by the modules of terrakube/, each of which holds its resource's table of JSON names and entity fields
as two such models: field names are the entity's, aliases are the JSON's.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Generic, Literal, TypeVar

import orjson
from pydantic import (
    AfterValidator,
    AliasGenerator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel
from starlette.responses import Response

from api.routes.errors import MEDIA_TYPE
from api.services.errors import ConflictError
from api.services.ports import Page
from common import ids

#: No field but a variable's value is longer; the services have narrower limits.
MAX_TEXT_CHARACTERS = 4000


class Written(BaseModel):
    """A part of a document that is written: unknown fields and other types are refused."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, alias_generator=AliasGenerator(validation_alias=to_camel)
    )

    def fields(self) -> dict[str, Any]:
        """What was given, by the entity's field names."""
        return self.model_dump(exclude_unset=True)


class Read(BaseModel):
    """Attributes as they are answered, taken from an entity by its field names."""

    model_config = ConfigDict(from_attributes=True, alias_generator=AliasGenerator(serialization_alias=to_camel))

    def attributes(self) -> dict[str, Any]:
        """The JSON attributes; fields that were never set are left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


Resource = TypeVar("Resource", bound=Written)


class Document(Written, Generic[Resource]):
    """A document with one resource."""

    data: Resource


def _plain_text(value: str) -> str:
    if "\0" in value:
        raise ValueError("holds a NUL character")
    return value


def _no_null(value: Any) -> Any:
    return "" if value is None else value


Text = Annotated[str, Field(max_length=MAX_TEXT_CHARACTERS), AfterValidator(_plain_text)]
#: Clients that send back what they have read may send null for what is empty.
NullableText = Annotated[
    Text,
    BeforeValidator(_no_null),
    WithJsonSchema({"type": ["string", "null"], "maxLength": MAX_TEXT_CHARACTERS}),
]


def id_of(kind: str) -> AfterValidator:
    """The rule of an id that the client chose or refers to."""

    def check(value: str) -> str:
        if not ids.is_id(value, kind):
            raise ValueError(f"must be an id: '{ids.PREFIXES[kind]}-' and 26 characters")
        return value

    return AfterValidator(check)


class WorkspaceIdentifier(Written):
    """A reference to a workspace."""

    type: Literal["workspace"]
    id: Annotated[str, id_of("workspace")]


class ToWorkspace(Written):
    """A relationship to a workspace."""

    data: WorkspaceIdentifier


def check_same_id(given: str | None, expected: str) -> None:
    """A PATCH may repeat the id of what it changes, and no other one."""
    if given is not None and given != expected:
        raise ConflictError("id: the document's id is not the one in the path")


def related(kind: str, resource_id: str) -> dict[str, Any]:
    """A relationship to one resource."""
    return {"data": {"type": kind, "id": resource_id}}


def resource(
    kind: str, resource_id: str, attributes: Read, relationships: Mapping[str, Any], path: str
) -> dict[str, Any]:
    """A resource object."""
    return {
        "type": kind,
        "id": resource_id,
        "attributes": attributes.attributes(),
        "relationships": dict(relationships),
        "links": {"self": path},
    }


def one(item: Mapping[str, Any], status: int = 200, included: Sequence[Mapping[str, Any]] = ()) -> Response:
    """A document with one resource."""
    document: dict[str, Any] = {"data": item} | ({"included": list(included)} if included else {})
    headers = {"Location": item["links"]["self"]} if status == 201 else None
    return Response(orjson.dumps(document), status, headers=headers, media_type=MEDIA_TYPE)


def many(items: Sequence[Mapping[str, Any]], total: int, page: Page) -> Response:
    """A document with a page of a list."""
    paging = {"number": page.number, "limit": page.size, "totalRecords": total, "totalPages": -(-total // page.size)}
    return Response(orjson.dumps({"data": items, "meta": {"page": paging}}), media_type=MEDIA_TYPE)


def nothing() -> Response:
    """The answer to a DELETE."""
    return Response(status_code=204)

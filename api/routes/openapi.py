"""The OpenAPI 3.1 document of the public faces, made from the table of operations and the models that decode.

Called by public.py for `/openapi.json`. Pure.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.routes.bodies import JSON_TYPES
from api.routes.errors import MEDIA_TYPE
from api.routes.operations import Operation

_REFERENCE = "#/components/schemas/{model}"
_ERROR = {
    "type": "object",
    "required": ["errors"],
    "properties": {
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["status", "code", "title", "detail"],
                "properties": {
                    **{name: {"type": "string"} for name in ("status", "code", "title", "detail")},
                    "source": {
                        "type": "object",
                        "properties": {name: {"type": "string"} for name in ("pointer", "parameter", "header")},
                    },
                },
            },
        }
    },
}
_PAGE = {
    "type": "object",
    "properties": {
        "page": {
            "type": "object",
            "properties": {name: {"type": "integer"} for name in ("number", "limit", "totalRecords", "totalPages")},
        }
    },
}


def document(operations: Iterable[Operation], version: str) -> dict[str, Any]:
    """The whole document."""
    table = tuple(operations)
    bodies = {operation.body for operation in table if operation.body}
    answers = {operation.answer.attributes for operation in table if operation.answer.attributes}
    schemas = _Schemas(bodies, answers)
    paths: dict[str, dict[str, Any]] = {}
    for operation in table:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Podform", "version": version, "description": "The Terrakube-style API of Podform."},
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": schemas.definitions | {"Errors": _ERROR},
            "responses": {
                "Errors": {
                    "description": "What is wrong, field by field",
                    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Errors"}}},
                }
            },
        },
    }


class _Schemas:
    """JSON schemas of all models, with the references between them."""

    def __init__(self, bodies: set[type[BaseModel]], answers: set[type[BaseModel]]) -> None:
        in_order = sorted(bodies, key=lambda model: model.__name__)
        out_order = sorted(answers, key=lambda model: model.__name__)
        self._references, definitions = models_json_schema(
            [*((model, "validation") for model in in_order), *((model, "serialization") for model in out_order)],
            ref_template=_REFERENCE,
        )
        self.definitions: dict[str, Any] = definitions.get("$defs", {})

    def written(self, model: type[BaseModel]) -> Any:
        return self._references[(model, "validation")]

    def read(self, model: type[BaseModel]) -> Any:
        return self._references[(model, "serialization")]


def _operation(operation: Operation, schemas: _Schemas) -> dict[str, Any]:
    described: dict[str, Any] = {
        "summary": operation.summary,
        "operationId": _operation_id(operation),
        "parameters": [*_path_parameters(operation), *_query_parameters(operation), *_headers(operation)],
        "responses": {
            str(operation.answer.status): _answer(operation, schemas),
            "default": {"$ref": "#/components/responses/Errors"},
        },
    }
    if operation.body:
        described["requestBody"] = {
            "required": True,
            "content": {kind: {"schema": schemas.written(operation.body)} for kind in sorted(JSON_TYPES)},
        }
    elif operation.raw_body:
        described["requestBody"] = {"required": True, "content": {operation.raw_body: {}}}
    return described


def _operation_id(operation: Operation) -> str:
    words = re.sub(r"[^a-z0-9]+", "_", operation.path.removeprefix("/api/v1").lower()).strip("_")
    return f"{operation.method.lower()}_{words}"


def _path_parameters(operation: Operation) -> list[dict[str, Any]]:
    names = re.findall(r"\{(\w+)\}", operation.path)
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _query_parameters(operation: Operation) -> list[dict[str, Any]]:
    properties: Mapping[str, Any] = operation.query.model_json_schema()["properties"] if _has_query(operation) else {}
    return [
        {
            "name": name,
            "in": "query",
            "description": str(schema.get("description", "")),
            "schema": {key: value for key, value in schema.items() if key not in {"title", "description"}},
        }
        for name, schema in properties.items()
    ]


def _has_query(operation: Operation) -> bool:
    return bool(operation.query.model_fields)


def _headers(operation: Operation) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "header", "description": why, "schema": {"type": "string"}}
        for name, why in (operation.headers or {}).items()
    ]


def _answer(operation: Operation, schemas: _Schemas) -> dict[str, Any]:
    answer = operation.answer
    if answer.status == 204:
        return {"description": answer.description}
    content: dict[str, Any] = {}
    if answer.attributes is not None:
        attributes = schemas.read(answer.attributes)
        content["schema"] = _resource_answer(answer.kind, attributes, many=answer.many)
    return {"description": answer.description, "content": {answer.media_type: content}}


def _resource_answer(kind: str, attributes: Any, *, many: bool) -> dict[str, Any]:
    if not kind:
        return {"type": "array", "items": attributes} if many else dict(attributes)
    item = {
        "type": "object",
        "required": ["type", "id", "attributes"],
        "properties": {
            "type": {"const": kind},
            "id": {"type": "string"},
            "attributes": attributes,
            "relationships": {"type": "object"},
            "links": {"type": "object"},
        },
    }
    if many:
        properties: dict[str, Any] = {"data": {"type": "array", "items": item}, "meta": _PAGE}
    else:
        properties = {"data": item, "included": {"type": "array", "items": {"type": "object"}}}
    return {"type": "object", "required": ["data"], "properties": properties}

"""The OpenAPI document: generated from the table of operations, complete and valid."""

import re
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.routing import Route

from api.routes import openapi, public
from api.routes.bodies import decoded
from api.routes.errors import RequestError
from api.routes.operations import Operation, starlette_routes

DOCUMENT: dict[str, Any] = openapi.document(public.OPERATIONS, "1")
WRITES = [operation for operation in public.OPERATIONS if operation.body]
PLACES = [
    pytest.param(operation, place, id=f"{operation.method} {operation.path} {place}")
    for operation in WRITES
    for place in (["", "data", "data/attributes"] if operation.body and "data" in operation.body.model_fields else [""])
]


def test_the_document_is_valid() -> None:
    """It is OpenAPI 3.1, with every reference resolved."""
    OpenAPIV31SpecValidator(DOCUMENT).validate()


def test_every_route_is_in_the_document() -> None:
    """Each path with each of its methods, and nothing else."""
    routes = starlette_routes(None, public.OPERATIONS)  # type: ignore[arg-type]  # nothing is called
    served = {
        (route.path, method.lower())
        for route in routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    described = {(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert served == described


def test_operation_ids_are_unique() -> None:
    """Generated clients name their functions by them."""
    ids = [operation["operationId"] for methods in DOCUMENT["paths"].values() for operation in methods.values()]
    assert len(ids) == len(set(ids))


def _objects(schema: Any) -> list[dict[str, Any]]:
    """All schemas of objects with fields below a schema, references followed."""
    if isinstance(schema, list):
        return [found for item in schema for found in _objects(item)]
    if not isinstance(schema, dict):
        return []
    if "$ref" in schema:
        return _objects(DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    own = [schema] if "properties" in schema else []
    return own + [found for value in schema.values() for found in _objects(value)]


@pytest.mark.parametrize("operation", WRITES, ids=lambda operation: f"{operation.method} {operation.path}")
def test_documents_of_writes_are_closed(operation: Operation) -> None:
    """On every level the document says that there are no other fields."""
    described = DOCUMENT["paths"][operation.path][operation.method.lower()]
    objects = _objects(described["requestBody"]["content"]["application/vnd.api+json"]["schema"])
    assert objects
    assert all(found.get("additionalProperties") is False for found in objects)


@pytest.mark.parametrize(("operation", "place"), PLACES)
def test_unknown_fields_are_refused(operation: Operation, place: str) -> None:
    """A field that nobody knows is named in a 422, on every level of every write."""
    assert operation.body is not None
    document: dict[str, Any] = {"data": {"attributes": {}}} if "data" in operation.body.model_fields else {}
    at = document
    for part in filter(None, place.split("/")):
        at = at[part]
    at["surprise"] = "x"
    with pytest.raises(RequestError) as caught:
        decoded(document, operation.body)
    pointer = f"/{place}/surprise" if place else "/surprise"
    assert caught.value.status == 422
    assert pointer in [problem.source["pointer"] for problem in caught.value.problems]


def test_path_parameters_are_described() -> None:
    """Each name in braces is a required parameter."""
    for path, methods in DOCUMENT["paths"].items():
        for operation in methods.values():
            named = {item["name"] for item in operation["parameters"] if item["in"] == "path"}
            assert named == set(re.findall(r"\{(\w+)\}", path))

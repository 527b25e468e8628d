"""Anything at all at the public faces: whatever is sent, the answer is a 2xx or a well-formed 4xx, never a 5xx."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.routes import public
from api.routes.operations import Operation
from common.ids import PREFIXES, format_id, new_id
from tests.integration.api_in_process import Api, api_in

TEXTS = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        ["", "\0", "a\0b", "b\u00fcro/../x", "$(X)", "' OR 1=1 --", "x" * 5000, "\u202e", "\ufeff", "1" * 400, "-lock"]
    ),
)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3))
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]


class Target:
    """One API for all examples, with things in it that examples hit."""

    def __init__(self, loop: asyncio.Runner, api: Api) -> None:
        self.loop = loop
        self.api = api
        self.known: dict[str, list[str]] = {}

    async def fill(self) -> None:
        """A workspace with a variable and a job with a log."""
        workspace = await self.api.workspace()
        variable = await self.api.create(f"{workspace}/variable", "variable", {"key": "k"})
        configuration = await self.api.uploaded(workspace)
        job = await self.api.job(workspace)
        step_id = await self.api.running_step(job)
        await self.api.ports.logs.append(step_id, 0, b"\xff\x00log\n")
        base = workspace.partition("/workspace/")[0]
        templates = (await self.api.client.get(f"{base}/template")).json()["data"]
        token = {"name": "t", "vcsType": "GITHUB", "accessToken": "t"}
        vcs = await self.api.create(f"{base}/vcs", "vcs", token)
        self.known = {
            "organization_id": [base.rpartition("/")[2]],
            "workspace_id": [workspace.rpartition("/")[2]],
            "variable_id": [variable["id"]],
            "configuration_id": [configuration],
            "template_id": [templates[0]["id"]],
            "job": [job["id"], job["attributes"]["runId"]],
            "step_id": [step_id],
            "state_version_id": [new_id("state_version")],
            "token_id": [new_id("token")],
            "vcs_id": [vcs["id"]],
            "ssh_id": [new_id("ssh")],
        }

    def ask(self, request: httpx.Request) -> httpx.Response:
        """The answer to a request, whole."""
        return self.loop.run(self.api.client.send(request))


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """The API that all examples are sent to."""
    directory: Path = tmp_path_factory.mktemp("fuzzed")
    with asyncio.Runner() as loop:
        context = api_in(directory)
        made = Target(loop, loop.run(context.__aenter__()))
        loop.run(made.fill())
        yield made
        loop.run(context.__aexit__(None, None, None))


def _check(answer: httpx.Response) -> None:
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400 and answer.request.method != "HEAD":
        for error in answer.json()["errors"]:
            assert error["status"] == str(answer.status_code)
            assert error["detail"]


def _path(data: st.DataObject, operation: Operation, known: dict[str, list[str]]) -> str:
    path = operation.path
    for name, values in known.items():
        if f"{{{name}}}" in path:
            odd = st.one_of(
                TEXTS, st.builds(format_id, st.sampled_from(sorted(PREFIXES.values())), st.just(0), st.just(0))
            )
            # mostly what exists: else everything ends at the first 404
            chosen = data.draw(st.sampled_from(values)) if data.draw(st.integers(0, 9)) else data.draw(odd)
            path = path.replace(f"{{{name}}}", quote(chosen, safe=""))
    return path


def _from_schema(data: st.DataObject, operation: Operation) -> Any:
    """A document of about the right form, with values of any kind."""
    assert operation.body is not None
    fields = operation.body.model_fields
    if "data" not in fields:
        return {
            name: data.draw(VALUES) for name in ("description", "days", "organizationId") if data.draw(st.booleans())
        }
    names = sorted(_attribute_names(operation))
    attributes = {name: data.draw(_likely(name)) for name in names if data.draw(st.integers(0, 3)) == 0}
    resource: dict[str, Any] = {"type": operation.answer.kind, "attributes": attributes}
    if data.draw(st.booleans()):
        resource[data.draw(st.sampled_from(["id", "relationships", "meta", "type"]))] = data.draw(VALUES)
    return {"data": resource}


def _attribute_names(operation: Operation) -> set[str]:
    assert operation.body is not None
    definitions = operation.body.model_json_schema()["$defs"]
    return {name for schema in definitions.values() for name in schema.get("properties", {})} - {"data", "type", "id"}


def _likely(name: str) -> st.SearchStrategy[Any]:
    likely: dict[str, st.SearchStrategy[Any]] = {
        "status": st.sampled_from(["approved", "rejected", "cancelled"]),
        "category": st.sampled_from(["ENV", "TERRAFORM"]),
        "iacType": st.sampled_from(["tofu", "terraform"]),
        "key": st.sampled_from(["TERRAKUBE_ENABLE_EPHEMERAL_EXECUTOR", "TF_LOG", "PATH", "a"]),
        "terraformVersion": st.sampled_from(["1.x", "~> 1", ">= 1, < 9999999999", "= 1.0.0-a.b", ",", "1" * 20]),
        "targetAddrs": st.lists(TEXTS, max_size=3),
        "replaceAddrs": st.lists(TEXTS, max_size=3),
        "source": st.sampled_from(["https://h/a", "git@h:a", "https://[", "ssh://h:99999/a", "file:///a", "ext::x"]),
        "endpoint": st.sampled_from(["https://[", "https://h:x", "https://h"]),
        "vcsType": st.sampled_from(["GITHUB", "PUBLIC"]),
        "privateKey": st.just("-----BEGIN EC PRIVATE KEY-----\nMIH/\n-----END EC PRIVATE KEY-----"),
        "knownHosts": st.sampled_from(["@revoked", "|1|x|y a b", "h a b"]),
        "defaultTemplate": st.sampled_from(["Plan", "Destroy"]),
    }
    plain = st.one_of(TEXTS, st.booleans(), SCALARS)
    return st.one_of(likely[name], plain) if name in likely else plain


def _drawn_query(data: st.DataObject, operation: Operation) -> dict[str, str]:
    names = [str(field.alias or name) for name, field in operation.query.model_fields.items()]
    names += ["sort", "filter[x]", "page[x]", "x"]
    chosen = data.draw(st.lists(st.sampled_from(names), max_size=2, unique=True))
    odd = st.one_of(TEXTS, st.integers().map(str), st.floats().map(str), st.just("name==x"), st.just("step"))
    return {name: "0" if name == "wait" else data.draw(odd) for name in chosen}


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_no_operation_falls_over(target: Target, data: st.DataObject) -> None:
    """Any operation with any path, query and document."""
    operation = data.draw(st.sampled_from([item for item in public.OPERATIONS if not item.path.endswith("/stream")]))
    content = None
    if operation.body:
        content = _encoded(_from_schema(data, operation)) if data.draw(st.integers(0, 9)) else data.draw(st.binary())
    elif operation.raw_body:
        content = data.draw(st.binary())
    request = target.api.client.build_request(
        operation.method,
        _path(data, operation, target.known),
        params=_drawn_query(data, operation),
        content=content,
        headers={"Content-Type": "application/vnd.api+json"},
    )
    _check(target.ask(request))


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_no_path_or_header_falls_over(target: Target, data: st.DataObject) -> None:
    """Any method on any path with any token."""
    base = data.draw(
        st.sampled_from(["/", "/api/v1/", "/tfstate/v1/", "/tfoutput/v1/organization/", "/pat/v1/", "/openapi.json"])
    )
    path = base + quote(data.draw(TEXTS), safe="/")
    token = data.draw(st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=30))
    request = target.api.client.build_request(
        data.draw(st.sampled_from(METHODS)),
        "/" + path.lstrip("/"),
        headers=httpx.Headers({"Authorization": token}, encoding="latin-1"),
    )
    _check(target.ask(request))


def _encoded(document: Any) -> bytes:
    return json.dumps(document).encode("utf-8", "surrogatepass")

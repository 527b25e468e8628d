"""Bad input at the public faces: each gets one clear error object, and nothing gets through or falls over."""

import asyncio
import resource
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from api.routes import public
from common.ids import new_id
from tests.integration.api_in_process import ADMIN, Api, api_in, bearer, document, listening

Run = Callable[[Callable[[Api], Awaitable[None]]], None]
JSON = {"Content-Type": "application/vnd.api+json"}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs one async test against a fresh API."""

    def _run(test: Callable[[Api], Awaitable[None]]) -> None:
        async def _with_api() -> None:
            async with api_in(tmp_path) as api:
                await test(api)

        asyncio.run(_with_api())

    return _run


def _error(answer: httpx.Response) -> dict[str, Any]:
    """The first error object, which must be well-formed."""
    assert answer.headers["content-type"] == "application/vnd.api+json"
    error: dict[str, Any] = answer.json()["errors"][0]
    assert error["status"] == str(answer.status_code)
    assert error["code"]
    assert error["title"]
    assert error["detail"]
    assert "Traceback" not in answer.text
    return error


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer "}]
)
def test_without_a_good_token_there_is_a_challenge(run: Run, headers: dict[str, str]) -> None:
    """401 with WWW-Authenticate, before the body is looked at."""

    async def test(api: Api) -> None:
        api.client.headers.pop("authorization")
        answer = await api.client.post("/api/v1/organization", content=b"{", headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert _error(answer)["code"] == "unauthorized"
        assert "wrong" not in answer.text

    run(test)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b'{"data": "\xff"}', 400),
        (b'{"data": {"type": "\\ud800"}}', 400),
        (b"[" * 100_000, 400),
        (b'{"data":' * 3000 + b"1" + b"}" * 3000, 400),
        (b"[]", 400),
        (b"null", 400),
        (b"NaN", 400),
        (b"{}", 400),
        (b'{"data": []}', 400),
        (b'{"data": {}}', 422),
        (b'{"data": {"type": "workspace", "attributes": {"name": "x"}}}', 422),
        (b'{"data": {"type": "organization", "attributes": {"name": 1' + b"0" * 5000 + b"}}}", 400),
        (b'{"data": {"type": "organization", "attributes": {"name": 1' + b"0" * 30 + b"}}}", 422),
        (b'{"data": {"type": "organization", "attributes": {"name": "a\\u0000b"}}}', 422),
        (b'{"data": {"type": "organization", "attributes": {"name": null}}}', 422),
        (b'{"data": {"type": "organization", "attributes": {"name": "x", "disabled": true}}}', 422),
    ],
)
def test_a_malformed_document_is_refused(run: Run, body: bytes, status: int) -> None:
    """400 for what is no document, 422 for a field; nothing is made of it."""

    async def test(api: Api) -> None:
        answer = await api.client.post("/api/v1/organization", content=body, headers=JSON)
        assert answer.status_code == status
        _error(answer)
        assert (await api.client.get("/api/v1/organization")).json()["data"] == []

    run(test)


def test_a_wrong_content_type_is_refused(run: Run) -> None:
    """415 says what is taken; a parameter of the right type is no harm."""

    async def test(api: Api) -> None:
        body = b'{"data": {"type": "organization", "attributes": {"name": "x"}}}'
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
            answer = await api.client.post("/api/v1/organization", content=body, headers={"Content-Type": kind})
            assert answer.status_code == 415
            assert _error(answer)["source"] == {"header": "Content-Type"}
        packed = await api.client.post(
            "/api/v1/organization", content=body, headers=JSON | {"Content-Encoding": "gzip"}
        )
        assert packed.status_code == 415
        charset = {"Content-Type": "application/json; charset=utf-8"}
        assert (await api.client.post("/api/v1/organization", content=body, headers=charset)).status_code == 201

    run(test)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nope", 404),
        ("GET", "/api/v1/organization/../../etc/passwd", 404),
        ("GET", "/api/v1/organization/%00", 404),
        ("GET", "/api/v1/organization/b%C3%BCro%2F..%2Fx", 404),
        ("GET", "/api/v1/organization/%FF", 404),
        ("GET", f"/api/v1/organization/{'x' * 5000}", 404),
        ("PUT", "/api/v1/organization", 405),
        ("TRACE", "/api/v1/organization", 405),
    ],
)
def test_paths_that_lead_nowhere(run: Run, method: str, path: str, status: int) -> None:
    """404 or 405 as an error object."""

    async def test(api: Api) -> None:
        answer = await api.client.request(method, path)
        assert answer.status_code == status
        _error(answer)

    run(test)


@pytest.mark.parametrize("job", ["0", "-1", "1.5", "\u0663", "9" * 18, "9" * 40, "run-x", "%00", "' OR 1=1"])
def test_a_job_reference_that_is_none_is_not_found(run: Run, job: str) -> None:
    """However it looks, a job that does not exist answers 404."""

    async def test(api: Api) -> None:
        workspace = await api.workspace()
        answer = await api.client.get(f"{workspace.partition('/workspace/')[0]}/job/{job}")
        assert answer.status_code == 404
        _error(answer)

    run(test)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "b\u00fcro/../x"),
        ("name", ""),
        ("name", "x" * 91),
        ("name", ".."),
        ("name", "a b"),
        ("name", "a\nb"),
        ("folder", "../x"),
        ("folder", "a\\b"),
        ("iacType", "pulumi"),
        ("terraformVersion", "one"),
        ("terraformVersion", "0.12.1"),
        ("executionMode", "agent"),
        ("defaultTemplate", "none"),
        ("description", "x" * 4001),
        ("source", "x" * 2001),
        ("branch", "x" * 256),
        ("autoApply", "true"),
    ],
)
def test_a_bad_workspace_field_is_named(run: Run, field: str, value: str) -> None:
    """422, with a pointer to the field, on creation and on change."""

    async def test(api: Api) -> None:
        workspace = await api.workspace()
        attributes = {"name": "fresh", field: value}
        made = await api.client.post(workspace.rpartition("/")[0], json=document("workspace", attributes))
        changed = await api.client.patch(workspace, json=document("workspace", {field: value}))
        for answer in (made, changed):
            assert answer.status_code == 422
            assert _error(answer)["source"] == {"pointer": f"/data/attributes/{field}"}

    run(test)


@pytest.mark.parametrize(
    ("attributes", "field"),
    [
        ({"key": "a b"}, "key"),
        ({"key": "PATH", "category": "ENV"}, "key"),
        ({"key": "A", "category": "ENV", "value": "a\0b"}, "value"),
        ({"key": "A", "category": "ENV", "value": "x" * 131_072}, "value"),
        ({"key": "A", "value": "x" * (4 * 1024**2 + 1)}, "value"),
        ({"key": "EPHEMERAL_X"}, "category"),
        ({"key": "TERRAKUBE_ENABLE_EPHEMERAL_EXECUTOR", "category": "ENV", "value": "perhaps"}, "value"),
        ({}, "key"),
    ],
)
def test_a_bad_variable_field_is_named(run: Run, attributes: dict[str, Any], field: str) -> None:
    """422, with a pointer to the field."""

    async def test(api: Api) -> None:
        workspace = await api.workspace()
        answer = await api.client.post(f"{workspace}/variable", json=document("variable", attributes))
        assert answer.status_code == 422
        assert _error(answer)["source"] == {"pointer": f"/data/attributes/{field}"}

    run(test)


def test_a_bad_address_is_named_by_its_place(run: Run) -> None:
    """The pointer leads to the one address of the list."""

    async def test(api: Api) -> None:
        workspace = await api.workspace()
        asked = document("job", {"targetAddrs": ["a.b", "-lock=false"]})
        asked["data"]["relationships"] = {"workspace": {"data": {"type": "workspace", "id": workspace.split("/")[-1]}}}
        answer = await api.client.post(f"{workspace.partition('/workspace/')[0]}/job", json=asked)
        assert answer.status_code == 422
        assert _error(answer)["source"] == {"pointer": "/data/attributes/targetAddrs/1"}
        del asked["data"]["relationships"]
        answer = await api.client.post(f"{workspace.partition('/workspace/')[0]}/job", json=asked)
        assert _error(answer)["source"] == {"pointer": "/data/relationships"}

    run(test)


def test_a_taken_name_is_a_conflict(run: Run) -> None:
    """409 for a second workspace, variable or organization of the same name, and for a foreign id."""

    async def test(api: Api) -> None:
        workspace = await api.workspace("w")
        await api.create(f"{workspace}/variable", "variable", {"key": "k"})
        again = await api.client.post(workspace.rpartition("/")[0], json=document("workspace", {"name": "w"}))
        twice = await api.client.post(f"{workspace}/variable", json=document("variable", {"key": "k"}))
        wrong = await api.client.patch(workspace, json=document("workspace", {}, id=new_id("workspace")))
        for answer in (again, twice, wrong):
            assert (answer.status_code, _error(answer)["code"]) == (409, "conflict")

    run(test)


def test_our_own_failure_says_nothing_of_its_inside(tmp_path: Path) -> None:
    """500 as an error object without a word of the exception; readiness names the part that fails."""

    async def test() -> None:
        async with api_in(tmp_path) as api:
            transport = httpx.ASGITransport(api.app, raise_app_exceptions=False)
            headers = bearer(ADMIN)
            async with httpx.AsyncClient(transport=transport, base_url="http://podform", headers=headers) as client:
                async with api.ports.database.writing() as tx:
                    await tx._connection.exec_driver_sql("ALTER TABLE organizations RENAME TO gone")  # type: ignore[attr-defined]  # breaks it on purpose
                answer = await client.get("/api/v1/organization")
                assert (answer.status_code, _error(answer)["code"]) == (500, "internal")
                assert "gone" not in answer.text
                assert (await client.get("/readyz")).status_code == 200
                async with api.ports.database.writing() as tx:
                    await tx._connection.exec_driver_sql("ALTER TABLE tokens RENAME TO gone_too")  # type: ignore[attr-defined]  # breaks it on purpose
                ready = await client.get("/readyz")
                assert (ready.status_code, ready.json()["ready"]) == (503, False)
                assert "database" in ready.json()["parts"]
                assert (await client.get("/healthz")).text == "ok\n"

    asyncio.run(test())


def test_a_failing_check_makes_it_not_ready(tmp_path: Path) -> None:
    """What the composition root finds wrong is named."""

    async def test() -> None:
        async with api_in(tmp_path) as api:
            app = Starlette(routes=public.routes(api.ports, {"scheduler": lambda: "has stopped"}))
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://podform") as client:
                ready = await client.get("/readyz")
                assert ready.status_code == 503
                assert ready.json()["parts"] == {"database": "ok", "scheduler": "has stopped"}

    asyncio.run(test())


def test_metrics_count_by_template_and_never_by_path(run: Run) -> None:
    """Requests stand under their route's template, runs under their status; ids appear nowhere."""

    async def test(api: Api) -> None:
        workspace = await api.workspace()
        await api.client.get(workspace)
        await api.client.get("/wp-login.php")
        text = (await api.client.get("/metrics", headers={"Authorization": ""})).text
        route = "/api/v1/organization/{organization_id}/workspace/{workspace_id}"
        assert f'podform_http_requests_total{{method="GET",route="{route}",status="200"}} 1.0' in text
        assert 'route="unmatched",status="404"} 1.0' in text
        assert 'podform_runs{status="applied"} 0.0' in text
        assert workspace.rpartition("/")[2] not in text
        assert "wp-login" not in text

    run(test)


def test_a_body_of_300_mb_is_refused_without_being_kept(tmp_path: Path) -> None:
    """413 by its announced length before a byte is sent, and in the middle of one that announces nothing."""

    async def test() -> None:
        async with api_in(tmp_path, max_configuration_bytes=1024**2) as api, listening(api.app) as url:
            workspace = await api.workspace()
            fresh = await api.create(f"{workspace}/configuration", "configuration")
            content = f"{fresh['links']['self']}/content"
            async with httpx.AsyncClient(base_url=url, headers=bearer(ADMIN), trust_env=False) as client:
                before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
                for path, method in ((content, "PUT"), ("/api/v1/organization", "POST")):
                    answer = await client.request(method, path, content=_long(300), headers=JSON)
                    assert (answer.status_code, _error(answer)["code"]) == (413, "too_large")
                assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024  # KiB
            announced = await _announce(url, content, 300 * 1024**2)
            assert b" 413 " in announced.partition(b"\r\n")[0]
            read = await api.client.get(fresh["links"]["self"])
            assert read.json()["data"]["attributes"]["status"] == "pending"

    asyncio.run(test())


async def _long(megabytes: int) -> AsyncIterator[bytes]:
    """A body that does not announce its length."""
    for _ in range(megabytes):
        yield bytes(1024**2)


async def _announce(url: str, path: str, length: int) -> bytes:
    """The answer to a request that announces a body and never sends it."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"PUT {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN}\r\nContent-Length: {length}\r\n\r\n"
    writer.write(head.encode())
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
    writer.close()
    return answer

"""Logs and states over HTTP: raw bytes by offset, waiting, server-sent events that resume, states as written."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.domain.entities import StateVersion
from api.services.receive_state import state_key
from common.ids import attempt_name, new_id
from common.step_report import Outcome, StepReport
from tests.integration.api_in_process import ADMIN, Api, api_in, bearer, listening

Event = tuple[str, str, str]
HOSTILE = b"\x00\xff\xfe gr\xc3\xbcn \xe2\x82\xac\nid: 7\ndata: x\n\nevent: end\n\x1b[31m half\xe2\x82"
DONE = StepReport(outcome=Outcome.FINISHED, has_changes=False)


def _run(tmp_path: Path, test: Callable[[Api], Awaitable[None]]) -> None:
    async def _with_api() -> None:
        async with api_in(tmp_path) as api:
            await test(api)

    asyncio.run(_with_api())


async def _running(api: Api) -> tuple[dict[str, Any], str, str]:
    """A job with a running step: job, step id, path of the log."""
    workspace = await api.workspace()
    await api.uploaded(workspace)
    job = await api.job(workspace)
    step_id = await api.running_step(job)
    base = workspace.partition("/workspace/")[0].removeprefix("/api/v1")
    return job, step_id, f"/tfoutput/v1{base}/job/{job['id']}/step/{step_id}"


async def _append(api: Api, step_id: str, content: bytes) -> None:
    name = attempt_name(step_id, 1)
    await api.ports.logs.append(name, await api.ports.logs.size(name), content)
    api.ports.bells.ring(f"step:{step_id}")


def _events(text: str) -> list[Event]:
    """(id, event, text) of each event, read as the standard says."""
    found: list[Event] = []
    for block in text.split("\n\n"):
        lines = [line for line in block.split("\n") if line and not line.startswith(":")]
        fields = [(name, value.removeprefix(" ")) for name, _, value in (line.partition(":") for line in lines)]
        if fields:
            data = "\n".join(value for name, value in fields if name == "data")
            found.append((dict(fields).get("id", ""), dict(fields).get("event", "message"), data))
    return found


def test_raw_bytes_come_back_as_they_were_written(tmp_path: Path) -> None:
    """NUL and invalid UTF-8 included, whole or in parts, with the offset to go on at and the end."""

    async def test(api: Api) -> None:
        job, step_id, path = await _running(api)
        await _append(api, step_id, HOSTILE)
        answer = await api.client.get(path)
        assert answer.content == HOSTILE
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert (answer.headers["x-podform-log-next"], answer.headers["x-podform-log-end"]) == (
            str(len(HOSTILE)),
            "false",
        )
        part = await api.client.get(path, params={"offset": 2, "limit": 3})
        assert (part.content, part.headers["x-podform-log-next"]) == (HOSTILE[2:5], "5")
        beyond = await api.client.get(path, params={"offset": 10_000})
        assert (beyond.content, beyond.headers["x-podform-log-next"]) == (b"", "10000")
        await api.finish(job, step_id, DONE)
        ended = await api.client.get(path, params={"offset": 5, "wait": 20})
        assert (ended.content, ended.headers["x-podform-log-end"]) == (HOSTILE[5:], "true")
        cut = await api.client.get(path, params={"limit": 5})
        assert cut.headers["x-podform-log-end"] == "false"
        assert (await api.client.head(path)).content == b""

    _run(tmp_path, test)


def test_a_long_log_comes_whole(tmp_path: Path) -> None:
    """Without a limit all of it is answered, however many pieces that takes."""

    async def test(api: Api) -> None:
        _, step_id, path = await _running(api)
        content = b"".join(b"line %d\n" % number for number in range(200_000))
        await _append(api, step_id, content)
        answer = await api.client.get(path)
        assert hashlib.sha256(answer.content).digest() == hashlib.sha256(content).digest()
        assert answer.headers["content-length"] == answer.headers["x-podform-log-next"] == str(len(content))

    _run(tmp_path, test)


@pytest.mark.parametrize(
    "query", ["offset=-1", "offset=x", f"offset={2**63}", "limit=0", "wait=31", "wait=nan", "wait=inf", "wait=-1"]
)
def test_a_place_that_is_none_is_refused(tmp_path: Path, query: str) -> None:
    """422 names the parameter."""

    async def test(api: Api) -> None:
        _, _, path = await _running(api)
        answer = await api.client.get(f"{path}?{query}")
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["source"] == {"parameter": query.partition("=")[0]}

    _run(tmp_path, test)


def test_the_largest_offset_is_only_beyond_the_end(tmp_path: Path) -> None:
    """Nothing is there, and nothing breaks."""

    async def test(api: Api) -> None:
        job, step_id, path = await _running(api)
        await _append(api, step_id, b"x")
        await api.finish(job, step_id, DONE)
        answer = await api.client.get(path, params={"offset": 2**53 - 1})
        assert (answer.status_code, answer.content) == (200, b"")

    _run(tmp_path, test)


def test_a_waiting_reader_is_answered_when_bytes_come(tmp_path: Path) -> None:
    """`wait` holds the answer until then, not until its time is over."""

    async def test(api: Api) -> None:
        _, step_id, path = await _running(api)
        waiting = asyncio.create_task(api.client.get(path, params={"wait": 30}))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await _append(api, step_id, b"now\n")
        assert (await asyncio.wait_for(waiting, 20)).content == b"now\n"

    _run(tmp_path, test)


def test_events_give_the_exact_text_back(tmp_path: Path) -> None:
    """Joined they are the log with U+FFFD for what is no text; ids are byte offsets; `end` comes last."""

    async def test(api: Api) -> None:
        job, step_id, path = await _running(api)
        content = HOSTILE + b"\n" + b"".join(b"line %d \xe2\x82\xac\n" % number for number in range(9_000))
        await _append(api, step_id, content)
        await api.finish(job, step_id, DONE)
        answer = await api.client.get(f"{path}/stream")
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = _events(answer.text)
        assert "".join(text for _, kind, text in events if kind == "message") == content.decode("utf-8", "replace")
        assert events[-1] == (str(len(content)), "end", str(len(content)))
        assert len(events) > 3
        for number, (offset, _, _) in enumerate(events[:-1]):
            resumed = _events((await api.client.get(f"{path}/stream", headers={"Last-Event-ID": offset})).text)
            assert resumed[-1] == events[-1]
            assert "".join(text for _, kind, text in resumed if kind == "message") == "".join(
                text for _, kind, text in events[number + 1 :] if kind == "message"
            )
        for bad in ("x", "-1", "9" * 30, "\u00b2"):
            header = httpx.Headers({"Last-Event-ID": bad}, encoding="latin-1")
            refused = await api.client.get(f"{path}/stream", headers=header)
            assert refused.status_code == 422
            assert refused.json()["errors"][0]["source"] == {"header": "Last-Event-ID"}

    _run(tmp_path, test)


def test_a_follower_reads_along_and_resumes(tmp_path: Path) -> None:
    """Over a real server: what is written arrives while the step runs, again from the last id, to the end."""

    async def test(api: Api) -> None:
        job, step_id, path = await _running(api)
        async with (
            listening(api.app) as url,
            httpx.AsyncClient(base_url=url, headers=bearer(ADMIN), timeout=20, trust_env=False) as client,
        ):
            await _append(api, step_id, b"one\n")
            async with client.stream("GET", f"{path}/stream") as stream:
                text = ""
                async for chunk in stream.aiter_text():
                    text += chunk
                    if "two" in text:
                        break
                    await _append(api, step_id, b"two\n")
            last = _events(text)[-1][0]
            await _append(api, step_id, b"three\n")
            following = asyncio.create_task(client.get(f"{path}/stream", headers={"Last-Event-ID": last}))
            await asyncio.sleep(0.05)
            await api.finish(job, step_id, DONE)
            rest = _events((await following).text)
            read = _events(text) + rest
            whole = await api.ports.logs.read(attempt_name(step_id, 1), 0, 10_000)
            assert "".join(part for _, kind, part in read if kind == "message") == whole.decode()
            assert rest[-1][1] == "end"

    _run(tmp_path, test)


def test_states_come_back_as_terraform_wrote_them(tmp_path: Path) -> None:
    """The newest and each version byte for byte; 404 while there is none."""

    async def test(api: Api) -> None:
        workspace = await api.workspace()
        base = f"/tfstate/v1{workspace.removeprefix('/api/v1')}/state"
        assert (await api.client.get(f"{base}/terraform.tfstate")).status_code == 404
        versions = []
        for serial in (1, 2):
            content = b'{"serial": %d,  "lineage": "l"}\n' % serial
            version = StateVersion(
                id=new_id("state_version"),
                workspace_id=workspace.rpartition("/")[2],
                serial=serial,
                lineage="l",
                md5=hashlib.md5(content, usedforsecurity=False).hexdigest(),
                size=len(content),
                created_at=api.ports.clock(),
            )
            await api.ports.artifacts.put(state_key(version.workspace_id, version.id), content)
            async with api.ports.database.writing() as tx:
                await tx.add(version)
            versions.append((version, content))
        assert (await api.client.get(f"{base}/terraform.tfstate")).content == versions[1][1]
        assert (await api.client.get(f"{base}/{versions[0][0].id}.json")).content == versions[0][1]
        history = (await api.client.get(f"{workspace}/history")).json()["data"]
        assert [item["attributes"]["serial"] for item in history] == [2, 1]
        assert (await api.client.get(history[0]["attributes"]["output"])).content == versions[1][1]
        one = (await api.client.get(history[1]["links"]["self"])).json()["data"]
        assert one["attributes"]["md5"] == versions[0][0].md5

    _run(tmp_path, test)

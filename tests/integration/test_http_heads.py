"""Heads of requests are bounded: a stranger cannot fill the memory of the API with them."""

import asyncio
import contextlib
import socket
from collections.abc import Iterable

import httpx
import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.http_protocol import MAX_HEAD_BYTES, BoundedHttpProtocol

MUCH = 64 * 1024**2


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the length of the body."""
    body = await Request(scope, receive).body()
    await Response(str(len(body)))(scope, receive, send)


def exchange(parts: Iterable[bytes]) -> tuple[int, bytes]:
    """What a server takes of a request sent in parts, and its answer."""

    async def story() -> tuple[int, bytes]:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            config = uvicorn.Config(application, http=BoundedHttpProtocol, log_config=None, lifespan="off")
            server = uvicorn.Server(config)
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            while not server.started:  # noqa: ASYNC110 - uvicorn offers nothing else to wait for
                await asyncio.sleep(0.01)
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            sent = 0
            with contextlib.suppress(ConnectionError):
                for part in parts:
                    writer.write(part)
                    await writer.drain()
                    sent += len(part)
            answer = b""
            with contextlib.suppress(ConnectionError):
                answer = await asyncio.wait_for(reader.read(4096), 10)
            async with httpx.AsyncClient() as client:  # it serves on
                again = await client.post(f"http://127.0.0.1:{listener.getsockname()[1]}/", content=bytes(10**6))
                assert again.text == "1000000"
            writer.close()
            server.should_exit = True
            await serving
            return sent, answer

    return asyncio.run(story())


def endless(first: bytes, part: bytes) -> Iterable[bytes]:
    """A beginning, and then the same again and again."""
    yield first
    for _ in range(MUCH // len(part)):
        yield part


@pytest.mark.parametrize(
    ("first", "part"),
    [
        (b"GET / HTTP/1.1\r\nX: ", b"a" * 65536),
        (b"GET /", b"a" * 65536),
        (b"GET / HTTP/1.1\r\n", b"a: b\r\n" * 10_000),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"a: b\r\n" * 10_000),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x" * 65536),
    ],
    ids=["one-header", "target", "many-headers", "trailers", "chunk-extension"],
)
def test_an_endless_head_is_cut(first: bytes, part: bytes) -> None:
    """After some kilobytes the connection is closed, and others are served on."""
    sent, answer = exchange(endless(first, part))
    assert sent < MUCH / 2
    assert answer == b"" or answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 431"))


def test_heads_and_bodies_as_they_are_pass() -> None:
    """A head of many pieces, a body of many chunks, two requests on one connection."""
    head = b"POST / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * (MAX_HEAD_BYTES // 2)
    body = b"\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 50_000 + b"0\r\n\r\n"
    _, answer = exchange([head[:10], head[10:], body])
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"50000")

"""The command line's connection against a server that fails in every way a network can."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from cli.api_client import ApiClient
from cli.connection import Connection, Request, is_loopback
from cli.errors import ApiRefusedError, CommandError
from cli.exit_codes import ExitCode

Answer = Callable[[socket.socket], None]


def _sends(data: bytes) -> Answer:
    return lambda connection: connection.sendall(data)


def _response(status: int, body: bytes = b"", length: int | None = None, **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} -", f"Content-Length: {len(body) if length is None else length}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _resets(connection: socket.socket) -> None:
    # linger 0: close sends a reset instead of an orderly end
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


@contextmanager
def _server(*answers: Answer) -> Iterator[tuple[str, list[bytes]]]:
    """A server on loopback that gives one answer per connection; its URL and the requests it got."""
    requests: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(30)

        def serve() -> None:
            for answer in answers:
                connection, _ = listening.accept()
                with connection:
                    requests.append(connection.recv(65536))
                    answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", requests
        thread.join(30)
    assert not thread.is_alive(), "not every answer was asked for"


def _connection(url: str, said: list[str], seconds: float = 30) -> Connection:
    return Connection(url, "token", say=said.append, first_seconds=seconds, patience_seconds=seconds)


@pytest.mark.parametrize(
    "failure",
    [
        _sends(b""),
        _resets,
        _sends(_response(503)),
        _sends(_response(502, b"<html>")),
        _sends(_response(429)),
        _sends(b"HTTP/1.1 2"),
        _sends(_response(200, b"half", length=8)),
    ],
    ids=["closed", "reset", "503", "502", "429", "cut in the head", "cut in the body"],
)
def test_a_request_is_repeated_until_it_is_answered(failure: Answer) -> None:
    """Whatever cuts an answer off, the same request is sent again, and one line says so, another that it is over."""
    said: list[str] = []
    with (
        _server(failure, failure, _sends(_response(200, b"whole"))) as (url, requests),
        closing(_connection(url, said)) as connection,
    ):
        assert connection.send(Request("GET", "/x")).content == b"whole"
    assert len(set(requests)) == 1
    assert ["does not answer" in line for line in said] == [True, False]
    assert "answers again" in said[1]


def test_a_log_has_no_gap_and_no_repeat_across_failures() -> None:
    """A part that was cut is not counted: the same offset is asked for again."""
    part = _response(200, b"abcd", X_Podform_Log_Next="14", X_Podform_Log_End="true")
    with (
        _server(_sends(part[:-2]), _sends(part)) as (url, requests),
        closing(_connection(url, [])) as connection,
    ):
        got = ApiClient(connection).log("org-1", "7", "step-1", offset=10, wait_seconds=1)
    assert (got.data, got.following, got.at_end) == (b"abcd", 14, True)
    assert all(b"offset=10&wait=1" in request for request in requests)


def test_a_refusal_is_not_repeated() -> None:
    """An error of the API is told in the API's own words, at once."""
    body = b'{"errors": [{"status": "422", "detail": "name: is empty"}, {"title": "Unprocessable"}]}'
    with (
        _server(_sends(_response(422, body))) as (url, _),
        closing(_connection(url, [])) as connection,
        pytest.raises(ApiRefusedError, match=r"^name: is empty; Unprocessable$") as raised,
    ):
        connection.send(Request("POST", "/x", document={}))
    assert raised.value.exit_code is ExitCode.USAGE


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [(401, b"", "PODFORM_TOKEN"), (404, b"<html>", "answered 404 to GET /x"), (500, b"[]", "answered 500")],
)
def test_a_refusal_without_words_gets_some(status: int, body: bytes, words: str) -> None:
    """A bad token names its variable; an answer that is no error document names the request."""
    with (
        _server(_sends(_response(status, body))) as (url, _),
        closing(_connection(url, [])) as connection,
        pytest.raises(ApiRefusedError, match=words),
    ):
        connection.send(Request("GET", "/x"))


def test_nobody_there_ends_with_the_url_and_its_variable() -> None:
    """When patience ends, the error names the URL, PODFORM_URL and the reason."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with (
        closing(_connection(f"http://127.0.0.1:{port}", [], seconds=0)) as connection,
        pytest.raises(CommandError, match=f"127.0.0.1:{port}.*PODFORM_URL") as raised,
    ):
        connection.send(Request("GET", "/x"))
    assert raised.value.exit_code is ExitCode.UNREACHABLE


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "127.0.0.1:8080", "nonsense", ""])
def test_a_url_that_is_none_is_not_retried(url: str) -> None:
    """A malformed PODFORM_URL is refused by its name."""
    with closing(_connection(url, [])) as connection, pytest.raises(CommandError, match="PODFORM_URL"):
        connection.send(Request("GET", "/x"))


@pytest.mark.parametrize(
    ("url", "local"),
    [("http://127.0.0.1:1", True), ("http://localhost", True), ("http://[::1]:1", True), ("https://a.example", False)],
)
def test_loopback(url: str, local: bool) -> None:
    """Only this machine itself is reached past a proxy of the environment."""
    assert is_loopback(url) is local


def test_a_proxy_is_not_asked_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """An API on loopback is reached directly, whatever proxy is named."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with _server(_sends(_response(200))) as (url, _), closing(_connection(url, [])) as connection:
        assert connection.send(Request("GET", "/x")).status_code == 200

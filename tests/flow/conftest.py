"""Fixtures of the flow tests: real servers that are ended with their test."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from tests.flow.server import ApiProcess, Client


@dataclass
class Started:
    """A server with a client that has an organization."""

    api: ApiProcess
    client: Client


class StartServer(Protocol):
    """Starts a server; settings by their environment names."""

    def __call__(self, settings: Mapping[str, str] | None = None) -> Started: ...


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[StartServer]:
    """A factory of servers, each on a data directory of its own."""
    started: list[Started] = []

    def start(settings: Mapping[str, str] | None = None) -> Started:
        api = ApiProcess(tmp_path / f"data-{len(started)}", settings or {}).start()
        server = Started(api, Client(api.url))
        started.append(server)
        server.client.make_organization()
        return server

    yield start
    for server in started:
        server.client.http.close()
        server.api.end()

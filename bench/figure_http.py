"""The public API under load: reading a run, a page of workspaces, durable creations; and lists of a large table.

The load comes from a process of its own (bench/load/requests.py), over connections that stay open.
"""

import json
from typing import Any, Self

from bench.crowd import Requests
from bench.fill import Filling, fill
from bench.stage import THREE_RESOURCES, Stage
from bench.table import Row, median, percentile

WORKSPACES = 1_000
SECONDS = 3.0
CONNECTIONS = 8


class HttpRates:
    """Each round: runs are read, workspaces are listed, runs of a locked workspace are created."""

    name = "http"

    def __init__(self) -> None:
        self._stage = Stage()
        self._rates: dict[str, list[float]] = {"get": [], "page": [], "create": []}
        self._times: dict[str, list[float]] = {"get": [], "page": [], "create": []}

    def __enter__(self) -> Self:
        self._stage.__enter__()
        client = self._stage.client
        self._workspace = self._stage.workspace("written", THREE_RESOURCES)
        locked = {"locked": True, "lockDescription": "its runs only wait"}
        body = {"data": {"type": "workspace", "id": self._workspace, "attributes": locked}}
        client.ok("PATCH", client.path(f"workspace/{self._workspace}"), json=body)
        self._stage.api.stop()
        filling = Filling(
            organization_id=client.organization, workspaces=WORKSPACES, runs=WORKSPACES, ended=True, first_number=1
        )
        fill(database_url(self._stage), filling)
        self._stage.api.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stage.__exit__()

    def round(self) -> None:
        client = self._stage.client
        runs = [client.path(f"job/{number}") for number in range(1, WORKSPACES + 1)]
        pages = [client.path(f"workspace?page[number]={page}&page[size]=20") for page in range(1, 51)]
        self._send("get", runs)
        self._send("page", pages)
        relationships = {"workspace": {"data": {"type": "workspace", "id": self._workspace}}}
        new = {"data": {"type": "job", "attributes": {}, "relationships": relationships}}
        self._send("create", [client.path("job")], method="POST", bodies=[json.dumps(new)])

    def rows(self) -> list[Row]:
        about = {
            "get": ("GET of a run, authenticated, 1 worker", 600),
            "page": ("page of 20 out of 1,000 workspaces, authenticated, 1 worker", 200),
            "create": ("durable creations of runs", 150),
        }
        return [
            Row(
                figure=text,
                value=median(self._rates[name]),
                unit="/s",
                bar=bar,
                more_is_better=True,
                note=f"{CONNECTIONS} connections; p50 {median(self._times[name]):.1f}, "
                f"p99 {percentile(self._times[name], 99):.1f} ms",
            )
            for name, (text, bar) in about.items()
        ]

    def _send(self, name: str, targets: list[str], **options: Any) -> None:
        result = Requests(self._stage.api.url, targets, connections=CONNECTIONS, seconds=SECONDS, **options).result()
        assert set(result["statuses"]) <= {"200", "201"}, result["statuses"]
        self._rates[name].append(result["requests"] / result["seconds"])
        self._times[name] += result["milliseconds"]


class ListCost:
    """Each round reads the same lists of two servers: one with 1,000 ended runs, one with 100,000."""

    name = "list"
    sizes = (1_000, 100_000)

    def __init__(self) -> None:
        self._stages = {size: Stage() for size in self.sizes}
        self._times: dict[tuple[str, int], list[float]] = {}

    def __enter__(self) -> Self:
        for size, stage in self._stages.items():
            stage.__enter__()
            stage.api.stop()
            filling = Filling(organization_id=stage.client.organization, workspaces=100, runs=size, ended=True)
            self._workspace = fill(database_url(stage), filling)[0]
            stage.api.start()
        return self

    def __exit__(self, *_: object) -> None:
        for stage in self._stages.values():
            stage.__exit__()

    def round(self) -> None:
        for size, stage in self._stages.items():
            lists = {
                "the organization's newest 20 runs": [stage.client.path("job?page[size]=20")],
                "a run": [stage.client.path(f"job/{number}") for number in range(1, 1001)],
            }
            for name, targets in lists.items():
                result = Requests(stage.api.url, targets, connections=1, seconds=1.0).result()
                assert set(result["statuses"]) == {"200"}, result["statuses"]
                self._times.setdefault((name, size), []).append(median(result["milliseconds"]))

    def rows(self) -> list[Row]:
        few, many = self.sizes
        names = {name for name, _ in self._times}
        return [
            Row(
                figure=f"reading {name}: {many:,} runs in the table against {few:,}",
                value=median(self._times[name, many]) / median(self._times[name, few]),
                unit="x",
                bar=1.3,
                note=f"{median(self._times[name, few]):.2f} ms and {median(self._times[name, many]):.2f} ms",
            )
            for name in sorted(names)
        ]


def database_url(stage: Stage) -> str:
    """SQLAlchemy's URL of a stage's database."""
    return f"sqlite+aiosqlite:///{stage.api.data_dir / 'podform.db'}"

"""A real server as its operator sees it: its log lines, its probes, its end."""

import json
import signal
import threading
import time
from pathlib import Path
from typing import Any

import httpx

from tests.flow import ledger
from tests.flow.conftest import StartServer
from tests.flow.server import ADMIN_TOKEN, ApiProcess

FOLLOWERS = 50


def lines(api: ApiProcess) -> list[dict[str, Any]]:
    """The log lines so far; everything but the two lines for the starter is JSON."""
    texts = [line for line in api.output().splitlines() if line and not line.startswith("podform: ")]
    return [json.loads(line) for line in texts]


def test_every_line_is_json_and_bears_the_ids(start_server: StartServer, tmp_path: Path) -> None:
    """A run leaves one line per request and per step, with the ids, and no secret among them."""
    server = start_server({"PODFORM_LOG_FORMAT": "json", "PODFORM_LOG_LEVEL": "debug"})
    client = server.client
    workspace = client.make_workspace()
    client.set_variable(workspace, "secret", "canary-of-a-value", sensitive=True)
    client.upload(workspace, {"main.tf": 'variable "secret" {}\n'}, tmp_path / "tf")
    number = client.run(workspace)
    client.finished(number)
    answer = client.call("GET", f"{client.path(f'job/{number}')}?canary=of-a-query", headers={"X-Request-Id": "mine-1"})
    odd = client.call("GET", "/api/v1/organization", headers={"X-Request-Id": "two words"})
    server.api.stop()

    told = lines(server.api)
    requests = [line for line in told if line["event"] == "request"]
    steps = [line for line in told if line["event"] == "step"]
    assert answer.headers["X-Request-Id"] == "mine-1"
    assert odd.headers["X-Request-Id"] not in {"", "two words"}
    (mine,) = [line for line in requests if line["request_id"] == "mine-1"]
    assert (mine["principal"], mine["job"], mine["organization_id"]) == ("admin", number, client.organization)
    assert mine["route"] == "/api/v1/organization/{organization_id}/job/{job}"
    finish = next(line for line in requests if line["route"].endswith("/finish"))
    (step,) = steps
    assert (step["outcome"], step["kind"], step["run_number"]) == ("finished", "terraformPlan", int(number))
    assert 0 < step["terraform_seconds"] <= step["work_seconds"] <= step["total_seconds"]
    assert finish["attempt"] == f"{step['step_id']}-1"
    assert (step["run_id"], step["request_id"]) == (finish["run_id"], finish["request_id"])
    assert {line["level"] for line in requests if line["route"] == "/readyz"} == {"debug"}
    text = server.api.output()
    assert not [word for word in ("canary", ADMIN_TOKEN, "pfa-", "Bearer") if word in text]


def test_a_run_is_seen_in_the_figures(start_server: StartServer, tmp_path: Path) -> None:
    """Each step of a run is counted by kind and outcome, with its times; who has not the token sees nothing."""
    server = start_server({"PODFORM_METRICS_TOKEN": "token-of-the-figures"})
    client = server.client
    workspace = client.make_workspace()
    client.upload(workspace, {"main.tf": 'resource "terraform_data" "x" {}\n'}, tmp_path / "tf")
    assert client.finished(client.run(workspace))["runStatus"] == "applied"

    assert httpx.get(f"{server.api.url}/metrics").status_code == 401
    answer = httpx.get(f"{server.api.url}/metrics", headers={"Authorization": "Bearer token-of-the-figures"})

    figures = dict(line.rsplit(" ", 1) for line in answer.text.splitlines() if not line.startswith("#"))
    for kind in ("terraformPlan", "terraformApply"):
        assert figures[f'podform_steps_total{{kind="{kind}",outcome="finished",reason=""}}'] == "1.0"
        assert figures[f'podform_step_seconds_count{{kind="{kind}",outcome="finished"}}'] == "1.0"
        assert float(figures[f'podform_step_seconds_sum{{kind="{kind}",outcome="finished"}}']) > 0
        assert figures[f'podform_step_queue_seconds_count{{kind="{kind}"}}'] == "1.0"
    assert figures['podform_step_start_seconds_count{launcher="process"}'] == "2.0"
    assert figures['podform_claim_seconds_count{outcome="granted"}'] == "2.0"
    assert float(figures["podform_log_bytes_total"]) > 100
    assert float(figures["podform_state_versions_total"]) >= 1
    assert float(figures['podform_transaction_seconds_count{kind="writing",outcome="committed"}']) > 5
    assert float(figures['podform_artifact_request_seconds_count{operation="put",outcome="done"}']) >= 3
    assert float(figures['podform_scheduler_round_seconds_count{outcome="done"}']) > 1
    assert figures["podform_scheduler_overdue_seconds"] == "0.0"
    assert figures["podform_spool_age_seconds"] == "0.0"


def test_readyz_says_what_is_full(start_server: StartServer) -> None:
    """A disk with less room than asked for is told by /readyz; /healthz does not mind."""
    server = start_server()
    server.api.stop()
    server.api.settings = {"PODFORM_MINIMUM_FREE_BYTES": str(2**62)}
    server.api.await_ready = False
    server.api.start()

    answer = httpx.get(f"{server.api.url}/readyz")

    assert answer.status_code == 503
    assert "MiB left" in answer.json()["parts"]["disk"]
    assert answer.json()["parts"]["scheduler"] == "ok"
    assert httpx.get(f"{server.api.url}/healthz").status_code == 200


class Followers:
    """Clients that are held by a step's log: half by a long-poll, half by a stream."""

    def __init__(self, url: str, path: str) -> None:
        self._url = url + path
        self._following = threading.Barrier(FOLLOWERS + 1)
        self.ended: list[str] = []
        self._threads = [threading.Thread(target=self._follow, args=(index,)) for index in range(FOLLOWERS)]

    def start(self, api: ApiProcess) -> None:
        """Return when the server holds all of them."""
        for thread in self._threads:
            thread.start()
        self._following.wait(60)
        until = time.monotonic() + 30
        while _under_way(api) < FOLLOWERS and time.monotonic() < until:
            time.sleep(0.05)

    def join(self) -> None:
        """Wait until all were answered."""
        for thread in self._threads:
            thread.join(30)

    def _follow(self, index: int) -> None:
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
        with httpx.Client(headers=headers, timeout=60) as http:
            if index % 2:
                with http.stream("GET", f"{self._url}/stream") as answer:
                    self._following.wait(60)
                    answer.read()  # to its orderly end: a cut raises
                    self.ended.append("stream")
            else:
                self._following.wait(60)
                self.ended.append(f"poll {http.get(f'{self._url}?offset=1000000&wait=30').status_code}")


def test_it_ends_at_once_and_the_apply_goes_on(start_server: StartServer, tmp_path: Path) -> None:
    """SIGTERM twice with fifty followers and an apply: all are answered, it exits with 0, the apply goes on."""
    server = start_server()
    api, client = server.api, server.client
    book = tmp_path / "ledger"
    workspace = client.make_workspace()
    client.upload(workspace, ledger.ledger_configuration(book, count=2, seconds=3), tmp_path / "tf")
    number = client.run(workspace)
    client.wait(number, lambda job: job["runStatus"] == "applying")
    step_id = client.steps(number)[-1]["id"]
    followers = Followers(api.url, f"/tfoutput/v1/organization/{client.organization}/job/{number}/step/{step_id}")
    followers.start(api)
    assert api.process is not None
    began = time.monotonic()
    api.process.send_signal(signal.SIGTERM)
    api.process.send_signal(signal.SIGTERM)
    assert api.process.wait(30) == 0
    took = time.monotonic() - began
    followers.join()
    api.start()

    assert sorted(set(followers.ended)) == ["poll 200", "stream"]
    assert len(followers.ended) == FOLLOWERS
    assert took < 15, "the streams were cut by the timeout, not answered"
    assert client.finished(number)["runStatus"] == "applied"
    assert ledger.lines(book) == ["0", "1"]


def _under_way(api: ApiProcess) -> int:
    figures = httpx.get(f"{api.url}/metrics").text
    return next(
        int(float(line.split()[1]))
        for line in figures.splitlines()
        if line.startswith("podform_http_requests_under_way ")
    )

"""A real API that dies at named points and is started again each time, and a user who repeats what got no answer.

Used by test_faults.py. Scenarios say what a user does and how it must end; `ground_truth` reads the database to see
that no step was done twice, none is stuck, and none says what did not happen.
"""

import contextlib
import fcntl
import json
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from common import archive, ids
from common.statuses import APPLY_KINDS, StepKind
from tests import databases
from tests.flow import ledger
from tests.flow.server import FINAL, ApiProcess, Client

NOTES = "failpoints"


class DyingApi:
    """An API process with a chain of points: it dies at the first, is started with the second, and so on."""

    def __init__(self, api: ApiProcess, points: Sequence[str]) -> None:
        self._api, self._plain = api, dict(api.settings)
        self._points = list(points)
        self._done = threading.Event()
        self.died_at: list[str] = []
        self._thread = threading.Thread(target=self._attend, name="starts the API again", daemon=True)

    def __enter__(self) -> Self:
        self._start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join(60)
        assert not self._thread.is_alive()

    def _start(self) -> None:
        """Start it with the next point; one that kills it while it starts is spent too."""
        while True:
            point = self._points.pop(0) if self._points else ""
            self._api.settings = self._plain | ({"PODFORM_FAILPOINT": point} if point else {})
            try:
                self._api.start()
            except AssertionError:
                if self._api.process is None or self._api.process.poll() != -signal.SIGKILL:
                    raise
                self.died_at.append(point)
            else:
                self._armed = point
                return

    def _attend(self) -> None:
        while not self._done.wait(0.01):
            process = self._api.process
            if process is not None and process.poll() is not None:
                assert process.returncode == -signal.SIGKILL, self._api.output()
                self.died_at.append(self._armed)
                self._start()


@dataclass
class User:
    """What a careful user's program does: every write has an id of its own and is repeated until it is answered."""

    client: Client
    scratch: Path

    def organization(self) -> None:
        """An organization for everything below."""
        organization_id = ids.new_id("organization")
        self._create("/api/v1/organization", "organization", organization_id, name="acme")
        self.client.organization = organization_id

    def workspace(self, files: dict[str, str], **attributes: Any) -> str:
        """A workspace with an uploaded configuration."""
        workspace_id = ids.new_id("workspace")
        self._create(self.client.path("workspace"), "workspace", workspace_id, name=workspace_id, **attributes)
        configurations = self.client.path(f"workspace/{workspace_id}/configuration")
        configuration_id = ids.new_id("configuration_version")
        self._create(configurations, "configuration", configuration_id)
        for name, text in files.items():
            (self.scratch / name).write_text(text)
        content = archive.pack(self.scratch, sorted(files))
        self.client.ok("PUT", f"{configurations}/{configuration_id}/content", content=content)
        return workspace_id

    def run(self, workspace_id: str, template: str, **attributes: Any) -> str:
        """A run's number."""
        return self.client.run(workspace_id, template, requestId=ids.new_id("run"), **attributes)

    def decide(self, number: str, status: str, **attributes: Any) -> None:
        """Approve, reject or cancel; when the answer was lost, a repeat is refused since it has happened."""
        answer = self.client.decide(number, status, **attributes)
        assert answer.status_code in {200, 409}, answer.text

    def until(self, number: str, *statuses: str) -> None:
        """Wait for one of these statuses."""
        self.client.wait(number, lambda job: job["runStatus"] in statuses, 90)

    def _create(self, path: str, kind: str, wanted_id: str, **attributes: Any) -> None:
        self.client.ok("POST", path, json={"data": {"type": kind, "id": wanted_id, "attributes": attributes}})


@dataclass
class Stage:
    """One experiment: a data directory, a user, a ledger."""

    api: ApiProcess
    user: User
    book: Path
    dying: DyingApi
    ended: dict[str, dict[str, Any]] = field(default_factory=dict)  # by number: the run's attributes at its end

    def finish(self, number: str) -> dict[str, Any]:
        """Wait for a run's end."""
        self.ended[number] = self.user.client.finished(number, 90)
        return self.ended[number]

    def kill_executor(self, step_id: str) -> None:
        """Kill the first executor of a step as the system would, as soon as it is there."""
        path = self.api.data_dir / f"work/attempts/{step_id}-1/process.json"
        until = time.monotonic() + 60
        while not (path.exists() and path.read_text()):
            assert time.monotonic() < until, "it was never started"
            time.sleep(0.005)
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(json.loads(path.read_text())["pid"]), signal.SIGKILL)


@contextmanager
def stage(directory: Path, settings: dict[str, str], points: Sequence[str] = ()) -> Iterator[Stage]:
    """A dying API and its user, ended with the block."""
    directory.mkdir(parents=True)
    api = ApiProcess(directory / "data", settings)
    scratch = directory / "tf"
    scratch.mkdir()
    try:
        with DyingApi(api, points) as dying:
            user = User(Client(api.url), scratch)
            user.organization()
            yield Stage(api, user, directory / "ledger", dying)
        user.client.http.close()
    finally:
        api.end()


def passed(directory: Path) -> list[str]:
    """The points that a noting API has passed, in order, with `#n` for the nth time."""
    counts: dict[str, int] = {}
    found = []
    for name in (directory / NOTES).read_text().split():
        counts[name] = counts.get(name, 0) + 1
        found.append(f"{name}#{counts[name]}")
    return found


def ground_truth(done: Stage) -> None:
    """What the stopped server's database says is what happened: nothing twice, nothing stuck, nothing invented."""
    data = done.api.data_dir
    for run_id, number, status in databases.rows(data, "SELECT id, number, status FROM runs"):
        _check_run(done, run_id, number, status)
    held = databases.rows(data, "SELECT id FROM workspaces WHERE taken_by <> ''")
    assert not held, "a workspace is still taken"
    stuck = databases.rows(
        data,
        "SELECT attempts.name FROM attempts JOIN steps ON steps.id = step_id AND steps.attempt = attempts.number "
        "WHERE steps.status IN ('launching', 'running', 'queued')",
    )
    assert not stuck, f"still under way: {stuck}"
    written = ledger.lines(done.book)
    assert len(written) == len(set(written)), f"applied twice: {written}"


def _check_run(done: Stage, run_id: str, number: int, status: str) -> None:
    data = done.api.data_dir
    assert status in FINAL, f"run {number} is stuck: {status}"
    assert status == done.ended[str(number)]["runStatus"], "a final status changed"
    events = databases.rows(data, f"SELECT kind FROM events WHERE run_id = '{run_id}' AND step_id = ''")  # noqa: S608 - our own id
    ends = [kind for (kind,) in events if kind.removeprefix("run.") in FINAL]
    assert ends == [f"run.{status}"], f"it ended more than once: {ends}"
    claims = databases.rows(
        data,
        "SELECT steps.kind, count(*) FROM attempts JOIN steps ON steps.id = step_id "  # noqa: S608 - our own id
        f"WHERE attempts.run_id = '{run_id}' AND claimed_at IS NOT NULL GROUP BY steps.id, steps.kind",
    )
    twice = [kind for kind, times in claims if StepKind(kind) in APPLY_KINDS and times > 1]
    assert not twice, f"claimed twice: {twice}"


def settled_processes(done: Stage, seconds: float = 15) -> None:
    """No executor is left: what was ended, has ended."""
    until = time.monotonic() + seconds
    locks = list(done.api.data_dir.glob("work/attempts/*/lock"))
    while any(_held(lock) for lock in locks):
        assert time.monotonic() < until, "an executor is left over"
        time.sleep(0.05)


def _held(lock: Path) -> bool:
    with lock.open("rb+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False

"""Two and three API processes on one PostgreSQL: they share the work, and nothing is done twice or lost."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests import databases
from tests.fakes.kubernetes_api import Cluster
from tests.flow import ledger
from tests.flow.server import ApiProcess, Client
from tests.flow.test_kubernetes_mode import SECRET
from tests.flow.test_kubernetes_mode import settings as cluster_settings

_KEY = "cG9kZm9ybS1yZXBsaWNhcy1tYXN0ZXIta2V5LTMyYiE="


@dataclass
class Replicas:
    """Started processes and a client of the first one."""

    processes: list[ApiProcess]
    client: Client
    clients: list[Client] = field(default_factory=list)

    def client_of(self, process: ApiProcess) -> Client:
        """A client of another one, in the same organization."""
        client = Client(process.url)
        client.organization = self.client.organization
        self.clients.append(client)
        return client

    def nodes(self, place: Path) -> Counter[str]:
        """How many attempts each node has decided on."""
        return Counter(str(node) for (node,) in databases.rows(place, "SELECT node FROM attempts"))


@pytest.fixture
def replicas(tmp_path: Path, database_kind: str) -> Iterator[Callable[..., Replicas]]:
    """Starts so many processes on one database, each with a data directory of its own."""
    databases.kind = "postgres"
    url = databases.url_for(tmp_path)
    started: list[ApiProcess] = []
    made: list[Replicas] = []

    def start(count: int, **more: str) -> Replicas:
        settings = {
            "PODFORM_DATABASE_URL": url,
            "PODFORM_SHARED_DIR": str(tmp_path / "shared"),
            "PODFORM_MASTER_KEY": _KEY,
            "PODFORM_LEASE_SECONDS": "3",
            **more,
        }
        started.extend(ApiProcess(tmp_path / f"node-{number}", settings).start() for number in range(count))
        client = Client(started[0].url)
        client.make_organization()
        made.append(Replicas(started, client, [client]))
        return made[-1]

    yield start
    for client in (client for one in made for client in one.clients):
        client.http.close()
    for process in started:
        process.end()


def _begin(one: Replicas, book: Path, scratch: Path, *, runs: int, seconds: float) -> list[str]:
    """So many runs, each in a workspace of its own with a resource that writes its number."""
    numbers = []
    clients = [one.client, *(one.client_of(process) for process in one.processes[1:])]
    for index in range(runs):
        client = clients[index % len(clients)]
        workspace = one.client.make_workspace(f"w{index}")
        files = ledger.ledger_configuration(book.with_name(f"book-{index}"), count=2, seconds=seconds)
        one.client.upload(workspace, files, scratch / str(index))
        numbers.append(client.run(workspace))
    return numbers


def _all_applied_once(one: Replicas, book: Path, numbers: list[str]) -> None:
    for index, number in enumerate(numbers):
        job = one.client.finished(number, 120)
        assert job["runStatus"] == "applied", (job, one.client.steps(number))
        assert ledger.lines(book.with_name(f"book-{index}")) == ["0", "1"]


@pytest.mark.timeout(240)
def test_three_replicas_share_the_work(replicas: Callable[..., Replicas], tmp_path: Path) -> None:
    """Every run is applied, every step launched once, and every replica has had its part; logs are read anywhere."""
    three = replicas(3)
    numbers = _begin(three, tmp_path / "book", tmp_path / "tf", runs=6, seconds=0.5)
    _all_applied_once(three, tmp_path / "book", numbers)
    shares = three.nodes(tmp_path)
    assert len(shares) == 3, shares
    assert sum(shares.values()) == 2 * len(numbers), shares
    assert databases.rows(tmp_path, "SELECT count(*) FROM attempts WHERE number > 1") == [(0,)]
    step = three.client.steps(numbers[0])[-1]["id"]
    for process in three.processes:
        assert b"Apply complete!" in three.client_of(process).log(numbers[0], step)


@pytest.mark.timeout(240)
def test_a_rolling_restart_loses_nothing(replicas: Callable[..., Replicas], tmp_path: Path) -> None:
    """One after the other is ended, by SIGTERM and by SIGKILL in mid-apply, and started again: each line once."""
    two = replicas(2)
    numbers = _begin(two, tmp_path / "book", tmp_path / "tf", runs=3, seconds=4)
    for number in numbers:
        two.client.wait(number, lambda job: job["runStatus"] == "applying", 90)
    for process, end in ((two.processes[1], "kill"), (two.processes[0], "stop")):
        getattr(process, end)()
        process.start()
    _all_applied_once(two, tmp_path / "book", numbers)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_jobs_of_a_dead_replica_go_on(replicas: Callable[..., Replicas], tmp_path: Path) -> None:
    """The leading replica is killed for good between two runs: the other one watches the Jobs from then on."""
    with Cluster(secrets={"terrakube-executor-secrets": {"InternalSecret": SECRET}}) as cluster:
        two = replicas(2, **cluster_settings(cluster))
        survivor = two.client_of(two.processes[1])
        numbers = _begin(two, tmp_path / "book", tmp_path / "tf", runs=1, seconds=1)
        two.client.finished(numbers[0], 120)
        two.processes[0].kill()
        until = time.monotonic() + 60
        while databases.rows(tmp_path, "SELECT holder FROM leases WHERE name = 'leader'") == _leader(two, 0):
            assert time.monotonic() < until, "nobody took over"
            time.sleep(0.1)
        two.client, book = survivor, tmp_path / "later"
        later = _begin_more(two, book, tmp_path / "tf2")
        job = survivor.finished(later, 120)
        assert job["runStatus"] == "applied", job
        assert ledger.lines(book) == ["0", "1"]


def _leader(replicas: Replicas, index: int) -> list[tuple[str]]:
    return [((replicas.processes[index].data_dir / "node.lock").read_text(),)]


def _begin_more(one: Replicas, book: Path, scratch: Path) -> str:
    workspace = one.client.make_workspace("later")
    one.client.upload(workspace, ledger.ledger_configuration(book, count=2, seconds=0.5), scratch)
    return one.client.run(workspace)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_what_a_lost_node_had_is_ended_by_force(replicas: Callable[..., Replicas], tmp_path: Path) -> None:
    """No other replica touches a process of a node that is away; a person may end its run, and only by force."""
    two = replicas(2)
    (number,) = _begin(two, tmp_path / "book", tmp_path / "tf", runs=1, seconds=60)
    two.client.wait(number, lambda job: job["runStatus"] == "applying", 60)
    ((node,),) = databases.rows(tmp_path, "SELECT node FROM attempts ORDER BY created_at DESC LIMIT 1")
    lost = next(p for p in two.processes if (p.data_dir / "node.lock").read_text() == node)
    other = next(p for p in two.processes if p is not lost)
    client = two.client_of(other)
    lost.kill()
    until = time.monotonic() + 30
    while (f"node:{node}",) in databases.rows(
        tmp_path, "SELECT name FROM leases WHERE expires_at > extract(epoch from clock_timestamp()) * 1000000"
    ):
        assert time.monotonic() < until
        time.sleep(0.1)
    assert client.job(number)["runStatus"] == "applying"
    assert client.decide(number, "cancelled").is_success
    assert client.decide(number, "cancelled", force=True).is_success
    job = client.finished(number, 60)
    assert job["runStatus"] == "force_canceled", job

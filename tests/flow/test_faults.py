"""The API is killed before and after every commit and every effect outside; each time the world is as it should be.

A first pass notes the points of a scenario in their order; then it is played again and again with a few of them armed,
one after the other. The quick cut samples by the seed that pytest prints; the slow one takes them all.
"""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fakes.kubernetes_api import Cluster
from tests.flow import ledger
from tests.flow.faults import NOTES, Stage, ground_truth, passed, settled_processes, stage
from tests.flow.test_kubernetes_mode import SECRET
from tests.flow.test_kubernetes_mode import settings as cluster_settings

#: Points that one experiment is killed at, one after the other.
CHAIN = 3
QUICK_EXPERIMENTS = 4

Scenario = Callable[[Stage], None]


def applies(on: Stage) -> None:
    """Plan, approval, apply: everything is applied once."""
    workspace = on.user.workspace(ledger.ledger_configuration(on.book, count=3, seconds=0.1, tick=0.1))
    number = on.user.run(workspace, "Terraform-Plan/Apply-Cli")
    on.user.until(number, "planned")
    on.user.decide(number, "approved")
    assert on.finish(number)["runStatus"] == "applied"
    assert ledger.lines(on.book) == ["0", "1", "2"]
    assert len(on.user.client.state(workspace)["resources"]) == 3
    for step in on.user.client.steps(number):
        if step["name"] != "Approve":
            log = on.user.client.log(number, step["id"])
            assert log.count(b"complete!") == (1 if step["name"] == "Apply" else 0)


def cancels(on: Stage) -> None:
    """A cancel in the apply: terraform stops once, the state holds what the ledger says, the next run has its turn."""
    workspace = on.user.workspace(ledger.ledger_configuration(on.book, count=100, seconds=0.5))
    number = on.user.run(workspace, "Plan and apply")
    on.user.until(number, "applying")
    until = time.monotonic() + 60
    while not ledger.lines(on.book):
        assert time.monotonic() < until
        time.sleep(0.02)
    on.user.decide(number, "cancelled")
    assert on.finish(number)["runStatus"] == "canceled"
    state = on.user.client.state(workspace)
    done = [resource for resource in state["resources"] if resource["instances"][0].get("status") != "tainted"]
    assert len(done) == len(ledger.lines(on.book))
    number = on.user.run(workspace, "Plan")
    assert on.finish(number)["runStatus"] == "planned_and_finished"


def rejects(on: Stage) -> None:
    """A discarded plan and a run behind it, which gets the workspace."""
    workspace = on.user.workspace(ledger.ledger_configuration(on.book, count=1, seconds=0.1, tick=0.1))
    first = on.user.run(workspace, "Terraform-Plan/Apply-Cli")
    second = on.user.run(workspace, "Plan and apply")
    on.user.until(first, "planned")
    on.user.decide(first, "rejected")
    assert on.finish(first)["runStatus"] == "discarded"
    assert on.finish(second)["runStatus"] == "applied"
    assert ledger.lines(on.book) == ["0"]


def loses_a_plan(on: Stage) -> None:
    """The executor of a plan is killed at its start: another attempt plans, and all is applied once."""
    workspace = on.user.workspace(ledger.ledger_configuration(on.book, count=1, seconds=0.1, tick=0.1))
    number = on.user.run(workspace, "Plan and apply")
    on.kill_executor(on.user.client.steps(number)[0]["id"])
    assert on.finish(number)["runStatus"] == "applied"
    assert ledger.lines(on.book) == ["0"]


def loses_an_apply(on: Stage) -> None:
    """The executor of an apply is killed: the run says that its outcome is not known, and nothing goes on by itself."""
    workspace = on.user.workspace(ledger.ledger_configuration(on.book, count=100, seconds=0.5))
    number = on.user.run(workspace, "Plan and apply")
    apply = on.user.client.steps(number)[-1]["id"]  # before: an API that is away must not delay the kill
    on.user.until(number, "applying")
    until = time.monotonic() + 60
    while not ledger.lines(on.book):
        assert time.monotonic() < until
        time.sleep(0.02)
    on.kill_executor(apply)
    job = on.finish(number)
    assert (job["runStatus"], job["failureReason"]) == ("errored", "outcome_unknown"), job
    path = on.user.client.path(f"workspace/{workspace}")
    assert on.user.client.ok("GET", path)["data"]["attributes"]["locked"] is True


PROCESS: Sequence[Scenario] = (applies, cancels, rejects, loses_a_plan, loses_an_apply)


@contextmanager
def played(
    scenario: Scenario, directory: Path, settings: dict[str, str], points: Sequence[str] = ()
) -> Iterator[Stage]:
    """A scenario played with a chain of points; the stopped server's ground truth is looked at."""
    with stage(directory, settings, points) as on:
        scenario(on)
        yield on
    ground_truth(on)
    if (on.api.data_dir / "work/attempts").exists():
        settled_processes(on)


def noted(scenario: Scenario, directory: Path, settings: dict[str, str]) -> list[str]:
    """The points of a scenario, in the order in which they are passed."""
    with played(scenario, directory / "noted", settings | {"PODFORM_FAILPOINT": f"note:{directory / NOTES}"}):
        pass
    return passed(directory)


def chains(points: Sequence[str], quick: bool) -> list[list[str]]:
    """Chains of points to be killed at: a sample, or every point once."""
    first = [point for point in points if point.endswith(("#1", "#2"))]
    shuffled = random.sample(first, len(first))
    parts = [shuffled[start : start + CHAIN] for start in range(0, len(shuffled), CHAIN)]
    return parts[:QUICK_EXPERIMENTS] if quick else parts


def experiments(scenario: Scenario, directory: Path, settings: dict[str, str], *, quick: bool) -> None:
    """Play a scenario with every chain."""
    points = noted(scenario, directory, settings)
    order = {point: place for place, point in enumerate(points)}
    died = 0
    for number, chain in enumerate(chains(points, quick)):
        # after a restart counting begins anew: later links of a chain are met the first time
        armed = sorted(chain, key=order.__getitem__)
        armed = [armed[0], *(point.partition("#")[0] for point in armed[1:])]
        try:
            with played(scenario, directory / f"{number}", settings, armed) as on:
                died += len(on.dying.died_at)
        except BaseException as error:
            error.add_note(f"killed at: {', '.join(armed)}")
            raise
    assert died, "no point was met: nothing was tested"


def experiments_with_jobs(directory: Path, *, quick: bool) -> None:
    """Runs of every experiment in one cluster."""
    with Cluster(secrets={"terrakube-executor-secrets": {"InternalSecret": SECRET}}) as cluster:
        experiments(applies, directory, cluster_settings(cluster), quick=quick)
        started = {job["metadata"]["name"]: cluster.pods_started(job["metadata"]["name"]) for job in cluster.jobs()}
        assert set(started.values()) == {1}, started


@pytest.mark.timeout(600)
@pytest.mark.parametrize("scenario", PROCESS, ids=lambda scenario: scenario.__name__)
def test_killed_at_some_points(scenario: Scenario, tmp_path: Path) -> None:
    """A seeded sample of the points of each scenario, with local processes."""
    experiments(scenario, tmp_path, {}, quick=True)


@pytest.mark.timeout(600)
def test_killed_at_some_points_with_jobs(tmp_path: Path) -> None:
    """The same through Kubernetes Jobs, of which each attempt has one, with one pod."""
    experiments_with_jobs(tmp_path, quick=True)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_at_every_point_with_jobs(tmp_path: Path) -> None:
    """Every point, through Kubernetes Jobs."""
    experiments_with_jobs(tmp_path, quick=False)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("scenario", PROCESS, ids=lambda scenario: scenario.__name__)
def test_killed_at_every_point(scenario: Scenario, tmp_path: Path) -> None:
    """Every point of each scenario, with local processes."""
    experiments(scenario, tmp_path, {}, quick=False)

"""The picture of Jobs and pods: phases, order of arrival, and what is told."""

import itertools
from typing import Any

import pytest

from common.launcher_port import CarrierPhase
from k8s import naming
from k8s.picture import Picture
from tests.fakes.orders import order

Json = dict[str, Any]
NAME = order().name
LABELS = naming.labels(order(), "podform")


def job(uid: str = "u1", *conditions: str, ready: int = 0) -> Json:
    """Our Job."""
    found = [{"type": kind, "status": "True"} for kind in conditions]
    return {"metadata": {"name": NAME, "uid": uid, "labels": LABELS}, "status": {"ready": ready, "conditions": found}}


def pod(state: Json | None = None, uid: str = "p1", phase: str = "Pending") -> Json:
    """Its pod."""
    status: Json = {"phase": phase, "containerStatuses": [{"state": state or {}}]}
    owner = [{"kind": "Job", "uid": "u1"}]
    return {
        "metadata": {"name": f"{NAME}-{uid}", "uid": uid, "labels": LABELS, "ownerReferences": owner},
        "spec": {},
        "status": status,
    }


RUNNING: Json = {"running": {}}
FINISHED = {"terminated": {"exitCode": 0}}


def told(*events: tuple[str, str, Json]) -> list[CarrierPhase]:
    """The phases told after each event."""
    picture = Picture()
    found = []
    for resource, kind, item in events:
        name = picture.event(resource, kind, item)  # type: ignore[arg-type]  # the tests write jobs or pods
        observation = picture.news(name or "")
        if observation is not None:
            found.append(observation.phase)
    return found


P, R, E = CarrierPhase.PENDING, CarrierPhase.RUNNING, CarrierPhase.ENDED


@pytest.mark.parametrize(
    ("events", "phases"),
    [
        ([("jobs", "ADDED", job()), ("pods", "ADDED", pod()), ("pods", "MODIFIED", pod(RUNNING))], [P, R]),
        ([("pods", "ADDED", pod(RUNNING)), ("jobs", "ADDED", job())], [R]),
        ([("jobs", "ADDED", job()), ("pods", "ADDED", pod(RUNNING)), ("pods", "MODIFIED", pod(FINISHED))], [P, R, E]),
        # an older state after a newer one is not told
        ([("jobs", "ADDED", job()), ("pods", "ADDED", pod(RUNNING)), ("pods", "MODIFIED", pod())], [P, R]),
        ([("pods", "ADDED", pod(FINISHED)), ("pods", "MODIFIED", pod(RUNNING))], [E]),
        # a pod that vanishes while it runs says nothing; its Job does
        ([("jobs", "ADDED", job()), ("pods", "ADDED", pod(RUNNING)), ("pods", "DELETED", pod(RUNNING))], [P, R]),
        (
            [
                ("jobs", "ADDED", job()),
                ("pods", "ADDED", pod(RUNNING)),
                ("pods", "DELETED", pod(RUNNING)),
                ("jobs", "MODIFIED", job("u1", "Failed")),
            ],
            [P, R, E],
        ),
        # a Job that goes first (background deletion) leaves a pod that still runs
        (
            [
                ("jobs", "ADDED", job()),
                ("pods", "ADDED", pod(RUNNING)),
                ("jobs", "DELETED", job()),
                ("pods", "DELETED", pod(RUNNING)),
            ],
            [P, R, E],
        ),
        # two pods of one Job: it has ended when both have
        (
            [
                ("jobs", "ADDED", job()),
                ("pods", "ADDED", pod(FINISHED)),
            ],
            [P, E],
        ),
        (
            [
                ("pods", "ADDED", pod(RUNNING, "p2")),
                ("pods", "ADDED", pod(FINISHED)),
                ("pods", "MODIFIED", pod(FINISHED, "p2")),
            ],
            [R, E],
        ),
        # with Jobs alone
        (
            [("jobs", "ADDED", job()), ("jobs", "MODIFIED", job(ready=1)), ("jobs", "MODIFIED", job("u1", "Complete"))],
            [P, R, E],
        ),
        ([("jobs", "ADDED", job()), ("jobs", "DELETED", job())], [P, E]),
        # another Job under the same name is another carrier
        ([("jobs", "ADDED", job("u1", "Failed")), ("jobs", "ADDED", job("u2"))], [E, P]),
    ],
)
def test_what_is_told(events: list[tuple[str, str, Json]], phases: list[CarrierPhase]) -> None:
    """Each phase is told once and none goes backwards, whatever the order of arrival."""
    assert told(*events) == phases


@pytest.mark.parametrize("shuffled", list(itertools.permutations(range(4))))
def test_no_order_of_arrival_goes_backwards(shuffled: tuple[int, ...]) -> None:
    """Every order of the same events is told forwards, and ends."""
    events = [
        ("jobs", "MODIFIED", job()),
        ("pods", "MODIFIED", pod()),
        ("pods", "MODIFIED", pod(RUNNING)),
        ("pods", "DELETED", pod(FINISHED)),
    ]
    phases = told(*(events[index] for index in shuffled))
    assert phases == sorted(set(phases), key=list(CarrierPhase).index)
    assert phases[-1] is E


def test_what_is_not_in_a_list_is_gone() -> None:
    """A list without a known Job or pod says that it went away unseen."""
    picture = Picture()
    picture.listed("jobs", [job()])
    picture.listed("pods", [pod(RUNNING)])
    assert picture.listed("pods", []) == {NAME}
    assert picture.observation(NAME).phase is not E
    assert picture.listed("jobs", []) == {NAME}
    assert picture.observation(NAME).phase is E
    assert picture.listed("jobs", []) == set()


def test_a_strangers_object_is_nobodys() -> None:
    """An object without our labels changes nothing."""
    assert Picture().event("pods", "ADDED", {"metadata": {"uid": "x", "labels": {"a": "b"}}}) is None


def test_the_first_end_of_a_pod_is_kept() -> None:
    """What was learnt when the container ended is not overwritten by a later, poorer state."""
    picture = Picture()
    picture.event("pods", "ADDED", pod({"terminated": {"exitCode": 137, "reason": "OOMKilled"}}))
    picture.event("pods", "DELETED", pod({"terminated": {"exitCode": 1}}))
    assert picture.observation(NAME).exit_code == 137


def test_an_attempt_is_forgotten_when_nothing_is_left() -> None:
    """After its end was told and its Job and pods are gone, the picture is as if it had never been."""
    picture = Picture()
    picture.listed("jobs", [job()])
    picture.listed("pods", [pod(FINISHED)])
    assert not picture.forget_gone(NAME)
    assert picture.news(NAME) is not None
    assert not picture.forget_gone(NAME)
    picture.event("pods", "DELETED", pod(FINISHED))
    picture.event("jobs", "DELETED", job())
    assert picture.forget_gone(NAME)
    assert picture.attempts == {}
    assert picture.observation(NAME).phase is CarrierPhase.ABSENT
    assert picture.news(NAME) is None


def test_pending_attempts_are_listed() -> None:
    """What does not run yet is to be asked about."""
    picture = Picture()
    picture.listed("jobs", [job()])
    assert picture.pending() == [NAME]
    picture.listed("pods", [pod(RUNNING)])
    assert picture.pending() == []


def test_of_what_has_ended_no_more_is_kept_than_its_end() -> None:
    """A told end is buried: no manifest, no labels; and what the cluster says of it later is no news."""
    picture = Picture()
    for resource, item in (("jobs", job("u1", "Complete")), ("pods", pod(FINISHED, phase="Succeeded"))):
        picture.event(resource, "ADDED", item | {"spec": {"containers": [{"env": ["x" * 5000]}]}})  # type: ignore[arg-type]  # jobs or pods
    first = picture.news(NAME)

    assert first is not None
    assert first.phase is E
    assert picture.forget_gone(NAME) is False  # it is still in the cluster
    attempt = picture.attempts[NAME]
    assert len(str(attempt.job)) + len(str(attempt.pods)) < 500
    assert picture.observation(NAME) == first
    picture.event("pods", "MODIFIED", pod(FINISHED, phase="Succeeded"))
    assert picture.news(NAME) is None


def test_another_job_of_the_name_is_not_buried_with_the_first() -> None:
    """What belongs to the new carrier is kept until its own end has been told."""
    picture = Picture()
    picture.event("jobs", "ADDED", job("u1", "Complete"))
    picture.news(NAME)
    picture.event("jobs", "ADDED", job("u2"))
    picture.forget_gone(NAME)

    again = picture.news(NAME)
    assert again is not None
    assert (again.uid, again.phase) == ("u2", P)

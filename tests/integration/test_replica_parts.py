"""What replicas share: rings by NOTIFY, leases by the database's clock, workspaces that one of them decides."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from api.bells import LocalBells
from api.domain.entities import Workspace
from api.nodes import LeasedNode
from api.persistence.database import DatabaseInUseError
from api.persistence.node_id import own_node_id
from api.persistence.postgres import PostgresDatabase
from api.persistence.postgres_bells import PostgresBells
from api.persistence.sealing import Sealer
from api.services.ports import WorkspaceBusyError
from tests import databases
from tests.integration.executor_face import Face, tell
from tests.integration.test_postgres import url as url  # noqa: PLC0414 - a fixture

KEY = bytes(32)


async def _two(url: str) -> tuple[PostgresDatabase, PostgresDatabase]:
    pair = PostgresDatabase(url, Sealer(KEY), shared=True), PostgresDatabase(url, Sealer(KEY), shared=True)
    for database in pair:
        await database.prepare()
    return pair


@pytest.mark.sqlite
def test_a_ring_is_heard_elsewhere(url: str) -> None:
    """One replica's ring wakes the other's listener of that topic and no other; also after connections were lost."""

    async def story() -> None:
        first, second = await _two(url)
        here, there = PostgresBells(first.listening), PostgresBells(second.listening)
        bell, other = there.listen("run:1"), there.listen("run:2")
        await here.start()
        await there.start()
        for listener in (bell, other):  # rung once at the start: something may have been missed
            assert await listener.wait(10)
        here.ring("run:1")
        assert await bell.wait(10)
        assert not other.event.is_set()
        connection = await asyncpg.connect(url)
        await connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
        await connection.close()
        assert await other.wait(10)  # it listens again, and wakes everybody
        for topic in range(2000):
            here.ring(f"run:{topic:050}")
        here.ring("run:1")
        assert await bell.wait(10)
        for bells in (here, there):
            await bells.end()
        for database in (first, second):
            await database.close()

    asyncio.run(story())


@pytest.mark.sqlite
def test_one_leads_until_it_is_silent(url: str) -> None:
    """The second leads as soon as the first one gave up, or once its lease has expired; both know who lives."""

    async def story() -> None:
        first, second = await _two(url)
        one, two = (
            LeasedNode("one", first, LocalBells(), 1.0),
            LeasedNode("two", second, bells := LocalBells(), 1.0),
        )
        gained = bells.listen("work")
        await one.start()
        await two.start()
        here = await two.here()
        assert not here.leads
        assert here.living == {"one", "two"}
        assert (await one.here()).leads
        await one.end()
        assert await gained.wait(10)
        assert (await two.here()).leads
        assert (await two.here()).living == {"two"}
        assert await first.take_lease("other", "one", 0.2)
        assert not await second.take_lease("other", "two", 5)
        async with asyncio.timeout(10):
            while not await second.take_lease("other", "two", 5):  # noqa: ASYNC110 - the database's clock must pass
                await asyncio.sleep(0.02)
        await two.end()
        for database in (first, second):
            await database.close()

    asyncio.run(story())


@pytest.mark.sqlite
def test_a_node_that_cannot_renew_gives_up_first(url: str) -> None:
    """Before its lease expires in the database, it does not count on it any more."""

    async def story() -> None:
        first, second = await _two(url)
        one = LeasedNode("one", first, LocalBells(), 0.9)
        await one._renew()
        assert (await one.here()).leads
        async with asyncio.timeout(10):
            while (await one.here()).leads:
                assert not await second.take_lease("leader", "two", 5)
                await asyncio.sleep(0.02)
        for database in (first, second):
            await database.close()

    asyncio.run(story())


@pytest.mark.sqlite
def test_who_serves_alone_and_who_shares(url: str) -> None:
    """A process without a shared directory and one with it never serve the same database."""

    async def story() -> None:
        first, second = await _two(url)
        alone = PostgresDatabase(url, Sealer(KEY))
        with pytest.raises(DatabaseInUseError, match="PODFORM_SHARED_DIR"):
            await alone.prepare()
        for database in (first, second, alone):
            await database.close()

    asyncio.run(story())


@pytest.mark.sqlite
def test_a_workspace_that_another_transaction_has_is_left(url: str, tmp_path: Path) -> None:
    """Who wants to decide does not wait: it is told that somebody else does."""

    async def story(face: Face) -> None:
        workspace_id = face.workspace.rpartition("/")[2]
        async with face.ports.database.writing() as tx:
            assert await tx.get(Workspace, workspace_id)
            with pytest.raises(WorkspaceBusyError):
                async with face.ports.database.writing() as other:
                    await other.claim_workspace(workspace_id)
        async with face.ports.database.writing() as tx:
            assert await tx.claim_workspace(workspace_id)
            assert await tx.claim_workspace("workspace-of-nobody") is None

    tell(tmp_path, story)
    assert databases.kind == "postgres"


def test_a_node_keeps_its_id(tmp_path: Path) -> None:
    """The same directory is the same node."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert own_node_id(tmp_path / "a") == own_node_id(tmp_path / "a") != own_node_id(tmp_path / "b")

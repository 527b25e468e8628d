"""What is kept: sealed, whole, under one key and by one process; and the schema is what the migrations make."""

import asyncio
import base64
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, select

from api.domain.entities import Event, Run
from api.persistence import tables
from api.persistence.artifacts import SealedArtifacts
from api.persistence.data_keys import WrongMasterKeyError
from api.persistence.database import (
    DatabaseInUseError,
    DatabaseUnusableError,
    SqliteDatabase,
)
from api.persistence.migrations import upgrade
from api.persistence.sealing import SealBrokenError, Sealer, parse_master_key, read_or_make_secret
from api.services.ports import AlreadyExistsError
from common import executor_api
from common.errors import BadInputError
from common.ids import new_id
from common.statuses import RunStatus
from tests import databases
from tests.integration.api_in_process import bearer
from tests.integration.executor_face import ADMIN, Face, done, planned, state, tell

CANARY = "canary-7e57-value"


# -- seals ----------------------------------------------------------------------------------------------------------


@pytest.mark.sqlite
@pytest.mark.parametrize("content", [b"", b"x", b"secret " * 10, bytes(100_000), os.urandom(5000)])
def test_a_seal_opens_in_its_place_with_its_key_only(content: bytes) -> None:
    """Another key, another place, any altered or missing byte: refused."""
    sealer, place = Sealer(bytes(32)), "variables.value"
    sealed = sealer.seal(content, place)
    assert sealer.open(sealed, place) == content
    assert sealed != sealer.seal(content, place)
    with pytest.raises(SealBrokenError, match="master key"):
        Sealer(bytes(31) + b"\1").open(sealed, place)
    with pytest.raises(SealBrokenError, match="altered"):
        sealer.open(sealed, "states/other")
    for position in [*range(min(40, len(sealed))), len(sealed) - 1]:
        broken = sealed[:position] + bytes([sealed[position] ^ 1]) + sealed[position + 1 :]
        with pytest.raises(SealBrokenError):
            sealer.open(broken, place)
    for length in (0, 3, 7, 19, len(sealed) - 1):
        with pytest.raises(SealBrokenError):
            sealer.open(sealed[:length], place)


@pytest.mark.sqlite
def test_artifacts_cannot_be_swapped(tmp_path: Path) -> None:
    """The content of one key in the place of another is no content."""

    async def story() -> None:
        artifacts = SealedArtifacts(tmp_path, Sealer(bytes(32)))
        await artifacts.put("states/a/1", b"one")
        await artifacts.put("states/a/2", b"two")
        (tmp_path / "states/a/1").replace(tmp_path / "states/a/2")
        with pytest.raises(SealBrokenError):
            await artifacts.get("states/a/2")
        assert await artifacts.get("states/a/1") is None

    asyncio.run(story())


def test_nothing_sensitive_lies_in_plain_on_the_disk(tmp_path: Path) -> None:
    """Values, plans, states and configurations: in no file of the data directory, the write-ahead log included."""

    async def story(face: Face) -> None:
        for category, name in (("TERRAFORM", "a"), ("ENV", "B")):
            fields = {"key": name, "value": CANARY, "category": category, "sensitive": True}
            await face.post(f"{face.workspace}/variable", "variable", fields)
        await face.run()
        plan = await face.claimed()
        assert CANARY in (await plan.claim()).text
        assert (await plan.put_artifact(executor_api.PLAN_FILE, CANARY.encode() * 100)).is_success
        assert (await plan.put_artifact(executor_api.PLAN_JSON, CANARY.encode())).is_success
        assert (await plan.finish(planned())).is_success
        apply = await face.claimed()
        assert (await apply.put_state(1, content=state(1, note=CANARY), final=True)).is_success
        for secret in (CANARY, plan.token, apply.token, ADMIN, plan.job.claim):
            assert files_with(tmp_path, secret) == []
        assert (await apply.finish(done())).is_success
        listed = await face.http.get(f"{face.workspace}/variable", headers=bearer(ADMIN))
        assert CANARY not in listed.text

    tell(tmp_path, story)
    assert files_with(tmp_path, CANARY) == []


def files_with(directory: Path, text: str) -> list[str]:
    """Files that hold a text, as it is or in base64."""
    needles = (text.encode(), base64.b64encode(text.encode())[:-4])
    found = [path for path in directory.rglob("*") if path.is_file()]
    if databases.kind == "postgres":
        assert found
        hexed = [*needles, *(needle.hex().encode() for needle in needles)]
        rows = [row for row in databases.texts(directory) if any(needle in row.encode() for needle in hexed)]
        assert rows == []
    else:
        assert any(path.name == "podform.db" for path in found)
    return [str(path) for path in found if any(needle in path.read_bytes() for needle in needles)]


# -- the master key -------------------------------------------------------------------------------------------------


@pytest.mark.sqlite
def test_made_secrets_are_private(tmp_path: Path) -> None:
    """Mode 0600, whatever the umask; made once, and a second process takes the first one's."""
    before = os.umask(0)
    try:
        made = read_or_make_secret(tmp_path / "master.key")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "master.key").stat().st_mode) == 0o600
    assert read_or_make_secret(tmp_path / "master.key") == made
    assert len(parse_master_key(made)) == 32
    assert [path.name for path in tmp_path.iterdir()] == ["master.key"]


@pytest.mark.sqlite
def test_a_key_is_32_bytes_in_base64() -> None:
    """Anything else is refused without being repeated."""
    lengths = [base64.b64encode(bytes(length)).decode() for length in (31, 33)]
    for text in ("", "short", *lengths, CANARY, "ü" * 44):
        with pytest.raises(BadInputError) as refused:
            parse_master_key(text)
        assert not text or text not in str(refused.value)


def start(directory: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A start that must end by itself."""
    return subprocess.run(
        [sys.executable, "-m", "api", "--port", "0", "--data-dir", str(directory)],
        env={"PATH": os.environ["PATH"], **environment},
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def prepare(directory: Path, key: bytes) -> None:
    """A first start with a key, and its end."""

    async def story() -> None:
        database = SqliteDatabase(directory / "podform.db", Sealer(key))
        try:
            await database.prepare()
        finally:
            await database.close()

    asyncio.run(story())


@pytest.mark.sqlite
def test_a_wrong_master_key_stops_the_start(tmp_path: Path) -> None:
    """One line that says so; with the right one everything is there."""
    prepare(tmp_path, bytes(32))
    with pytest.raises(WrongMasterKeyError, match="PODFORM_MASTER_KEY: is not the key"):
        prepare(tmp_path, bytes(31) + b"\1")
    prepare(tmp_path, bytes(32))
    wrong = base64.b64encode(b"w" * 32).decode()
    ended = start(tmp_path, PODFORM_MASTER_KEY=wrong)
    assert ended.returncode == 1
    assert "PODFORM_MASTER_KEY: is not the key" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert wrong not in ended.stderr


@pytest.mark.sqlite
def test_a_lost_master_key_is_not_replaced(tmp_path: Path) -> None:
    """A new one would open nothing, and would stand in the way of the right one."""
    prepare(tmp_path, bytes(32))
    ended = start(tmp_path)
    assert ended.returncode == 2
    assert "master.key is missing, but the database is there" in ended.stderr
    assert not (tmp_path / "master.key").exists()


# -- the file -------------------------------------------------------------------------------------------------------


@pytest.mark.sqlite
def test_a_second_process_refuses_the_file(tmp_path: Path) -> None:
    """SQLite is for one process; the line says which file, and the first one goes on."""

    async def story() -> None:
        database = SqliteDatabase(tmp_path / "podform.db", Sealer(bytes(32)))
        await database.prepare()
        with pytest.raises(DatabaseInUseError, match=r"podform\.db: another Podform process"):
            SqliteDatabase(tmp_path / "podform.db", Sealer(bytes(32)))
        ended = await asyncio.to_thread(start, tmp_path, PODFORM_MASTER_KEY=base64.b64encode(bytes(32)).decode())
        assert ended.returncode == 1
        assert "another Podform process serves this SQLite file" in ended.stderr
        async with database.reading() as tx:
            assert await tx.counts() == {}
        await database.close()

    asyncio.run(story())


@pytest.mark.sqlite
def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    """Not a traceback."""
    (tmp_path / "podform.db").write_bytes(b"something else entirely" * 100)
    with pytest.raises(DatabaseUnusableError, match=r"podform\.db: .* file is not a database"):
        prepare(tmp_path, bytes(32))


@pytest.mark.sqlite
def test_migrations_make_the_tables(tmp_path: Path) -> None:
    """What the migrations make is what the code expects, and to run them again changes nothing."""
    prepare(tmp_path, bytes(32))
    prepare(tmp_path, bytes(32))
    engine = create_engine(f"sqlite:///{tmp_path}/podform.db")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, tables.metadata) == []
        assert connection.scalar(select(tables.seal_checks.c.name)) == "master key"
    engine.dispose()


@pytest.mark.sqlite
def test_an_older_database_is_brought_up(tmp_path: Path) -> None:
    """One of the first schema, without the seal, gets it and keeps the key that it is first started with."""
    prepare(tmp_path, bytes(32))
    engine = create_engine(f"sqlite:///{tmp_path}/podform.db")
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(Path(upgrade.__file__).parent))
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
    engine.dispose()
    prepare(tmp_path, b"k" * 32)
    with pytest.raises(WrongMasterKeyError):
        prepare(tmp_path, bytes(32))


# -- invariants -----------------------------------------------------------------------------------------------------


def test_one_run_takes_a_workspace_whatever_the_code_does(tmp_path: Path) -> None:
    """The database itself refuses a second run that is under way; waiting and plan-only ones are free."""

    async def story(face: Face) -> None:
        await face.run()
        await face.executor()
        async with face.ports.database.reading() as tx:
            (first,) = await tx.all(Run)
        other = replace(first, id=new_id("run"), number=99, status=RunStatus.PLANNING, request_id=None)
        with pytest.raises(AlreadyExistsError):
            async with face.ports.database.writing() as tx:
                await tx.add(other)
        async with face.ports.database.writing() as tx:
            await tx.add(replace(other, id=new_id("run"), number=100, plan_only=True))
            await tx.add(replace(other, id=new_id("run"), number=101, status=RunStatus.APPLIED))

    tell(tmp_path, story)


def test_every_transition_has_its_event_in_the_same_commit(tmp_path: Path) -> None:
    """From creation to the end, in order; what is rolled back leaves none."""

    async def story(face: Face) -> None:
        _, apply = await face.applying()
        assert (await apply.finish(done())).is_success
        kinds = [kind for (kind,) in databases.rows(tmp_path, "SELECT kind FROM events ORDER BY id")]
        assert kinds[-1] == "run.applied" or "run.applied" in kinds[-3:]
        for kind in ("run.plan_queued", "run.planning", "run.confirmed", "run.apply_queued", "run.applying"):
            assert kinds.count(kind) == 1, kinds
        async with face.ports.database.reading() as tx:
            (run,) = await tx.all(Run)
            record = await tx.record(run.id)
        assert record is not None

        async def half() -> None:
            async with face.ports.database.writing() as tx:
                event = Event(run_id=run.id, kind="run.never", at=face.ports.clock())
                await tx.save_record(record, replace(record, run=replace(run, message="never")), [event])
                await tx.add(run)

        with pytest.raises(AlreadyExistsError):
            await half()
        async with face.ports.database.reading() as tx:
            assert await tx.record(run.id) == record
        assert databases.rows(tmp_path, "SELECT count(*) FROM events WHERE kind = 'run.never'") == [(0,)]

    tell(tmp_path, story)

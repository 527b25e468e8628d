"""Data keys: what was sealed before them stays readable; neither a rotation nor a new master key loses anything."""

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from api.domain.entities import StateVersion, Variable, VariableCategory
from api.persistence import object_stores
from api.persistence.artifacts import SealedArtifacts
from api.persistence.codes import DerivedCodes
from api.persistence.data_keys import WrongMasterKeyError
from api.persistence.database import SqliteDatabase
from api.persistence.object_stores import S3Access
from api.persistence.rotation import KeyRotation
from api.persistence.sealing import SealBrokenError, Sealer
from api.services.receive_state import state_key
from common.ids import new_id
from tests import s3_server
from tests.integration.api_in_process import api_in, bearer
from tests.s3_server import S3Server

OLDER_KEY = b"an old master key of 32 bytes ok"
CANARY = "canary-of-the-older-scheme"


class Installation:
    """Database, contents and keys of one data directory, as the server composes them."""

    def __init__(self, directory: Path, sealer: Sealer, bucket: S3Access | None = None) -> None:
        self.sealer = sealer
        self.database = SqliteDatabase(directory / "podform.db", sealer)
        place = object_stores.s3_store(bucket) if bucket else directory / "artifacts"
        self.artifacts = SealedArtifacts(place, sealer)
        self.codes = DerivedCodes(sealer)
        self.rotation = KeyRotation(self.database, self.artifacts, sealer)

    async def variables(self) -> dict[str, str]:
        """Names and values."""
        async with self.database.reading() as tx:
            return {variable.key: variable.value for variable in await tx.all(Variable)}

    async def sealed_anew(self) -> None:
        """Wait until nothing has an older key any more."""
        async with asyncio.timeout(60):
            while (await self.rotation.status()).under_way:  # noqa: ASYNC110 - progress is asked for, as by a person
                await asyncio.sleep(0.02)


@asynccontextmanager
async def opened(
    directory: Path, key: bytes = OLDER_KEY, previous: bytes | None = None, bucket: S3Access | None = None
) -> AsyncIterator[Installation]:
    """An installation whose database is open; nothing is sealed anew yet."""
    installation = Installation(directory, Sealer(key, previous), bucket)
    try:
        await installation.database.prepare()
        yield installation
    finally:
        await installation.database.close()


@pytest.fixture
def older(older_data: Path, tmp_path: Path) -> Path:
    """A data directory from before data keys, for this test alone."""
    return Path(shutil.copytree(older_data, tmp_path / "older"))


def run(story: Callable[[], Awaitable[None]]) -> None:
    """Run a test's story."""

    async def told() -> None:
        await story()

    asyncio.run(told())


async def state_of(installation: Installation) -> bytes:
    """The one state of the older installation."""
    async with installation.database.reading() as tx:
        (version,) = await tx.all(StateVersion)
    content = await installation.artifacts.get(state_key(version.workspace_id, version.id))
    assert content is not None
    return content


def prefixes(directory: Path) -> set[bytes]:
    """How everything sealed begins: contents and the values of variables."""
    with sqlite3.connect(directory / "podform.db") as connection:
        rows = {bytes(value)[:11] for (value,) in connection.execute("SELECT value FROM variables")}
    connection.close()
    return rows | {path.read_bytes()[:11] for path in (directory / "artifacts").rglob("*") if path.is_file()}


def test_what_was_sealed_before_data_keys_is_readable_and_sealed_anew(older: Path) -> None:
    """By the next start it has a data key; what is old is sealed with it, and the older key opens nothing any more."""

    async def story() -> None:
        async with opened(older) as first:
            assert CANARY in (await first.variables()).values()
            before = await state_of(first)
            assert CANARY.encode() in before
            async with first.rotation.running():
                await first.sealed_anew()
            keys = (await first.rotation.status()).keys
            assert sorted((key.active, key.retired_at is None) for key in keys) == [(False, False), (True, True)]
        assert {prefix[:3] for prefix in prefixes(older)} == {b"PF2"}
        async with opened(older) as again:
            assert await state_of(again) == before
            assert CANARY in (await again.variables()).values()

    run(story)


@pytest.mark.parametrize("where", ["directory", "bucket"])
def test_a_rotation_while_contents_are_written(where: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Everything put before, meanwhile and after is readable and has the newest key; the older ones are gone."""
    bucket = None
    if where == "bucket":
        server: S3Server = request.getfixturevalue("s3")
        url = f"s3://bucket/{tmp_path.name}-rotation"
        bucket = S3Access(
            url=url, endpoint=server.endpoint, access_key_id=s3_server.KEY_ID, secret_access_key=s3_server.KEY
        )

    async def write(installation: Installation, begin: int) -> None:
        for number in range(begin, begin + 15):
            await installation.artifacts.put(f"states/ws/{number}", b"%d" % number)

    async def story() -> None:
        async with opened(tmp_path, bucket=bucket) as installation, installation.rotation.running():
            await write(installation, 0)
            writing = asyncio.gather(*(write(installation, begin) for begin in (100, 200, 300)))
            for _ in range(3):
                await installation.rotation.rotate()
                await asyncio.sleep(0)
            await writing
            await installation.sealed_anew()
            active = installation.sealer.active_prefix
            assert {prefix async for _, prefix in installation.artifacts.prefixes()} == {active}
        async with opened(tmp_path, bucket=bucket) as again:
            for number in (*range(15), *range(100, 115), *range(300, 315)):
                assert await again.artifacts.get(f"states/ws/{number}") == b"%d" % number

    run(story)


@pytest.mark.parametrize("contents", [0, 1, 3])
def test_a_crash_while_sealing_anew(older: Path, contents: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it ends, both keys are still there, everything is readable, and the next start goes on."""

    class CrashError(Exception):
        """The end of the process."""

    seal_anew, done = SealedArtifacts.seal_anew, 0

    async def crashing(self: SealedArtifacts, key: str) -> bool:
        nonlocal done
        if done == contents:
            raise CrashError
        done += 1
        return await seal_anew(self, key)

    async def story() -> None:
        async with opened(older) as first:
            before = await state_of(first)
            with monkeypatch.context() as patch:
                patch.setattr(SealedArtifacts, "seal_anew", crashing)
                with pytest.raises(CrashError):
                    await first.rotation._pass()
            assert await state_of(first) == before
        async with opened(older) as again:
            assert await state_of(again) == before
            async with again.rotation.running():
                await again.sealed_anew()
            assert await state_of(again) == before
        assert {prefix[:3] for prefix in prefixes(older)} == {b"PF2"}

    run(story)


def test_a_content_that_cannot_be_opened_keeps_its_key(older: Path) -> None:
    """The rest is sealed anew; the key stays until the content is put back or removed."""
    broken = next(path for path in (older / "artifacts/runs").rglob("plan") if path.is_file())
    whole = broken.read_bytes()
    broken.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))

    async def story() -> None:
        async with opened(older) as installation:
            await installation.rotation._pass()
            assert (await installation.rotation.status()).under_way
            broken.write_bytes(whole)
            await installation.rotation._pass()
            assert not (await installation.rotation.status()).under_way

    run(story)


@pytest.mark.parametrize("rotated", [False, True], ids=["from before data keys", "with data keys"])
def test_a_change_of_the_master_key(older: Path, *, rotated: bool) -> None:
    """With the previous one given once, all is readable by the new one alone, and codes handed out stay valid."""
    new = b"n" * 32

    async def story() -> None:
        if rotated:
            async with opened(older) as first, first.rotation.running():
                await first.sealed_anew()
        code, token = (codes := DerivedCodes(Sealer(OLDER_KEY))).claim_code("a-1"), codes.attempt_token("a-1", "nonce")
        with pytest.raises(WrongMasterKeyError, match="PODFORM_MASTER_KEY_PREVIOUS"):
            async with opened(older, new):
                pass
        with pytest.raises(WrongMasterKeyError):
            async with opened(older, new, previous=b"x" * 32):
                pass
        for previous in (OLDER_KEY, OLDER_KEY, None):  # given once more it does no harm
            async with opened(older, new, previous) as changed:
                assert CANARY.encode() in await state_of(changed)
                assert CANARY in (await changed.variables()).values()
                assert (changed.codes.claim_code("a-1"), changed.codes.attempt_token("a-1", "nonce")) == (code, token)
        with pytest.raises(WrongMasterKeyError):
            async with opened(older, OLDER_KEY):
                pass

    run(story)


def test_a_retired_key_opens_nothing(tmp_path: Path) -> None:
    """A content that was kept aside from before a rotation is refused, and the line names the key."""

    async def story() -> None:
        async with opened(tmp_path) as installation, installation.rotation.running():
            kept = installation.sealer.seal(b"content", "place")
            await installation.rotation.rotate()
            await installation.sealed_anew()
            with pytest.raises(SealBrokenError, match=r"data key [0-9a-f]{16}"):
                installation.sealer.open(kept, "place")

    run(story)


def test_only_admins_see_and_rotate_keys(tmp_path: Path) -> None:
    """Others find nothing there; a repeated rotation makes one key; no answer holds a key."""

    async def story() -> None:
        async with api_in(tmp_path) as api:
            workspace = await api.workspace()
            organization = workspace.split("/")[4]
            made = await api.client.post("/pat/v1", json={"description": "one", "organizationId": organization})
            foreign = bearer(made.json()["token"])
            assert (await api.client.get("/keys/v1", headers=foreign)).status_code == 404
            assert (await api.client.post("/keys/v1/rotate", json={}, headers=foreign)).status_code == 404
            (only,) = (await api.client.get("/keys/v1")).json()["keys"]
            for _ in range(2):
                answer = await api.client.post("/keys/v1/rotate", json={"active": only["id"]})
                assert answer.status_code == 200
                assert len(answer.json()["keys"]) == 2
            assert answer.json()["resealing"] is True
            variable = Variable(
                id=new_id("variable"),
                workspace_id=workspace.split("/")[-1],
                key="k",
                value="v",
                category=VariableCategory.ENV,
                created_at=api.ports.clock(),
            )
            async with api.ports.database.writing() as tx:
                await tx.add(variable)
            async with api.ports.database.reading() as tx:
                assert await tx.get(Variable, variable.id) == variable

    run(story)

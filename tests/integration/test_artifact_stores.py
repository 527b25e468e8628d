"""What every artifact store does, on a directory and on a real S3 server; and what a wrong bucket is told at start."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from api.persistence import object_stores
from api.persistence.artifacts import SealedArtifacts
from api.persistence.object_stores import S3Access
from api.persistence.sealing import SealBrokenError, Sealer
from api.services.ports import ContentDiffersError, StorageAwayError
from common.errors import BadInputError
from tests import s3_server
from tests.s3_server import S3Server

SEALER = Sealer(bytes(32))
MakeArtifacts = Callable[[], SealedArtifacts]


def access(server: S3Server, key_id: str = s3_server.KEY_ID, key: str = s3_server.KEY, prefix: str = "p") -> S3Access:
    """A bucket of the server."""
    return S3Access(url=f"s3://bucket/{prefix}", endpoint=server.endpoint, access_key_id=key_id, secret_access_key=key)


@pytest.fixture(params=["directory", "bucket"])
def artifacts(request: pytest.FixtureRequest, tmp_path: Path) -> MakeArtifacts:
    """Makes artifacts on the one store and on the other, always on the same contents."""
    if request.param == "directory":
        return lambda: SealedArtifacts(tmp_path / "artifacts", SEALER)
    server: S3Server = request.getfixturevalue("s3")
    return lambda: SealedArtifacts(object_stores.s3_store(access(server, prefix=tmp_path.name)), SEALER)


@pytest.mark.parametrize("content", [b"", b"x", b"state " * 10_000, bytes(range(256)) * 50_000])
def test_what_was_put_is_got(artifacts: MakeArtifacts, content: bytes) -> None:
    """Whole, by whoever opens the store next; what was never put is None."""

    async def story() -> None:
        await artifacts().put("states/ws/sv", content)
        assert await artifacts().get("states/ws/sv") == content
        assert await artifacts().get("states/ws/other") is None

    asyncio.run(story())


def test_a_content_is_never_overwritten(artifacts: MakeArtifacts) -> None:
    """The same bytes again are harmless, others are refused, and of two at once one wins whole."""

    async def story() -> None:
        store = artifacts()
        await store.put("runs/r/a/plan", b"one")
        await store.put("runs/r/a/plan", b"one")
        with pytest.raises(ContentDiffersError):
            await store.put("runs/r/a/plan", b"two")
        assert await store.get("runs/r/a/plan") == b"one"
        puts = [store.put("runs/r/b/plan", bytes([number]) * 1000) for number in range(8)]
        ends = await asyncio.gather(*puts, return_exceptions=True)
        assert [type(end) for end in ends if end is not None] == [ContentDiffersError] * 7
        assert await store.get("runs/r/b/plan") == bytes([ends.index(None)]) * 1000

    asyncio.run(story())


def test_contents_are_sealed_to_their_key(s3: S3Server) -> None:
    """In the bucket lies no plain byte, and a content in the place of another is refused."""

    async def story() -> None:
        raw = object_stores.s3_store(access(s3, prefix="sealed"))
        store = SealedArtifacts(raw, SEALER)
        await store.put("states/a", b"canary " * 100)
        sealed = bytes(await (await raw.get_async("states/a")).bytes_async())
        assert b"canary" not in sealed
        await raw.put_async("states/b", sealed)
        with pytest.raises(SealBrokenError):
            await store.get("states/b")

    asyncio.run(story())


def test_a_name_without_its_bytes_is_written_again(tmp_path: Path) -> None:
    """What a loss of power may leave of a put that nobody was told of does not stand in the way of its repeat."""

    async def story() -> None:
        store = SealedArtifacts(tmp_path, SEALER)
        (tmp_path / "states").mkdir()
        (tmp_path / "states/a").write_bytes(b"")
        await store.put("states/a", b"content")
        assert await store.get("states/a") == b"content"

    asyncio.run(story())


@pytest.mark.parametrize(
    ("key_id", "key"),
    [(s3_server.READER_ID, s3_server.READER_KEY), (s3_server.KEY_ID, "not-the-key")],
    ids=["reads only", "wrong key"],
)
def test_keys_without_the_right_are_told_so(s3: S3Server, key_id: str, key: str) -> None:
    """At start, in one line that shows no key."""
    store = object_stores.s3_store(access(s3, key_id, key))
    with pytest.raises(BadInputError, match=r"PODFORM_ARTIFACTS_URL: .*may not write and delete") as refused:
        asyncio.run(object_stores.check(store, "s3://bucket/p"))
    assert key not in str(refused.value)


def test_a_server_that_is_away_is_told(s3: S3Server) -> None:
    """At start in one line, later as an outage and not as a missing content."""
    away = S3Access(url="s3://bucket", endpoint="http://127.0.0.1:1", access_key_id="a", secret_access_key="secret")
    store = object_stores.s3_store(away, retry_seconds=1)

    async def story() -> None:
        with pytest.raises(BadInputError, match="cannot be reached"):
            await object_stores.check(store, away.url)
        with pytest.raises(StorageAwayError):
            await SealedArtifacts(store, SEALER).get("states/a")

    asyncio.run(story())


@pytest.mark.parametrize("url", ["s3:///prefix", "http://host/bucket", "bucket", "s3://key:secret-word@bucket"])
def test_a_url_that_names_no_bucket_is_refused(url: str) -> None:
    """With what is allowed, and without being repeated: it may hold a secret."""
    with pytest.raises(BadInputError, match="must be s3://BUCKET") as refused:
        object_stores.s3_store(S3Access(url=url))
    assert "secret-word" not in str(refused.value)

"""Artifacts (configurations, plans, states), sealed, in an object store: a local directory or a bucket.

Implements the services' Artifacts port on obstore. A key's bytes appear whole or not at all, and are never
replaced by other bytes.
"""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import structlog
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import S3Store

from api.persistence.object_stores import ObjectStore, local_store
from api.persistence.sealing import PREFIX_BYTES, SealBrokenError, Sealer, sealed_prefix
from api.services.ports import ContentDiffersError, StorageAwayError, StorageFullError

_log = structlog.get_logger()

#: How the store words a full disk and an exhausted quota; it has no error class for them.
_NO_ROOM = ("os error 28", "No space left", "os error 122", "quota exceeded", "QuotaExceeded", "InsufficientStorage")


class SealedArtifacts:
    """Sealed contents by key; the key is authenticated, so that contents cannot be swapped."""

    def __init__(self, place: Path | S3Store, sealer: Sealer) -> None:
        """`place` is a directory or a bucket."""
        self._directory = place if isinstance(place, Path) else None
        self._store: ObjectStore = local_store(place) if isinstance(place, Path) else place
        self._sealer = sealer
        self._under_way: set[asyncio.Event] = set()

    async def remove_below(self, prefix: str) -> None:
        """Remove every content below a prefix, the empty directories with them."""
        try:
            async for part in self._store.list(prefix):
                if keys := [str(found["path"]) for found in part]:
                    await self._store.delete_async(keys)
        except (BaseError, OSError) as error:
            raise self._trouble(error, prefix) from error
        if self._directory is not None:
            await asyncio.to_thread(shutil.rmtree, self._directory / prefix, ignore_errors=True)

    async def settled(self) -> None:
        """Wait for the puts that are under way now."""
        await asyncio.gather(*(put.wait() for put in tuple(self._under_way)))

    async def prefixes(self) -> AsyncIterator[tuple[str, bytes]]:
        """Every key, with what its content begins with (which data key it has); empty for what is not sealed."""
        try:
            async for part in self._store.list(chunk_size=500):
                for found in part:
                    key = str(found["path"])
                    if int(found["size"]) < PREFIX_BYTES:
                        continue
                    try:
                        head = await self._store.get_range_async(key, start=0, length=PREFIX_BYTES)
                    except FileNotFoundError:
                        continue  # removed meanwhile
                    yield key, sealed_prefix(bytes(head))
        except (BaseError, OSError) as error:
            raise self._trouble(error, "") from error

    async def seal_anew(self, key: str) -> bool:
        """Seal a content with the active key, in place: whoever reads meanwhile gets it by the one or by the other.

        False when it cannot be opened.
        """
        try:
            answer = await self._store.get_async(key)
            tag = answer.meta["e_tag"]
            content = await asyncio.to_thread(self._sealer.open, bytes(await answer.bytes_async()), key)
            sealed = await asyncio.to_thread(self._sealer.seal, content, key)
            if self._directory is None:
                await self._store.put_async(key, sealed, mode={"e_tag": tag}, use_multipart=False)
            else:
                await self._store.put_async(key, sealed)
                await asyncio.to_thread(_sync, self._directory, key)
        except (FileNotFoundError, PreconditionError):
            pass  # removed, or sealed anew by another server, meanwhile
        except SealBrokenError as error:
            _log.error("artifact_cannot_be_opened", key=key, message=str(error))
            return False
        except (BaseError, OSError) as error:
            raise self._trouble(error, key) from error
        return True

    async def put(self, key: str, content: bytes) -> None:
        """Store whole; ContentDiffersError when the key has other bytes, StorageFullError, StorageAwayError."""
        done = asyncio.Event()
        self._under_way.add(done)
        try:
            await self._put(key, content)
        finally:
            self._under_way.discard(done)
            done.set()

    async def _put(self, key: str, content: bytes) -> None:
        sealed = await asyncio.to_thread(self._sealer.seal, content, key)
        try:
            try:
                await self._store.put_async(key, sealed, mode="create")
            except AlreadyExistsError:
                await self._repeated(key, content, sealed)
            if self._directory is not None:
                await asyncio.to_thread(_sync, self._directory, key)
        except (BaseError, OSError) as error:
            raise self._trouble(error, key) from error

    async def get(self, key: str) -> bytes | None:
        """The content, or None. StorageAwayError."""
        try:
            answer = await self._store.get_async(key)
            sealed = bytes(await answer.bytes_async())
        except FileNotFoundError:
            return None
        except (BaseError, OSError) as error:
            raise self._trouble(error, key) from error
        return await asyncio.to_thread(self._sealer.open, sealed, key)

    async def _repeated(self, key: str, content: bytes, sealed: bytes) -> None:
        """The key is there already: the same bytes again are harmless."""
        try:
            known = await self.get(key)
        except SealBrokenError:
            if self._directory is None:
                raise
            # a loss of power may leave a name without its bytes; nobody was told that this was stored
            _log.warning("artifact_rewritten", key=key)
            await self._store.put_async(key, sealed)
            return
        if known is not None and known != content:
            raise ContentDiffersError(f"{key} has its content already, and another one")

    def _trouble(self, error: Exception, key: str) -> Exception:
        """What a store's error is to the caller; the log has the store's own words."""
        text = str(error)
        if any(sign in text for sign in _NO_ROOM):
            return StorageFullError("the artifact store has no room left")
        if self._directory is not None:
            return error
        _log.warning("artifact_store_away", key=key, kind=type(error).__name__)
        return StorageAwayError("the artifact store does not answer")


def _sync(directory: Path, key: str) -> None:
    """The store leaves this to the system: after a loss of power the database would name a content that is gone."""
    path = directory / key
    while path != directory.parent:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        path = path.parent

"""Artifacts (configurations, plans, states), sealed, in an object store: a local directory.

Implements the services' Artifacts port on obstore. A key's bytes appear whole or not at all.
"""

import asyncio
import os
from pathlib import Path

from obstore.store import LocalStore

from api.persistence.sealing import Sealer
from api.services.ports import StorageFullError

#: How the store words a full disk and an exhausted quota; it has no error class for them.
_NO_ROOM = ("os error 28", "No space left", "os error 122", "quota exceeded")


class SealedArtifacts:
    """Sealed contents by key; the key is authenticated, so that contents cannot be swapped."""

    def __init__(self, directory: Path, sealer: Sealer) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._store = LocalStore(directory)
        self._directory = directory
        self._sealer = sealer

    async def put(self, key: str, content: bytes) -> None:
        """Store whole; StorageFullError when there is no room."""
        sealed = await asyncio.to_thread(self._sealer.seal, content, key)
        try:
            await self._store.put_async(key, sealed)
            await asyncio.to_thread(self._sync, key)
        except Exception as error:
            if any(sign in str(error) for sign in _NO_ROOM):
                raise StorageFullError("the artifact store has no room left") from error
            raise

    def _sync(self, key: str) -> None:
        """The store leaves this to the system: after a loss of power the database would name a content that is gone."""
        path = self._directory / key
        while path != self._directory.parent:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            path = path.parent

    async def get(self, key: str) -> bytes | None:
        """The content, or None."""
        try:
            answer = await self._store.get_async(key)
            sealed = bytes(await answer.bytes_async())
        except FileNotFoundError:
            return None
        return await asyncio.to_thread(self._sealer.open, sealed, key)

"""Artifacts (configurations, plans, states), sealed, in an object store: a local directory.

Implements the services' Artifacts port on obstore. A key's bytes appear whole or not at all.
"""

import asyncio
from pathlib import Path

from obstore.store import LocalStore

from api.persistence.sealing import Sealer
from api.services.ports import StorageFullError


class SealedArtifacts:
    """Sealed contents by key; the key is authenticated, so that contents cannot be swapped."""

    def __init__(self, directory: Path, sealer: Sealer) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._store = LocalStore(directory)
        self._sealer = sealer

    async def put(self, key: str, content: bytes) -> None:
        """Store whole; StorageFullError when there is no room."""
        sealed = await asyncio.to_thread(self._sealer.seal, content, key)
        try:
            await self._store.put_async(key, sealed)
        except Exception as error:
            if "os error 28" in str(error) or "No space left" in str(error):
                raise StorageFullError("the artifact store has no room left") from error
            raise

    async def get(self, key: str) -> bytes | None:
        """The content, or None."""
        try:
            answer = await self._store.get_async(key)
            sealed = bytes(await answer.bytes_async())
        except FileNotFoundError:
            return None
        return await asyncio.to_thread(self._sealer.open, sealed, key)

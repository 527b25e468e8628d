"""Opens the stores before anything is served or scheduled, and closes the database at the end.

Used by api/app.py for the server, and through it by what works on the stores alone (api/restore.py).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from obstore.store import S3Store

from api.persistence import object_stores


class Preparable(Protocol):
    """A database of either kind."""

    async def prepare(self) -> None:
        """Bring the schema to this version's; refuse what cannot be served."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


@asynccontextmanager
async def opened_stores(artifacts_url: str, bucket: S3Store | None, database: Preparable) -> AsyncIterator[None]:
    """The bucket answers and the database is ready while the block runs."""
    if bucket is not None:
        await object_stores.check(bucket, artifacts_url)
    await database.prepare()
    try:
        yield
    finally:
        await database.close()

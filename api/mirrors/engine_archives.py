"""Archives of engines: fetched once from a mirror, kept in the artifact store, served from files of this machine.

Implements the services' EngineArchives port. However many ask for an archive at once, it is fetched once; only one
is in memory at a time, while it is sealed or opened.
"""

import asyncio
import errno
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from api.domain.engine_archive import archive_id
from api.services.ports import Artifacts, EngineMirror, EngineMirrorError, FetchedArchive, StorageFullError


class EngineArchiveFiles:
    """Archives below one directory, filled from the artifact store or the mirrors."""

    def __init__(self, directory: Path, artifacts: Artifacts, mirrors: Mapping[str, EngineMirror]) -> None:
        self.mirrors = mirrors
        self._directory = directory
        self._artifacts = artifacts
        self._under_way: dict[str, asyncio.Task[FetchedArchive]] = {}
        self._memory = asyncio.Lock()

    async def ensure(
        self, name: str, version: str, platform: str, *, sha256: str, wait_seconds: float
    ) -> FetchedArchive | None:
        """The archive as a file here; None when it is still being fetched after so many seconds: ask again."""
        key = archive_id(name, version, platform)
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.create_task(self._fetched(name, version, platform, sha256), name=f"engine {key}")
            self._under_way[key] = task
            task.add_done_callback(lambda ended: self._ended(key, ended))
        done, _ = await asyncio.wait({task}, timeout=wait_seconds)
        return task.result() if done else None

    async def close(self) -> None:
        """Give up what is being fetched."""
        for task in list(self._under_way.values()):
            task.cancel()
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)

    def _ended(self, key: str, task: "asyncio.Task[FetchedArchive]") -> None:
        self._under_way.pop(key, None)
        if not task.cancelled():
            task.exception()  # looked at, also when nobody waits any more

    async def _fetched(self, name: str, version: str, platform: str, sha256: str) -> FetchedArchive:
        try:
            return await self._made(name, version, platform, sha256)
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise StorageFullError("no room is left for an engine's archive") from error
            raise EngineMirrorError(f"the archive cannot be kept here: {error.strerror}") from error

    async def _made(self, name: str, version: str, platform: str, sha256: str) -> FetchedArchive:
        path = self._directory / f"{name}_{version}_{platform}.zip"
        if sha256 and path.is_file() and await asyncio.to_thread(_sha256, path) == sha256:
            return FetchedArchive(path, sha256, path.stat().st_size)
        key = archive_id(name, version, platform)
        if sha256 and (kept := await self._from_store(key, path, sha256)) is not None:
            return kept
        found = await self._from_mirror(name, version, platform, path)
        if sha256 not in {"", found.sha256}:
            raise EngineMirrorError(f"the mirror has another archive of {key} than the one that was kept")
        return found

    async def _from_mirror(self, name: str, version: str, platform: str, path: Path) -> FetchedArchive:
        mirror = self.mirrors.get(name)
        if mirror is None:
            raise EngineMirrorError(f"{name} {version} is missing in the artifact store, and there is no mirror for it")
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
        try:
            found = await mirror.fetch(version, platform, fresh)
            async with self._memory:
                content = await asyncio.to_thread(fresh.read_bytes)
                size = len(content)
                await self._artifacts.put(f"engines/{archive_id(name, version, platform)}/{found}", content)
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)
        return FetchedArchive(path, found, size)

    async def _from_store(self, key: str, path: Path, sha256: str) -> FetchedArchive | None:
        async with self._memory:
            content = await self._artifacts.get(f"engines/{key}/{sha256}")
            if content is None:
                return None
            await asyncio.to_thread(_write_whole, path, content)
        return FetchedArchive(path, sha256, len(content))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_whole(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        fresh.write_bytes(content)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)

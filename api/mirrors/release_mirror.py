"""A release mirror: an address or a directory laid out as the release sites of terraform and tofu are.

<base>/index.json (or api.json), <base>/<version>/<name>_<version>_<platform>.zip beside <name>_<version>_SHA256SUMS.
Addresses that an index names are never followed. Nothing is asked before somebody needs a version.
"""

import asyncio
import hashlib
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from api.domain.engine_archive import MAX_ARCHIVE_BYTES, MAX_INDEX_BYTES, checksum_of, file_name, versions_in_index
from api.mirrors.signatures import Keyring
from api.services.ports import EngineMirrorError

_INDEX_SECONDS = 600.0
_TIMEOUT_SECONDS = 30.0
_BLOCK = 1 << 18
_SMALL_BYTES = 1024**2
_SIGNATURES = {"terraform": ".sig", "tofu": ".gpgsig"}


class ReleaseMirror:
    """One mirror of one engine."""

    def __init__(self, name: str, base: str, *, index: str = "", keyring: Keyring | None = None, ca_file: str = ""):
        self.name = name
        self.url = base.rstrip("/")
        self.signed = keyring is not None
        self._indexes = [index] if index else [f"{self.url}/index.json", f"{self.url}/api.json"]
        self._keyring = keyring
        self._ca_file = ca_file
        self._versions: tuple[str, ...] = ()
        self._read_at: float | None = None
        self._reading = asyncio.Lock()

    async def versions(self) -> tuple[str, ...]:
        """All versions that the index names, at most ten minutes old; older ones while the mirror is away."""
        async with self._reading:
            if self._read_at is None or time.monotonic() - self._read_at > _INDEX_SECONDS:
                try:
                    self._versions = await self._index()
                    self._read_at = time.monotonic()
                except EngineMirrorError:
                    if self._read_at is None:
                        raise
            return self._versions

    async def fetch(self, version: str, platform: str, target: Path) -> str:
        """Fetch an archive into a file; its SHA-256, which is the one that SHA256SUMS states.

        Raises EngineMirrorError; OSError when the file cannot be written.
        """
        archive = file_name(self.name, version, platform)
        folder, sums = await self._sums(version)
        wanted = checksum_of(sums.decode("utf-8", "replace"), archive)
        if wanted is None:
            raise EngineMirrorError(f"{self.url} has no {self.name} {version} for {platform}")
        found = await self._download(f"{folder}/{archive}", target)
        if found != wanted:
            raise EngineMirrorError(f"{archive} from {self.url} has the SHA-256 {found}, SHA256SUMS says {wanted}")
        return wanted

    async def _index(self) -> tuple[str, ...]:
        for place in self._indexes:
            text = await self._read(place, MAX_INDEX_BYTES)
            if text is not None:
                try:
                    return versions_in_index(json.loads(text))
                except ValueError as error:
                    raise EngineMirrorError(f"{place} is no index of releases: {error}") from error
        if not _is_web(self.url):
            return tuple(path.name.removeprefix("v") for path in await asyncio.to_thread(_folders, Path(self.url)))
        raise EngineMirrorError(f"{self.url} has no index: {' and '.join(self._indexes)} were not found")

    async def _sums(self, version: str) -> tuple[str, bytes]:
        """The folder of a version and its checked SHA256SUMS."""
        for folder in (f"{self.url}/{version}", f"{self.url}/v{version}"):
            place = f"{folder}/{self.name}_{version}_SHA256SUMS"
            sums = await self._read(place, _SMALL_BYTES)
            if sums is None:
                continue
            if self._keyring is not None:
                signature = await self._read(place + _SIGNATURES[self.name], _SMALL_BYTES)
                if signature is None:
                    raise EngineMirrorError(f"{place} has no signature beside it")
                await self._keyring.check(sums, signature, place)
            return folder, sums
        raise EngineMirrorError(f"{self.url} has no {self.name} {version}: its SHA256SUMS was not found")

    async def _read(self, place: str, most: int) -> bytes | None:
        """A small file, or None when there is none."""
        async with self._blocks(place, most) as blocks:
            return None if blocks is None else b"".join([block async for block in blocks])

    async def _download(self, place: str, target: Path) -> str:
        digest = hashlib.sha256()
        async with self._blocks(place, MAX_ARCHIVE_BYTES) as blocks:
            if blocks is None:
                raise EngineMirrorError(f"{place} was not found")
            with target.open("wb") as file:
                async for block in blocks:
                    digest.update(block)
                    file.write(block)
        return digest.hexdigest()

    @asynccontextmanager
    async def _blocks(self, place: str, most: int) -> AsyncIterator[AsyncIterator[bytes] | None]:
        if not _is_web(place):
            there = await asyncio.to_thread(Path(place).is_file)
            yield _of_file(Path(place), most) if there else None
            return
        import httpx  # costs 50 ms, and most installations have no mirror

        try:
            async with (
                httpx.AsyncClient(
                    timeout=_TIMEOUT_SECONDS, follow_redirects=True, verify=_context(self._ca_file)
                ) as client,
                client.stream("GET", place) as answer,
            ):
                if answer.status_code in {403, 404}:  # buckets say 403 for what they do not have
                    yield None
                    return
                if answer.status_code != 200:
                    raise EngineMirrorError(f"{place} was answered with {answer.status_code}")
                yield _bounded(answer.aiter_bytes(_BLOCK), place, most)
        except httpx.HTTPError as error:
            raise EngineMirrorError(f"{place} cannot be reached: {type(error).__name__} {error}") from error


def _is_web(place: str) -> bool:
    return place.startswith(("http://", "https://"))


def _folders(base: Path) -> list[Path]:
    return [path for path in base.iterdir() if path.is_dir()] if base.is_dir() else []


async def _of_file(path: Path, most: int) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(path.open, "rb") as file:
        if os.fstat(file.fileno()).st_size > most:
            raise EngineMirrorError(f"{path} has more than {most} bytes")
        while block := await asyncio.to_thread(file.read, _BLOCK):
            yield block


async def _bounded(blocks: AsyncIterator[bytes], place: str, most: int) -> AsyncIterator[bytes]:
    size = 0
    async for block in blocks:
        size += len(block)
        if size > most:
            raise EngineMirrorError(f"{place} has more than {most} bytes")
        yield block


def _context(ca_file: str) -> Any:
    import ssl

    context = ssl.create_default_context()
    if ca_file:
        context.load_verify_locations(cafile=ca_file)
    return context

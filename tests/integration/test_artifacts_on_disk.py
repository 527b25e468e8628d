"""What the local artifact store promises about the disk."""

import asyncio
import os
from pathlib import Path

import pytest

from api.persistence.artifacts import SealedArtifacts
from api.persistence.sealing import Sealer


def test_what_was_stored_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a put returns, the file and every directory that names it were flushed: a loss of power takes nothing."""
    flushed: set[str] = set()
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        flushed.add(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)

    async def scenario() -> None:
        artifacts = SealedArtifacts(tmp_path / "artifacts", Sealer(bytes(32)))
        await artifacts.put("states/ws/sv", b"state")
        assert await artifacts.get("states/ws/sv") == b"state"

    asyncio.run(scenario())
    root = tmp_path / "artifacts"
    assert flushed >= {str(root / name) for name in ("", "states", "states/ws", "states/ws/sv")}

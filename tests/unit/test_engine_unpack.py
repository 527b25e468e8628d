"""Only the one regular file of an engine's archive is unpacked; whatever is odd leaves nothing."""

import os
import stat
import zipfile
from pathlib import Path

import pytest

from executor import engine_store
from executor.errors import StepFailedError


def packed(path: Path, *members: tuple[str, bytes, int]) -> Path:
    """An archive of these names, contents and modes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content, mode in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return path


def test_program_alone(tmp_path: Path) -> None:
    """The program is there, executable, under its version; licence and paths that lead outside are not written."""
    archive = packed(
        tmp_path / "a.zip", ("LICENSE.txt", b"text", 0), ("../../evil", b"x", 0), ("terraform", b"program", 0o644)
    )
    place = tmp_path / "cache/1.9.8"
    place.mkdir(parents=True)
    assert engine_store.unpack(archive, "terraform", place).read_bytes() == b"program"
    assert os.access(place / "terraform", os.X_OK)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["1.9.8", "a.zip", "cache", "terraform"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    "members",
    [
        [],
        [("bin/terraform", b"x", 0)],
        [("../terraform", b"x", 0)],
        [("terraform", b"/etc/passwd", stat.S_IFLNK | 0o777)],
        [("terraform", b"x", 0), ("terraform", b"y", 0)],
    ],
    ids=["empty", "folder", "outside", "link", "twice"],
)
def test_odd_archives(tmp_path: Path, members: list[tuple[str, bytes, int]]) -> None:
    """No program at its place, a link or two of them: refused."""
    with pytest.raises(StepFailedError, match="archive holds"):
        engine_store.unpack(packed(tmp_path / "a.zip", *members), "terraform", tmp_path / "1.9.8")
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def test_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than a program may have is refused before it is written."""
    monkeypatch.setattr(engine_store, "MAX_PROGRAM_BYTES", 1 << 20)
    archive = packed(tmp_path / "a.zip", ("terraform", bytes(2 << 20), 0))
    with pytest.raises(StepFailedError, match="more than"):
        engine_store.unpack(archive, "terraform", tmp_path / "1.9.8")


@pytest.mark.parametrize("damage", ["truncated", "altered", "no archive"])
def test_damaged(tmp_path: Path, damage: str) -> None:
    """What is no whole archive leaves nothing."""
    archive = packed(tmp_path / "a.zip", ("terraform", os.urandom(5000), 0))
    content = bytearray(archive.read_bytes())
    content[2000] ^= 1
    archive.write_bytes({"truncated": bytes(content[:3000]), "altered": bytes(content), "no archive": b"x"}[damage])
    with pytest.raises(StepFailedError, match="cannot be read"):
        engine_store.unpack(archive, "terraform", tmp_path / "1.9.8")
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]

"""Release mirrors over real HTTP and from directories: layouts, checksums, signatures, outages."""

import asyncio
import base64
import shutil
from pathlib import Path

import pytest

from api.mirrors.engine_archives import EngineArchiveFiles
from api.mirrors.release_mirror import ReleaseMirror
from api.mirrors.signatures import Keyring
from api.persistence.artifacts import SealedArtifacts
from api.persistence.sealing import Sealer
from api.services.ports import EngineMirrorError
from common.errors import BadInputError
from executor import engines
from tests.fakes.release_site import Site, publish, serving

PLATFORM = engines.platform()
#: Two keys that were made for these tests, and what the first one has signed.
KEY_A = """-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEawbaXxYJKwYBBAHaRw8BAQdAR4soeDlIvNKOX8fX2s/PCytsC3u0ykdQ126M
ov0kEMq0B3Rlc3RzLWGIkAQTFggAOBYhBFkDAq0TYLLrBPv+UfzTpqDVYF1FBQJr
BtpfAhsDBQsJCAcCBhUKCQgLAgQWAgMBAh4BAheAAAoJEPzTpqDVYF1Fk7IA/1PS
2m90rL/9WmRhYMmP9skxzwabojrTLdWZO46DZNdXAQDW7yrUvkMFc3fkHeg4uqYB
IKxZrJmozsamakr5oepsAw==
=1VJE
-----END PGP PUBLIC KEY BLOCK-----
"""
KEY_B = base64.b64decode(
    "mDMEawbaXxYJKwYBBAHaRw8BAQdAe3DCaPjJaFoR+l3XFuHw0HcF12nYaPBZpDqLWU0ZQMC0B3Rlc3RzLWKIkAQTFggAOBYhBHbjhSnP2QKX/AvQ"
    "sXEvdb6/9iAHBQJrBtpfAhsDBQsJCAcCBhUKCQgLAgQWAgMBAh4BAheAAAoJEHEvdb6/9iAH/+ABAI7cKELgLKWEUIQOevnY3c6MOGW7HG3/WeoI"
    "URPUpQLMAP9fft+LYdEhfMJbiqOuwcQQyr4NlkO2Ml6IDZOVMZj0Aw=="
)
SIGNED = b"sums of the tests\n"
SIGNATURE = base64.b64decode(
    "iHUEABYIAB0WIQRZAwKtE2Cy6wT7/lH806ag1WBdRQUCawbaXwAKCRD806ag1WBdReTlAQD2jJtzIptEf6uhn9wfPdJo/uha+uT/beI44fweGjGX"
    "yAEA262EzkfD/BQPPVeCWTPjCge+vS2CEd5rj4LJPF+sNQI="
)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A directory with one release."""
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    publish(tmp_path / "site", program, "1.9.8")
    return tmp_path / "site"


def archives(tmp_path: Path, mirror: ReleaseMirror) -> EngineArchiveFiles:
    """Archives that come from this mirror."""
    artifacts = SealedArtifacts(tmp_path / "artifacts", Sealer(bytes(32)))
    return EngineArchiveFiles(tmp_path / "kept", artifacts, {"terraform": mirror})


def test_fetched_once(tmp_path: Path, site: Path) -> None:
    """Eight who ask at once get one archive that was fetched once, and it is there when mirror and file are gone."""

    async def asked(web: Site) -> None:
        kept = archives(tmp_path, ReleaseMirror("terraform", web.url))
        wanted = [kept.ensure("terraform", "1.9.8", PLATFORM, sha256="", wait_seconds=30) for _ in range(8)]
        first, *others = await asyncio.gather(*wanted)
        assert first is not None
        assert {item.sha256 for item in others if item} == {first.sha256}
        assert len([path for path in web.requests if path.endswith(".zip")]) == 1
        for damage in (first.path.unlink, lambda: first.path.write_bytes(b"altered")):
            damage()
            shutil.rmtree(site, ignore_errors=True)
            again = await kept.ensure("terraform", "1.9.8", PLATFORM, sha256=first.sha256, wait_seconds=30)
            assert again == first
        assert [path.name for path in (tmp_path / "kept").iterdir()] == [first.path.name]

    with serving(site) as web:
        asyncio.run(asked(web))


def test_slow_mirror(tmp_path: Path, site: Path) -> None:
    """Who does not want to wait is told to ask again; the fetch goes on and is found."""

    async def asked(web: Site) -> None:
        kept = archives(tmp_path, ReleaseMirror("terraform", web.url))
        assert await kept.ensure("terraform", "1.9.8", PLATFORM, sha256="", wait_seconds=0) is None
        assert await kept.ensure("terraform", "1.9.8", PLATFORM, sha256="", wait_seconds=30)

    with serving(site) as web:
        asyncio.run(asked(web))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("corrupt", "SHA256SUMS says"),
        ("truncated", "SHA256SUMS says"),
        ("unlisted", "has no"),
        ("missing", "not found"),
    ],
)
def test_bad_archive(tmp_path: Path, site: Path, damage: str, said: str) -> None:
    """What is not what SHA256SUMS says is not kept, and the sentence says why."""
    (archive,) = site.glob("*/*.zip")
    content = archive.read_bytes()
    if damage == "corrupt":
        archive.write_bytes(content[:-1] + b"x")
    elif damage == "truncated":
        archive.write_bytes(content[:50])
    elif damage == "unlisted":
        (sums,) = site.glob("*/*SUMS")
        sums.write_text("")
    else:
        archive.unlink()

    async def asked(web: Site) -> None:
        kept = archives(tmp_path, ReleaseMirror("terraform", web.url))
        with pytest.raises(EngineMirrorError, match=said):
            await kept.ensure("terraform", "1.9.8", PLATFORM, sha256="", wait_seconds=30)
        assert list((tmp_path / "kept").iterdir()) == []

    with serving(site) as web:
        asyncio.run(asked(web))


def test_index_while_away(site: Path) -> None:
    """An index that was read counts while the mirror is away; one that never was is an error that names the place."""

    async def asked() -> None:
        with serving(site) as web:
            mirror = ReleaseMirror("terraform", web.url)
            assert await mirror.versions() == ("1.9.8",)
        mirror._read_at = -1e9
        assert await mirror.versions() == ("1.9.8",)
        with pytest.raises(EngineMirrorError, match=r"127\.0\.0\.1.*cannot be reached"):
            await ReleaseMirror("terraform", web.url).versions()

    asyncio.run(asked())


def test_directory_and_tofu_layout(tmp_path: Path) -> None:
    """A directory needs no index; tofu's folders begin with v."""
    program = tmp_path / "program"
    program.write_text("x")
    publish(tmp_path / "site", program, "1.8.0", name="tofu", folder="v1.8.0")
    (tmp_path / "site/index.json").unlink()

    async def asked() -> None:
        mirror = ReleaseMirror("tofu", str(tmp_path / "site"))
        assert await mirror.versions() == ("1.8.0",)
        assert await mirror.fetch("1.8.0", PLATFORM, tmp_path / "target")
        with pytest.raises(EngineMirrorError, match=r"has no tofu 1\.8\.1"):
            await mirror.fetch("1.8.1", PLATFORM, tmp_path / "target")
        (tmp_path / "site/api.json").write_text('{"versions": [{"id": "1.8.0"}, {"id": "1.7.0"}]}')
        assert await ReleaseMirror("tofu", str(tmp_path / "site")).versions() == ("1.8.0", "1.7.0")
        (tmp_path / "site/api.json").write_text("<html>")
        with pytest.raises(EngineMirrorError, match="no index of releases"):
            await ReleaseMirror("tofu", str(tmp_path / "site")).versions()

    asyncio.run(asked())


def test_signatures(tmp_path: Path, site: Path) -> None:
    """With keys, SHA256SUMS counts only when one of them has signed it."""
    (tmp_path / "a.asc").write_text(KEY_A)
    (tmp_path / "b.gpg").write_bytes(KEY_B)
    (tmp_path / "both.gpg").write_bytes(KEY_B + base64.b64decode("".join(KEY_A.splitlines()[2:-2])))

    async def asked() -> None:
        for name in ("a.asc", "both.gpg"):
            await Keyring(tmp_path / name).check(SIGNED, SIGNATURE, "it")
        for content, key in ((SIGNED + b"x", "a.asc"), (SIGNED, "b.gpg")):
            with pytest.raises(EngineMirrorError, match="not signed by a key of PODFORM_ENGINE_KEYS_FILE"):
                await Keyring(tmp_path / key).check(content, SIGNATURE, "it")
        mirror = ReleaseMirror("terraform", str(site), keyring=Keyring(tmp_path / "a.asc"))
        with pytest.raises(EngineMirrorError, match="no signature beside it"):
            await mirror.fetch("1.9.8", PLATFORM, tmp_path / "target")
        (site / "1.9.8/terraform_1.9.8_SHA256SUMS.sig").write_bytes(SIGNATURE)
        with pytest.raises(EngineMirrorError, match="not signed"):
            await mirror.fetch("1.9.8", PLATFORM, tmp_path / "target")
        (site / "1.9.8/terraform_1.9.8_SHA256SUMS").write_bytes(SIGNED)
        with pytest.raises(EngineMirrorError, match="has no terraform"):  # signed well, but it lists nothing
            await mirror.fetch("1.9.8", PLATFORM, tmp_path / "target")

    asyncio.run(asked())


@pytest.mark.parametrize("content", [None, b"", b"text", b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n"])
def test_no_keys(tmp_path: Path, content: bytes | None) -> None:
    """A file that holds no keys stops the start with a line that names the setting."""
    if content is not None:
        (tmp_path / "keys").write_bytes(content)
    with pytest.raises(BadInputError, match="PODFORM_ENGINE_KEYS_FILE"):
        Keyring(tmp_path / "keys")

"""What is read of a lock file, and the CLI configuration that follows."""

from pathlib import Path

import pytest

from executor import settings
from executor.errors import SettingsError
from executor.provider_lock import LockedProvider, parse
from executor.providers import cli_configuration, mirrored

LOCK = """# This file is maintained automatically by "terraform init".

provider "registry.terraform.io/hashicorp/null" {
  version     = "2.1.2"
  constraints = "~> 2.1"
  hashes = [
    "h1:9eIyI+cFUNZo2gCRmVGxdNdIKvBp5wxdn8GIvJkMzGM=",
    "zh:aaaa",
  ]
}

provider "registry.terraform.io/hashicorp/bare" {
  version = "1.0.0-rc1"
}
"""


def test_lock_file() -> None:
    """Every pinned provider with its version and checksums; the unpacked ones apart."""
    null, bare = parse(LOCK)
    assert (null.address, null.version) == ("registry.terraform.io/hashicorp/null", "2.1.2")
    assert null.directory_hashes == ("h1:9eIyI+cFUNZo2gCRmVGxdNdIKvBp5wxdn8GIvJkMzGM=",)
    assert null.hashes[1] == "zh:aaaa"
    assert bare == LockedProvider("registry.terraform.io/hashicorp/bare", "1.0.0-rc1", ())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "provider {",
        LOCK.replace("registry.terraform.io/hashicorp/", "../../"),
        LOCK.replace('"2.1.2"', '"../2.1.2"').replace('"1.0.0-rc1"', '"../.."'),
        LOCK.replace("  version", "version"),
    ],
)
def test_no_lock_file(text: str) -> None:
    """What terraform did not write itself, or leads elsewhere as a path, pins nothing."""
    assert parse(text) == ()


def test_cli_configuration(tmp_path: Path) -> None:
    """Each provider comes from one place: cache before mirror before its registry."""
    (tmp_path / "registry.terraform.io/hashicorp/null/2.1.2/linux_amd64").mkdir(parents=True)
    (tmp_path / "registry.terraform.io/hashicorp/empty").mkdir()
    assert mirrored(tmp_path) == ["registry.terraform.io/hashicorp/null"]
    mirrors = {Path('/srv/"${x}'): ["a/b/c", "a/b/d"], Path("/srv/none"): ["a/b/c"]}
    assert cli_configuration("/step/links", ["a/b/c"], mirrors) == (
        "provider_installation {\n"
        '  filesystem_mirror {\n    path = "/step/links"\n    include = ["a/b/c"]\n  }\n'
        '  filesystem_mirror {\n    path = "/srv/\\"$${x}"\n    include = ["a/b/d"]\n  }\n'
        '  direct {\n    exclude = ["a/b/c", "a/b/d"]\n  }\n'
        "}\n"
    )
    assert cli_configuration("/step/links", [], {Path("/srv"): ["a/b/c"]}, "https://m/").endswith(
        '  network_mirror {\n    url = "https://m/"\n    exclude = ["a/b/c"]\n  }\n}\n'
    )
    assert cli_configuration("/step/links", [], {}) == "provider_installation {\n  direct {\n  }\n}\n"


def test_settings() -> None:
    """Mirrors are absolute directories, separated by colons."""
    environ = {"EphemeralFlagBatch": "false", "PODFORM_PROVIDER_MIRRORS": "/a:/b", "PODFORM_PROVIDER_CACHE": "/c"}
    wanted = settings.read(environ)
    assert (wanted.provider_mirrors, wanted.provider_cache) == ((Path("/a"), Path("/b")), Path("/c"))
    with pytest.raises(SettingsError, match=r"PODFORM_PROVIDER_MIRRORS.*'b'"):
        settings.read({**environ, "PODFORM_PROVIDER_MIRRORS": "/a:b"})

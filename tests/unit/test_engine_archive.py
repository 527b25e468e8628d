"""Which version a constraint means, and what release sites say about their files."""

from typing import Any

import pytest

from api.domain.engine_archive import (
    archive_id,
    checksum_of,
    file_name,
    is_platform,
    newest_few,
    newest_fitting,
    versions_in_index,
)

KNOWN = ["1.0.11", "1.9.8", "1.10.0", "1.11.0-rc1", "v1.9.2", "no version"]


@pytest.mark.parametrize(
    ("constraint", "version"),
    [
        ("", "1.10.0"),
        ("~> 1.9.0", "1.9.8"),
        ("= 1.9.2", "1.9.2"),
        ("1.11.0-rc1", "1.11.0-rc1"),
        (">= 1.11", None),
        ("< 1.1", None),  # older than steps are built for
    ],
)
def test_newest_fitting(constraint: str, version: str | None) -> None:
    """The newest release that fits; a pre-release only when it is named."""
    assert newest_fitting("terraform", constraint, KNOWN) == version


@pytest.mark.parametrize(
    "document",
    [
        {"name": "terraform", "versions": {"1.9.8": {}, "odd": {}}},
        {"versions": [{"id": "1.9.8", "files": []}, "text", {}]},
        [{"tag_name": "v1.9.8", "assets": []}],
    ],
)
def test_index(document: Any) -> None:
    """HashiCorp's, OpenTofu's and GitHub's form."""
    assert versions_in_index(document) == ("1.9.8",)


@pytest.mark.parametrize("document", [{}, "text", None, {"versions": 3}])
def test_no_index(document: Any) -> None:
    """Anything else is refused."""
    with pytest.raises(ValueError, match="form"):
        versions_in_index(document)


def test_checksums() -> None:
    """The line of exactly this file, in text or binary form."""
    sums = f"{'A' * 64}  x.zip\nshort  y.zip\n{'b' * 64} *y.zip\n\n"
    assert checksum_of(sums, "x.zip") == "a" * 64
    assert checksum_of(sums, "y.zip") == "b" * 64
    assert checksum_of(sums, "zip") is None


def test_words() -> None:
    """Names, ids, and lists for people."""
    assert file_name("tofu", "1.8.0", "linux_arm64") == "tofu_1.8.0_linux_arm64.zip"
    assert archive_id("tofu", "1.8.0", "linux_arm64") == "tofu/1.8.0/linux_arm64"
    assert is_platform("linux_amd64")
    assert not is_platform("../x_y")
    assert newest_few([]) == "none"
    assert newest_few(KNOWN, 2) == "1.11.0-rc1, 1.10.0 and 3 older ones"
    assert newest_few(["1.2.3"]) == "1.2.3"

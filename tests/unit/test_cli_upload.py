"""Which files of a directory are uploaded."""

from pathlib import Path

import pytest

from cli.errors import CommandError
from cli.upload import ignore_spec, names_to_upload

_CASES = [
    # name, lines of .terraformignore, whether it is uploaded
    ("main.tf", [], True),
    (".git/config", [], False),
    ("modules/a/.git/config", [], False),
    (".gitignore", [], True),
    (".terraform/providers/x", [], False),
    (".terraform/modules/modules.json", [], True),
    ("sub/.terraform/environment", [], False),
    (".terraform.lock.hcl", [], True),
    ("terraform.tfstate", [], False),
    ("sub/terraform.tfstate.backup", [], False),
    ("terraform.tfstate", ["!terraform.tfstate"], True),
    ("notes.md", ["*.md"], False),
    ("docs/notes.md", ["*.md"], False),
    ("docs/notes.md", ["/*.md"], True),
    ("docs/notes.md", ["docs/"], False),
    ("docs/keep.md", ["docs/", "!docs/keep.md"], True),
    ("docs/a/b/c.txt", ["docs/**/c.txt"], False),
    ("main.tf", ["*", "!*.tf"], True),
    ("secret.txt", ["*", "!*.tf"], False),
    ("notes.md", ["# *.md", ""], True),
]


@pytest.mark.parametrize(("name", "lines", "uploaded"), _CASES)
def test_the_last_rule_that_matches_decides(name: str, lines: list[str], uploaded: bool) -> None:
    """A name is uploaded unless the last rule that matches it leaves it out."""
    assert ignore_spec(lines).match_file(name) is not uploaded


def test_names_are_files_and_links_only(tmp_path: Path) -> None:
    """Files and links are named, links are not followed, directories are not named."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "main.tf").touch()
    (tmp_path / "link").symlink_to("sub", target_is_directory=True)
    (tmp_path / ".terraformignore").write_text("*.md\n")
    (tmp_path / "read.md").touch()
    assert names_to_upload(tmp_path) == [".terraformignore", "link", "sub/main.tf"]


def test_only_the_ignore_file_at_the_root_counts(tmp_path: Path) -> None:
    """A .terraformignore in a subdirectory is a file like any other."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / ".terraformignore").write_text("*")
    (tmp_path / "sub" / "main.tf").touch()
    assert "sub/main.tf" in names_to_upload(tmp_path)


def test_an_empty_directory_is_refused(tmp_path: Path) -> None:
    """A directory with nothing to upload is refused before anything is asked of the API."""
    with pytest.raises(CommandError, match="holds no file to upload"):
        names_to_upload(tmp_path)


def test_an_unreadable_ignore_file_is_named(tmp_path: Path) -> None:
    """A .terraformignore that is no text is refused by its name."""
    (tmp_path / ".terraformignore").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CommandError, match=r"\.terraformignore: cannot be read"):
        names_to_upload(tmp_path)

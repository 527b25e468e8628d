"""The files by which a credential reaches git and ssh, read back by the real programs."""

import subprocess
from pathlib import Path

import pytest

from common.git_source import GitSource
from executor import git_credentials
from executor.git import CONFIGURATION, environment


def asked(home: Path, source: GitSource, host: str) -> str:
    """What git finds as a credential for a host, with what was placed."""
    lines, _ = git_credentials.place(source, home)
    (home / ".gitconfig").write_text(CONFIGURATION + lines)
    done = subprocess.run(
        ["git", "credential", "fill"],
        input=f"protocol=https\nhost={host}\n\n",
        env=environment(source, home, "/usr/local/bin:/usr/bin:/bin", {}),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout


@pytest.mark.parametrize("name", ["plain", "with space", 'quo"te', "back\\slash", "per%cent", "a'b"])
def test_a_token_is_found_for_its_host_alone(tmp_path: Path, name: str) -> None:
    """Whatever the directory and the token are called, in either spelling of the host; other hosts get nothing."""
    home = tmp_path / name
    home.mkdir()
    source = GitSource(url="https://Git.example/a.git", user_name="me@x", token="p/w:@%2F'")
    for host in ("git.example", "Git.example"):
        assert "username=me@x\npassword=p/w:@%2F'\n" in asked(home, source, host)
    assert "password" not in asked(home, source, "git.example:8443")
    assert "password" not in asked(home, source, "evil.example")
    assert {path.stat().st_mode & 0o77 for path in home.iterdir() if path.name == "credentials"} == {0}


@pytest.mark.parametrize("name", ["plain", "with space", "per%cent"])
def test_ssh_reads_what_was_placed(tmp_path: Path, name: str) -> None:
    """Only our key, only our known hosts, never a question."""
    home = tmp_path / name
    home.mkdir()
    lines, variables = git_credentials.place(GitSource(url="git@h:a", private_key="k", known_hosts="h"), home)
    assert lines == ""
    assert variables["GIT_SSH_COMMAND"].startswith("ssh -F ")
    done = subprocess.run(
        ["ssh", "-F", str(home / "ssh_config"), "-G", "git.example"], capture_output=True, text=True, check=True
    )
    for line in (f"identityfile {home}/key", f"userknownhostsfile {home}/known_hosts"):
        assert line.replace("%%", "%") in done.stdout.replace("%%", "%").replace('"', "")
    assert "stricthostkeychecking true" in done.stdout
    assert "batchmode yes" in done.stdout
    assert {path.stat().st_mode & 0o77 for path in home.iterdir()} == {0}

"""The rules of a git source: URLs, references, commits."""

import pytest

from common.errors import BadInputError
from common.git_source import Commit, GitSource, address_of, check_reference, check_url, commit_from_json, is_git

ALL = ("https", "http", "file")


@pytest.mark.parametrize(
    "url",
    ["https://git.example/a.git", "https://git.example:8443/a/b", "http://127.0.0.1:1/a", "file:///srv/a.git"],
)
def test_repositories_are_taken(url: str) -> None:
    """URLs of the allowed protocols."""
    assert check_url(url, ALL) == url


@pytest.mark.parametrize(
    "url",
    [
        "-uevil", "ext::sh -c id", "ext::id", "fd::3", "git@git.example:a.git", "ssh://git.example/a", "git://h/a",
        "https://ghp_x1@git.example/a", "https://u:p@git.example/a", "https:///a", "https://-h/a", "https://h:0/a",
        "https://h:x/a", "https://h", "https://h/", "https://h/a//b", "https://h/../a", "https://h/a?ref=x",
        "https://h/a#x", "https://h/a b", "https://h/a\\b", "https://h/a\nb", "file://h/a", "file://", "a.git",
    ],
)  # fmt: skip
def test_everything_else_is_refused_without_repeating_it(url: str) -> None:
    """Other transports, options, credentials and odd paths; the message holds no token."""
    with pytest.raises(BadInputError) as refused:
        check_url(url, ALL)
    assert "ghp_x1" not in str(refused.value)


def test_protocols_are_a_matter_of_settings() -> None:
    """What is not allowed is refused."""
    with pytest.raises(BadInputError, match="https://"):
        check_url("http://git.example/a", ("https",))


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("git@git.example:a/b.git", "ssh://git.example"),
        ("git.example:a", "ssh://git.example"),
        ("ssh://git@git.example:2222/a", "ssh://git.example:2222"),
        ("ssh://[::1]/a", "ssh://[::1]"),
    ],
)
def test_ssh_has_two_ways_to_be_written(url: str, origin: str) -> None:
    """As a URL and as `user@host:path`; both name their host."""
    assert check_url(url, ("ssh",)) == url
    assert address_of(url).origin == origin


@pytest.mark.parametrize("url", ["ssh://git:pw@h/a", "-o@h:a", "ssh://-oProxyCommand=x/a", "git@-h:a", "git@h:a/../b"])
def test_odd_ssh_urls_are_refused(url: str) -> None:
    """Passwords, options, odd paths."""
    with pytest.raises(BadInputError):
        check_url(url, ("ssh",))


def test_secrets_of_a_source() -> None:
    """The token in both of its forms, the key; nothing without them, and nothing in a repr."""
    token = GitSource(url="u", user_name="n", token="geheim")
    assert token.secrets() == ("geheim", "n:geheim")
    assert GitSource(url="u", private_key="geheim").secrets() == ("geheim",)
    assert GitSource(url="u").secrets() == ()
    assert "geheim" not in repr(token)


@pytest.mark.parametrize("name", ["", "main", "feature/x-1", "v1.2.3", "0" * 40])
def test_references_are_taken(name: str) -> None:
    """Branches, tags, commits, and nothing for HEAD."""
    assert check_reference(name) == name


@pytest.mark.parametrize("name", ["-x", "a..b", "a b", "a:b", "a*", "/a", "a/", "a.lock", "a@{1}", "@", ".a", "a/.b"])
def test_odd_references_are_refused(name: str) -> None:
    """What git would not take for a name, or take for an option or a range."""
    with pytest.raises(BadInputError):
        check_reference(name)


def test_terrakubes_words_for_uploaded() -> None:
    """`empty` and `remote-content` mean no git."""
    assert not is_git("empty", "main")
    assert not is_git("", "")
    assert not is_git("https://git.example/a", "remote-content")
    assert is_git("https://git.example/a", "")


def test_a_commit_travels() -> None:
    """Written and read back."""
    commit = Commit(id="a" * 40, author="Ann <ann@git.example>", message="one\n\ntwo")
    assert commit_from_json(commit.to_json()) == commit


def test_a_commit_is_cleaned() -> None:
    """Control characters go, long texts are cut, a short id is refused."""
    commit = commit_from_json({"commitId": "a" * 40, "author": "A\x1b[0m <a@b>", "message": "m" * 5000})
    assert commit.author == "A[0m <a@b>"
    assert len(commit.message) == 4000
    with pytest.raises(BadInputError, match="commitId"):
        commit_from_json({"commitId": "abc"})

"""The rules of credentials for git: what they are for, known hosts, private keys as they are saved."""

import base64
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from api.domain import git_credentials, known_hosts, private_key
from api.domain.git_credentials import SshKey, Vcs, VcsType
from common.errors import BadInputError
from common.git_source import address_of
from tests.fakes.git_servers import make_key

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOSTS = "# ours\n\n@revoked bad.example ssh-rsa AAAA\ngit.example,*.corp.example,!x.corp.example ssh-ed25519 AAAA\n"


def vcs(**fields: Any) -> Vcs:
    """A token."""
    return Vcs(id="vcs-1", organization_id="org-1", created_at=NOW, **fields)


def key(**fields: Any) -> SshKey:
    """A key."""
    return SshKey(id="ssh-1", organization_id="org-1", created_at=NOW, **fields)


@pytest.mark.parametrize(
    ("kind", "user", "origin"),
    [
        (VcsType.GITHUB, "x-access-token", "https://github.com"),
        (VcsType.GITLAB, "oauth2", "https://gitlab.com"),
        (VcsType.BITBUCKET, "x-token-auth", "https://bitbucket.org"),
        (VcsType.AZURE_DEVOPS, "pat", "https://dev.azure.com"),
        (VcsType.PUBLIC, "", ""),
    ],
)
def test_a_type_knows_its_user_and_host(kind: VcsType, user: str, origin: str) -> None:
    """Both can be said otherwise."""
    assert (vcs(vcs_type=kind).token_user, vcs(vcs_type=kind).origin) == (user, origin)
    own = vcs(vcs_type=kind, user_name="me", endpoint="https://git.corp.example:8443/x")
    assert (own.token_user, own.origin) == ("me", "https://git.corp.example:8443")


@pytest.mark.parametrize(
    "url", ["https://gitlab.com/a", "http://github.com/a", "https://github.com:444/a", "git@github.com:a/b"]
)
def test_a_token_is_for_one_host(url: str) -> None:
    """Another host, port or protocol is refused."""
    with pytest.raises(BadInputError, match="vcs"):
        git_credentials.check_vcs_fits(vcs(vcs_type=VcsType.GITHUB), address_of(url))


def test_a_token_fits_its_host() -> None:
    """Its own; and PUBLIC fits every one."""
    git_credentials.check_vcs_fits(vcs(vcs_type=VcsType.GITHUB), address_of("https://github.com/a"))
    git_credentials.check_vcs_fits(vcs(), address_of("https://git.example/a"))


def test_a_key_fits_where_the_host_is_known() -> None:
    """By its own known hosts or by the deployment's."""
    git_credentials.check_ssh_fits(key(known_hosts=HOSTS), address_of("git@git.example:a"), "")
    git_credentials.check_ssh_fits(key(), address_of("git@git.example:a"), HOSTS)
    with pytest.raises(BadInputError, match=r"ssh-keyscan -p 2222 git\.example"):
        git_credentials.check_ssh_fits(key(known_hosts=HOSTS), address_of("ssh://git.example:2222/a"), "")
    with pytest.raises(BadInputError, match="vcs"):
        git_credentials.check_ssh_fits(key(), address_of("https://git.example/a"), HOSTS)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"vcs_type": VcsType.GITHUB}, "accessToken"),
        ({"access_token": "t"}, "accessToken"),
        ({"vcs_type": VcsType.GITHUB, "access_token": "a b"}, "accessToken"),
        ({"vcs_type": VcsType.GITHUB, "access_token": "a\nb"}, "accessToken"),
        ({"vcs_type": VcsType.GITHUB, "access_token": "t", "user_name": "a:b"}, "userName"),
        ({"vcs_type": VcsType.GITHUB, "access_token": "t", "endpoint": "ssh://h"}, "endpoint"),
        ({"vcs_type": VcsType.GITHUB, "access_token": "t", "endpoint": "https://u@h"}, "endpoint"),
        ({"vcs_type": VcsType.GITHUB, "access_token": "t", "endpoint": "https://"}, "endpoint"),
        ({"vcs_type": VcsType.GITHUB, "access_token": "t", "endpoint": "https://h:x"}, "endpoint"),
    ],
)
def test_odd_tokens_are_refused(fields: dict[str, Any], field: str) -> None:
    """The error names the field."""
    with pytest.raises(BadInputError) as refused:
        git_credentials.check_endpoint(vcs(**fields))
    assert refused.value.field == field


def test_a_good_token() -> None:
    """With and without an endpoint."""
    git_credentials.check_endpoint(vcs(vcs_type=VcsType.GITHUB, access_token="t"))
    git_credentials.check_endpoint(vcs(vcs_type=VcsType.GITLAB, access_token="t", endpoint="https://git.example"))


@pytest.mark.parametrize(
    ("host", "port", "known"),
    [
        ("git.example", 22, True),
        ("a.corp.example", 22, True),
        ("x.corp.example", 22, False),
        ("git.example", 2222, False),
        ("bad.example", 22, False),
        ("other.example", 22, False),
    ],
)
def test_known_hosts_are_read_as_ssh_does(host: str, port: int, known: bool) -> None:
    """Lists, wildcards, negations, markers."""
    assert known_hosts.covers(HOSTS, host, port) is known


def test_ports_authorities_and_hashes(tmp_path: Path) -> None:
    """`[host]:port`, certificate authorities, and names hashed by the real ssh-keygen."""
    assert known_hosts.covers("[git.example]:2222 ssh-rsa AAAA", "git.example", 2222)
    assert known_hosts.covers("@cert-authority *.example ssh-rsa AAAA", "git.example", 22)
    assert not known_hosts.covers("@cert-authority", "git.example", 22)
    assert not known_hosts.covers("|1|not base64|x ssh-rsa AAAA", "git.example", 22)
    public = make_key(tmp_path / "k").with_suffix(".pub").read_text()
    file = tmp_path / "known_hosts"
    file.write_text(f"git.example {public}")
    subprocess.run(["ssh-keygen", "-H", "-f", str(file)], check=True, capture_output=True)
    assert file.read_text().startswith("|1|")
    assert known_hosts.covers(file.read_text(), "git.example", 22)
    assert not known_hosts.covers(file.read_text(), "other.example", 22)


def test_a_line_that_is_none_is_named() -> None:
    """By its number."""
    assert known_hosts.check_known_hosts(HOSTS) == HOSTS
    with pytest.raises(BadInputError, match="line 2"):
        known_hosts.check_known_hosts("git.example ssh-rsa AAAA\nSHA256:abc\n")


@pytest.mark.parametrize("kind", ["rsa", "ed25519", "ecdsa"])
def test_keys_of_ssh_keygen(tmp_path: Path, kind: str) -> None:
    """Their type and public line; line ends of Windows and a lost last one are mended, and ssh can use the result."""
    path = make_key(tmp_path / "k", kind)
    found = private_key.read(path.read_text().replace("\n", "\r\n").strip())
    assert found.kind == kind
    assert path.with_suffix(".pub").read_text().startswith(found.public)
    mended = tmp_path / "mended"
    mended.touch(mode=0o600)
    mended.write_text(found.text)
    shown = subprocess.run(["ssh-keygen", "-y", "-f", str(mended)], check=True, capture_output=True, text=True)
    assert shown.stdout.startswith(found.public)


@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_keys_in_pem(tmp_path: Path, kind: str) -> None:
    """The old formats are taken where every ssh reads them."""
    found = private_key.read(make_key(tmp_path / "k", kind, "", "-m", "PEM").read_text())
    assert (found.kind, found.public) == (kind, "")


def test_a_passphrase_is_refused(tmp_path: Path) -> None:
    """In every format, with what to do."""
    for name, options in (("a", ()), ("b", ("-m", "PEM")), ("c", ("-m", "PKCS8"))):
        path = make_key(tmp_path / name, "rsa", "long enough", *options)
        with pytest.raises(BadInputError, match=r"passphrase.*ssh-keygen -p"):
            private_key.read(path.read_text())


def test_what_is_no_key(tmp_path: Path) -> None:
    """Damage, another format, a public key."""
    path = make_key(tmp_path / "k", "rsa")
    text = path.read_text()
    lines = text.splitlines()
    cut = "\n".join([*lines[:5], lines[-1]])
    pem = make_key(tmp_path / "p", "rsa", "", "-m", "PEM").read_text().splitlines()
    data = base64.b64decode("".join(lines[1:-1]))
    at = data.rindex(b"ssh-rsa") - 12
    damaged = data[:at] + b"\0\0\0\1" + data[at + 4 :]

    def block(raw: bytes, label: str = "OPENSSH") -> str:
        body = base64.b64encode(raw).decode()
        return f"-----BEGIN {label} PRIVATE KEY-----\n{body}\n-----END {label} PRIVATE KEY-----"

    odd = data.replace(b"ssh-rsa", b"ssh-dss")
    short = block(b"\x30\x03\x02\x01\x00", "EC")
    assert private_key.read(short).kind == "ecdsa"
    for wrong in (cut, "\n".join([*pem[:4], pem[-1]]), block(b"x"), block(damaged), block(b"\x30", "EC")):
        with pytest.raises(BadInputError, match="cut off or damaged"):
            private_key.read(wrong)
    for wrong in ("", "nonsense", path.with_suffix(".pub").read_text(), text + text):
        with pytest.raises(BadInputError, match="must be one private key"):
            private_key.read(wrong)
    with pytest.raises(BadInputError, match="type that is not taken"):
        private_key.read(block(odd))
    with pytest.raises(BadInputError, match="format"):
        private_key.read(make_key(tmp_path / "q", "rsa", "", "-m", "PKCS8").read_text())

"""Where a configuration comes from when it comes from git: the rules of its URL and reference, and its wire forms.

Pure. Used when a workspace is saved, by the claim's answer, and again by the executor before git sees anything.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from common import json_fields
from common.errors import BadInputError

#: What Terrakube's clients write for workspaces whose configuration is uploaded.
NO_SOURCES = frozenset({"", "empty"})
UPLOADED_BRANCH = "remote-content"

_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9+.-]*::")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9a-fA-F:]+")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_SCP = re.compile(r"(?:([^@:/]+)@)?([A-Za-z0-9.-]+):([^:].*)")
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_BAD_IN_REFERENCE = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(/|$)|[/.]$|^[/.-]|^@$")
_MAX_AUTHOR, _MAX_MESSAGE = 300, 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class GitSource:
    """What a step must check out itself. `commit` is set once an earlier attempt has resolved the reference."""

    url: str
    reference: str = ""  # branch, tag or full commit; empty = what the repository's HEAD names
    commit: str = ""
    protocols: tuple[str, ...] = ("https",)
    timeout_seconds: int = 600
    max_bytes: int = 100 * 1024**2  # of the packed checkout
    #: the credential: a token with its user name for the URL's host, or an SSH key with the hosts that it may meet
    user_name: str = ""
    token: str = field(default="", repr=False)
    private_key: str = field(default="", repr=False)
    known_hosts: str = ""

    def secrets(self) -> tuple[str, ...]:
        """What must not appear in a log: the token, also as HTTP sends it, and the key."""
        token = (self.token, f"{self.user_name}:{self.token}") if self.token else ()
        return (*token, self.private_key) if self.private_key else token

    def to_json(self) -> dict[str, Any]:
        """The source as a JSON object."""
        return {
            "url": self.url,
            "reference": self.reference,
            "commit": self.commit,
            "protocols": list(self.protocols),
            "timeoutSeconds": self.timeout_seconds,
            "maxBytes": self.max_bytes,
            "userName": self.user_name,
            "token": self.token,
            "privateKey": self.private_key,
            "knownHosts": self.known_hosts,
        }


def source_from_json(document: Mapping[str, Any]) -> GitSource:
    """A source out of a JSON object; BadInputError names the field that is wrong."""
    return GitSource(
        url=json_fields.required(document, "url", str),
        reference=json_fields.optional(document, "reference", ""),
        commit=json_fields.optional(document, "commit", ""),
        protocols=json_fields.text_list(document, "protocols"),
        timeout_seconds=json_fields.optional(document, "timeoutSeconds", 600),
        max_bytes=json_fields.optional(document, "maxBytes", 100 * 1024**2),
        user_name=json_fields.optional(document, "userName", ""),
        token=json_fields.optional(document, "token", ""),
        private_key=json_fields.optional(document, "privateKey", ""),
        known_hosts=json_fields.optional(document, "knownHosts", ""),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """The commit that a reference was resolved to."""

    id: str
    author: str = ""  # name and address
    message: str = ""

    def to_json(self) -> dict[str, Any]:
        """The commit as a JSON document."""
        return {"commitId": self.id, "author": self.author, "message": self.message}


def commit_from_json(document: Mapping[str, Any]) -> Commit:
    """A commit out of a JSON document, its texts cut; BadInputError names the field that is wrong."""
    commit_id = json_fields.required(document, "commitId", str)
    if not is_commit(commit_id):
        raise BadInputError("commitId", "must be a full commit id")
    return Commit(
        id=commit_id,
        author=_clean(json_fields.optional(document, "author", ""))[:_MAX_AUTHOR],
        message=_clean(json_fields.optional(document, "message", ""))[:_MAX_MESSAGE],
    )


def is_git(source: str, branch: str) -> bool:
    """Whether a workspace with this source and branch takes its configuration from git."""
    return source not in NO_SOURCES and branch != UPLOADED_BRANCH


def is_commit(reference: str) -> bool:
    """Whether a reference is a full commit id."""
    return _COMMIT.fullmatch(reference) is not None


@dataclass(frozen=True, slots=True)
class Address:
    """What a URL says; `user` may hold a password behind a colon."""

    scheme: str
    user: str
    host: str
    port: int | None
    path: str

    @property
    def origin(self) -> str:
        """Scheme, host and port: whom a credential is for."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + (f":{self.port}" if self.port else "")


def address_of(url: str, field: str = "source") -> Address:
    """The parts of a URL, also of one written `git@host:path`."""
    if "://" not in url and (match := _SCP.fullmatch(url)):
        return Address("ssh", match[1] or "", match[2].lower(), None, "/" + match[3].removeprefix("/"))
    try:
        parts = urlsplit(url)
        user, _, _ = parts.netloc.rpartition("@")
        return Address(parts.scheme, user, parts.hostname or "", parts.port, parts.path)
    except ValueError as error:
        raise BadInputError(field, "is no URL") from error


def check_url(url: str, protocols: Sequence[str], field: str = "source") -> str:
    """The URL of a repository; the BadInputError does not repeat it, for somebody may have put a token there."""
    _check_characters(url, field)
    if url.startswith("-") or _HELPER.match(url):
        raise BadInputError(field, "must be the URL of a git repository, not an option or a transport of its own")
    address = address_of(url, field)
    if address.scheme not in protocols:
        raise BadInputError(field, f"must begin with {' or '.join(f'{name}://' for name in protocols)}")
    _check_user(address, field)
    _check_host(address, field)
    _check_path(address.path, field)
    return url


def check_reference(reference: str, field: str = "branch") -> str:
    """A branch, tag or full commit id, by git's own rules for names; empty = the repository's HEAD."""
    if reference and _BAD_IN_REFERENCE.search(reference):
        raise BadInputError(field, "must be the name of a branch or tag, or a full commit id")
    return reference


def _check_characters(url: str, field: str) -> None:
    if not url.isprintable() or " " in url or "\\" in url:
        raise BadInputError(field, "holds a space, a backslash or a control character")
    if "?" in url or "#" in url:
        raise BadInputError(field, "must not hold '?' or '#': the reference is `branch`")


def _check_user(address: Address, field: str) -> None:
    if address.scheme != "ssh" and address.user:
        raise BadInputError(field, "must not hold a user name, password or token: a `vcs` resource holds the token")
    if address.user and not _USER.fullmatch(address.user):
        raise BadInputError(field, "may hold a user name such as git@, and no password")


def _check_host(address: Address, field: str) -> None:
    if address.scheme == "file" and address.host:
        raise BadInputError(field, "must be file:// and an absolute path")
    if address.scheme != "file" and (not _HOST.fullmatch(address.host) or address.port == 0):
        raise BadInputError(field, "names no host")


def _check_path(path: str, field: str) -> None:
    if not path.strip("/"):
        raise BadInputError(field, "names no repository")
    if "//" in path:
        raise BadInputError(field, "must not hold '//' in its path: the sub-folder is `folder`")
    if ".." in path.split("/"):
        raise BadInputError(field, "must not hold '..' in its path")


def _clean(text: str) -> str:
    return "".join(character for character in text if character.isprintable() or character == "\n")

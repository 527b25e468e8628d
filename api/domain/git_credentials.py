"""Credentials for git repositories: a token (`vcs`) or a private key (`ssh`), and which URL each is good for.

Pure. Used when credentials and workspaces are saved, and again when an executor claims a step: a token is never
sent to a host that it is not for.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from api.domain import known_hosts
from common.errors import BadInputError
from common.git_source import Address, address_of


class VcsType(StrEnum):
    """Whose token it is: decides the user name beside it and the host it is for."""

    GITHUB = "GITHUB"
    GITLAB = "GITLAB"
    BITBUCKET = "BITBUCKET"
    AZURE_DEVOPS = "AZURE_DEVOPS"
    PUBLIC = "PUBLIC"  # no token


#: Type -> user name that goes with a token over HTTP, and where its repositories are.
_OF_TYPE = {
    VcsType.GITHUB: ("x-access-token", "https://github.com"),
    VcsType.GITLAB: ("oauth2", "https://gitlab.com"),
    VcsType.BITBUCKET: ("x-token-auth", "https://bitbucket.org"),
    VcsType.AZURE_DEVOPS: ("pat", "https://dev.azure.com"),
    VcsType.PUBLIC: ("", ""),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Vcs:
    """A token of an organization for a git host. `access_token` is plain; it is sealed on its way to the database."""

    id: str
    organization_id: str
    name: str = ""
    description: str = ""
    vcs_type: VcsType = VcsType.PUBLIC
    endpoint: str = ""  # where its repositories are; empty = the type's own
    user_name: str = ""  # empty = the type's own
    access_token: str = field(default="", repr=False)
    created_at: datetime

    @property
    def token_user(self) -> str:
        """The user name that goes with the token."""
        return self.user_name or _OF_TYPE[self.vcs_type][0]

    @property
    def origin(self) -> str:
        """Scheme, host and port of the repositories that the token is for; empty for PUBLIC."""
        url = self.endpoint or _OF_TYPE[self.vcs_type][1]
        return address_of(url).origin if url else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SshKey:
    """A private key of an organization, and the hosts that it may meet. Sealed as a token is."""

    id: str
    organization_id: str
    name: str = ""
    description: str = ""
    ssh_type: str = ""  # rsa, ed25519, ecdsa; read from the key
    private_key: str = field(default="", repr=False)
    public_key: str = ""  # for the git host; empty where the key's format does not tell it
    known_hosts: str = ""
    created_at: datetime


def check_vcs_fits(vcs: Vcs, address: Address) -> None:
    """BadInputError unless the token may be sent to this address."""
    if address.scheme not in {"https", "http"}:
        raise BadInputError("vcs", "holds a token, which is for https URLs; an ssh URL needs an `ssh` key")
    if vcs.vcs_type is not VcsType.PUBLIC and address.origin != vcs.origin:
        raise BadInputError(
            "vcs", f"is for {vcs.origin} and the source is at {address.origin}; `endpoint` of the vcs says where it is"
        )


def check_ssh_fits(key: SshKey, address: Address, more_known_hosts: str) -> None:
    """BadInputError unless the key is for this kind of address and the host there can be recognised."""
    if address.scheme != "ssh":
        raise BadInputError("ssh", "holds a key, which is for ssh URLs; an https URL needs a `vcs` token")
    port = address.port or 22
    if not known_hosts.covers(f"{key.known_hosts}\n{more_known_hosts}", address.host, port):
        raise BadInputError(
            "ssh",
            f"knows no host key of {address.host}; get it by `ssh-keyscan -p {port} {address.host}`, compare it with "
            "what the host publishes, and set it as knownHosts",
        )


def check_endpoint(vcs: Vcs) -> None:
    """BadInputError for an endpoint that is no bare http or https address, or a token that is missing."""
    if vcs.endpoint:
        address = address_of(vcs.endpoint, "endpoint")
        if address.scheme not in {"https", "http"} or not address.host or address.user:
            raise BadInputError("endpoint", "must be an address such as https://git.example.com")
    if (vcs.vcs_type is VcsType.PUBLIC) == bool(vcs.access_token):
        raise BadInputError("accessToken", "is needed by every vcsType but PUBLIC, which has none")
    if not vcs.access_token.isprintable() or " " in vcs.access_token:
        raise BadInputError("accessToken", "holds a space or a line break")
    if not vcs.user_name.isprintable() or ":" in vcs.user_name:
        raise BadInputError("userName", "holds a colon or a line break")

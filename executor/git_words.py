"""What git and ssh say when they fail, as a sentence that says what to do. Pure; called by executor/git.py."""

from collections.abc import Sequence

from common.git_source import GitSource

_REFUSED = (
    "Authentication failed",
    "could not read Username",
    "could not read Password",
    "terminal prompts disabled",
    "The requested URL returned error: 401",
    "The requested URL returned error: 403",
    "HTTP Basic: Access denied",
)
_NO_KEY = ("Permission denied (publickey", "Permission denied, please try again")
_HOST_KEY = ("Host key verification failed", "REMOTE HOST IDENTIFICATION HAS CHANGED")
_AWAY = (
    "Could not resolve host",
    "Connection refused",
    "Connection timed out",
    "Failed to connect",
    "Connection reset",
)

#: What may be otherwise a moment later.
_PASSING = (
    *_AWAY,
    "The requested URL returned error: 5",
    "early EOF",
    "Empty reply from server",
    "the remote end hung up unexpectedly",
)


def may_pass(lines: Sequence[str]) -> bool:
    """Whether it is worth trying again."""
    return any(word in line for line in lines for word in _PASSING)


def explained(lines: Sequence[str], source: GitSource) -> str:
    """The reason and what to do; empty when git's own words are all there is."""
    text = "\n".join(lines)
    cases = (
        (_HOST_KEY, "the host did not show a key that is among the known hosts: compare it with what the host "
         "publishes, then correct `knownHosts` of the ssh key"),
        (_NO_KEY, "the git host refused the SSH key: add its public key to the repository (a deploy key) or to a user "
         "that may read it"),
        (_REFUSED, _credential(source)),
        (("ot found", "does not exist"), "there is no such repository, or the credential may not read it"),
        (_AWAY, "the git host cannot be reached from the executor"),
    )  # fmt: skip
    return next((sentence for words, sentence in cases if any(word in text for word in words)), "")


def _credential(source: GitSource) -> str:
    if source.token:
        return (
            "the git host refused the token: see that it has not expired and may read the repository, then set "
            "`accessToken` of the vcs anew"
        )
    return "the git host wants a credential: make a `vcs` with a token and name it on the workspace"

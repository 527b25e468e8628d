"""How a credential reaches git and ssh: files that only this user can read, beside the checkout and removed with it.

Called by executor/git.py. Nothing of it stands in a command line, an environment or the repository's own files.
"""

import shlex
from pathlib import Path
from urllib.parse import quote, urlsplit

from common.git_source import GitSource, address_of
from executor.workdir import write_private

_SSH = """\
Host *
    IdentityFile {key}
    IdentitiesOnly yes
    IdentityAgent none
    UserKnownHostsFile {known_hosts}
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
    UpdateHostKeys no
    BatchMode yes
    PreferredAuthentications publickey
    ForwardAgent no
    ControlMaster no
    ControlPath none
    PermitLocalCommand no
    ConnectTimeout 30
    ServerAliveInterval 15
    ServerAliveCountMax 4
    LogLevel ERROR
"""


def place(source: GitSource, home: Path) -> tuple[str, dict[str, str]]:
    """Write what git needs; lines for its configuration, and variables for its environment, both without secrets."""
    if source.token:
        return _token(source, home), {}
    if source.private_key:
        return "", _key(source, home)
    # without a key of ours ssh must not find one elsewhere, nor ask
    return "", {"GIT_SSH_COMMAND": "false"}


def _token(source: GitSource, home: Path) -> str:
    address = address_of(source.url)
    file = home / "credentials"
    user, token = quote(source.user_name, safe=""), quote(source.token, safe="")
    # git compares hosts letter by letter: as the URL has it, and as submodules will
    hosts = sorted({address.origin.partition("://")[2], urlsplit(source.url).netloc})
    write_private(file, "".join(f"{address.scheme}://{user}:{token}@{host}\n" for host in hosts).encode())
    lines = f"[credential {_quoted(address.origin)}]\n\thelper = {_quoted(f'store --file={shlex.quote(str(file))}')}\n"
    if address.port is None:  # submodules of this host that are written for ssh are read with the token, too
        lines += f"[url {_quoted(address.origin + '/')}]\n"
        lines += f"\tinsteadOf = git@{address.host}:\n\tinsteadOf = ssh://git@{address.host}/\n"
    return lines


def _key(source: GitSource, home: Path) -> dict[str, str]:
    key, hosts, options = home / "key", home / "known_hosts", home / "ssh_config"
    write_private(key, source.private_key.encode())
    write_private(hosts, source.known_hosts.encode())
    text = _SSH.format(key=_ssh_path(key), known_hosts=_ssh_path(hosts))
    write_private(options, text.encode())
    return {"GIT_SSH_COMMAND": f"ssh -F {shlex.quote(str(options))}", "GIT_SSH_VARIANT": "ssh"}


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _ssh_path(path: Path) -> str:
    return '"' + str(path).replace("%", "%%") + '"'

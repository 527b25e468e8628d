"""What a dependency lock file pins: provider, version, checksums. Pure; read by executor/providers.py.

Only the form that terraform and tofu write themselves is read; whatever else stands there pins nothing here,
and terraform then installs as if there were no cache.
"""

import re
from dataclasses import dataclass

_BLOCK = re.compile(r'^provider "([^"\\\n]+)" \{\n(.*?)^\}', re.MULTILINE | re.DOTALL)
_VERSION = re.compile(r'^  version\s*=\s*"([^"\\\n]+)"$', re.MULTILINE)
_HASH = re.compile(r'^    "((?:h1|zh):[^"\\\n]+)",$', re.MULTILINE)
#: host/namespace/type: what becomes a path, hence no dots alone and no further slash
_ADDRESS = re.compile(r"[a-z0-9][a-z0-9.:-]*/[a-z0-9][a-z0-9_-]*/[a-z0-9][a-z0-9_-]*")
_NUMBER = re.compile(r"\d[0-9A-Za-z.+-]*")


@dataclass(frozen=True, slots=True)
class LockedProvider:
    """One pinned provider."""

    address: str  # registry.terraform.io/hashicorp/aws
    version: str
    hashes: tuple[str, ...]

    @property
    def directory_hashes(self) -> tuple[str, ...]:
        """The checksums of unpacked packages."""
        return tuple(text for text in self.hashes if text.startswith("h1:"))


def parse(text: str) -> tuple[LockedProvider, ...]:
    """The providers that a lock file pins."""
    found = []
    for address, body in _BLOCK.findall(text):
        version = _VERSION.search(body)
        if version and _ADDRESS.fullmatch(address) and _NUMBER.fullmatch(version[1]):
            found.append(LockedProvider(address, version[1], tuple(_HASH.findall(body))))
    return tuple(found)

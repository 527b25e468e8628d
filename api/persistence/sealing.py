"""Sealing: AES-256-GCM with the installation's master key, for sensitive values and artifacts at rest.

A sealed text is `PF1`, four bytes of the key's id, a nonce of twelve, and the cipher text with its tag. The
context (which column, which key of the artifact store) is authenticated: a seal does not fit another place.
"""

import base64
import binascii
import hashlib
import os
import zlib
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from common.errors import BadInputError, PodformError

_MAGIC = b"PF1"
_PLAIN, _DEFLATED = b"\0", b"\1"
#: Below this, compressing costs more than it saves.
_COMPRESS_FROM_BYTES = 512
KEY_BYTES = 32
#: Magic, key id, nonce, one byte of content, tag.
_SHORTEST = 3 + 4 + 12 + 1 + 16


class SealBrokenError(PodformError):
    """A sealed content cannot be opened: another key, another place, or altered bytes."""


class Sealer:
    """Seals and opens with one master key."""

    def __init__(self, master_key: bytes) -> None:
        """`master_key` has 32 bytes."""
        self._aead = AESGCM(hashlib.sha256(b"podform seal\0" + master_key).digest())
        self._key_id = hashlib.sha256(b"podform key id\0" + master_key).digest()[:4]

    @property
    def key_id(self) -> str:
        """What tells this key from another, in hex; says nothing about the key."""
        return self._key_id.hex()

    def seal(self, content: bytes, context: str) -> bytes:
        """The sealed content; compressed first where that pays."""
        packed = _PLAIN + content
        if len(content) >= _COMPRESS_FROM_BYTES:
            deflated = zlib.compress(content, level=1)
            if len(deflated) < len(content):
                packed = _DEFLATED + deflated
        nonce = os.urandom(12)
        return _MAGIC + self._key_id + nonce + self._aead.encrypt(nonce, packed, context.encode())

    def open(self, sealed: bytes, context: str) -> bytes:
        """The content, or SealBrokenError."""
        if sealed[:3] != _MAGIC or len(sealed) < _SHORTEST:
            raise SealBrokenError(f"{context}: this is no sealed content")
        if sealed[3:7] != self._key_id:
            raise SealBrokenError(
                f"{context}: it was sealed with the master key {sealed[3:7].hex()}, this installation has {self.key_id}"
            )
        try:
            packed = self._aead.decrypt(sealed[7:19], sealed[19:], context.encode())
        except InvalidTag as error:
            raise SealBrokenError(f"{context}: the sealed content was altered") from error
        return zlib.decompress(packed[1:]) if packed[:1] == _DEFLATED else packed[1:]


def parse_master_key(text: str, setting: str = "PODFORM_MASTER_KEY") -> bytes:
    """A key out of base64 of 32 bytes; BadInputError names the setting and says what is allowed, never the value."""
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise BadInputError(setting, f"must be base64 of exactly {KEY_BYTES} bytes")
    return key


def read_or_make_secret(path: Path) -> str:
    """The secret in a file of mode 0600: 32 random bytes in base64, made when the file is absent."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        pass
    text = base64.b64encode(os.urandom(KEY_BYTES)).decode()
    # a half-written key would lock everything away: write beside, then link into place without overwriting
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(beside, path)
    except FileExistsError:
        pass  # another process was faster: its key counts
    finally:
        beside.unlink()
    return path.read_text().strip()

"""Sealing: AES-256-GCM with data keys that the master key wraps, for sensitive values and artifacts at rest.

A sealed content is `PF2`, eight bytes of its data key's id, a nonce of twelve, and the cipher text with its tag; one
from before data keys is `PF1` with four bytes of the master key's id. The context (which column, which key of the
artifact store) is authenticated: a seal does not fit another place. Which keys there are, data_keys.py knows.
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

_MAGIC, _OLDER_MAGIC = b"PF2", b"PF1"
_PLAIN, _DEFLATED = b"\0", b"\1"
#: Below this, compressing costs more than it saves.
_COMPRESS_FROM_BYTES = 512
_SAMPLE_BYTES = 64 * 1024
KEY_BYTES = 32
_ID_BYTES, _OLDER_ID_BYTES, _NONCE_BYTES = 8, 4, 12
#: Nonce, one byte of content, tag.
_SHORTEST_BODY = 12 + 1 + 16
#: So many bytes of a sealed content say which key it has.
PREFIX_BYTES = 3 + _ID_BYTES


class SealBrokenError(PodformError):
    """A sealed content cannot be opened: another key, another place, or altered bytes."""


class MasterKey:
    """The key that wraps the others; from it came what sealed contents and codes before there were data keys."""

    def __init__(self, key: bytes) -> None:
        """`key` has 32 bytes."""
        self._aead = AESGCM(hashlib.sha256(b"podform wrap\0" + key).digest())
        self.older_key = hashlib.sha256(b"podform seal\0" + key).digest()
        self.older_id = hashlib.sha256(b"podform key id\0" + key).digest()[:_OLDER_ID_BYTES]
        self.codes_key = hashlib.sha256(b"podform codes\0" + key).digest()

    def open_older(self, sealed: bytes, context: str) -> bytes:
        """A content that this master key itself has sealed, before there were data keys."""
        sealer = Sealer(bytes(KEY_BYTES))
        sealer.learn(self.older_id.hex(), self.older_key)
        return sealer.open(sealed, context)

    def wrap(self, key: bytes, context: str) -> bytes:
        """A key as it may be stored."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, key, context.encode())

    def unwrap(self, wrapped: bytes, context: str) -> bytes:
        """The key, or SealBrokenError."""
        try:
            return self._aead.decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], context.encode())
        except (InvalidTag, ValueError) as error:
            raise SealBrokenError(f"{context}: another master key wrapped it, or it was altered") from error


class Sealer:
    """Seals with the active data key and opens with any that is known; data_keys.py fills it when a database is opened.

    Until then it knows what comes from the master key alone.
    """

    def __init__(self, master_key: bytes, previous: bytes | None = None) -> None:
        """Keys of 32 bytes; `previous` is the master key before a change of it."""
        self.master = MasterKey(master_key)
        self.previous = MasterKey(previous) if previous else None
        self.codes_key = self.master.codes_key
        self._keys = {_OLDER_MAGIC + self.master.older_id: AESGCM(self.master.older_key)}
        self._active = next(iter(self._keys))

    @property
    def key_id(self) -> str:
        """What tells the master key from another, in hex; says nothing about the key."""
        return self.master.older_id.hex()

    @property
    def active_prefix(self) -> bytes:
        """What a content begins with that the active key has sealed."""
        return self._active

    def learn(self, key_id: str, key: bytes, *, active: bool = False) -> None:
        """Know a data key (16 hex digits) or one from before data keys (8), and perhaps seal with it from now on."""
        prefix = prefix_of(key_id)
        self._keys[prefix] = AESGCM(key)
        if active:
            self._active = prefix

    def forget(self, key_id: str) -> None:
        """Open nothing with this key any more; the active one stays."""
        if prefix_of(key_id) != self._active:
            self._keys.pop(prefix_of(key_id), None)

    def seal(self, content: bytes, context: str) -> bytes:
        """The sealed content; compressed first where that pays."""
        nonce = os.urandom(_NONCE_BYTES)
        prefix = self._active
        packed = _packed(content)
        sealed = self._keys[prefix].encrypt(nonce, packed, context.encode())
        del packed  # a large content is in memory three times at the most
        return b"".join((prefix, nonce, sealed))

    def open(self, sealed: bytes, context: str) -> bytes:
        """The content, or SealBrokenError."""
        prefix = sealed_prefix(sealed)
        body = memoryview(sealed)[len(prefix) :]
        if not prefix or len(body) < _SHORTEST_BODY:
            raise SealBrokenError(f"{context}: this is no sealed content")
        key = self._keys.get(prefix)
        if key is None:
            what = "data" if prefix.startswith(_MAGIC) else "master"
            known = f"this installation's master key is {self.key_id}"
            raise SealBrokenError(f"{context}: it was sealed with the {what} key {prefix[3:].hex()}; {known}")
        try:
            packed = key.decrypt(bytes(body[:_NONCE_BYTES]), bytes(body[_NONCE_BYTES:]), context.encode())
        except InvalidTag as error:
            raise SealBrokenError(f"{context}: the sealed content was altered") from error
        return zlib.decompress(packed[1:]) if packed[:1] == _DEFLATED else packed[1:]


def _packed(content: bytes) -> bytes:
    """The content behind the byte that says whether it is compressed."""
    # a plan is compressed already: its beginning says so, without a second copy of the whole
    sample = content[:_SAMPLE_BYTES]
    if len(content) >= _COMPRESS_FROM_BYTES and len(zlib.compress(sample, level=1)) < len(sample):
        deflated = zlib.compress(content, level=1)
        if len(deflated) < len(content):
            return _DEFLATED + deflated
    return _PLAIN + content


def prefix_of(key_id: str) -> bytes:
    """What contents begin with that the key of this id (hex) has sealed."""
    raw = bytes.fromhex(key_id)
    return (_OLDER_MAGIC if len(raw) == _OLDER_ID_BYTES else _MAGIC) + raw


def sealed_prefix(sealed: bytes) -> bytes:
    """The magic and the key's id that a content begins with; empty when it is no sealed content."""
    for magic, length in ((_MAGIC, _ID_BYTES), (_OLDER_MAGIC, _OLDER_ID_BYTES)):
        if sealed[:3] == magic and len(sealed) >= 3 + length:
            return sealed[: 3 + length]
    return b""


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

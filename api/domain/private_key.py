"""Private keys of SSH, read as far as needed to refuse at save what ssh would refuse in every run.

Pure: formats only, no cryptography. The key is never part of a message.
"""

import base64
import binascii
import re
import struct
from dataclasses import dataclass

from common.errors import BadInputError

_FIELD = "privateKey"
_BLOCK = re.compile(r"-----BEGIN ([A-Z ]*PRIVATE KEY)-----\s+((?:(?!-----).)*)-----END \1-----\s*", re.DOTALL)
_MAGIC = b"openssh-key-v1\0"
_OPENSSH = "OPENSSH PRIVATE KEY"
_OLD = {"RSA PRIVATE KEY": "rsa", "EC PRIVATE KEY": "ecdsa"}
_TYPES = {"ssh-rsa": "rsa", "ssh-ed25519": "ed25519"}
TYPES = ("rsa", "ed25519", "ecdsa")
_CONVERT = "`ssh-keygen -p -f FILE` asks for an empty passphrase and writes the format that is wanted"


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A key that ssh can use without asking: its type, its text as ssh reads it, its public line where it tells it."""

    kind: str
    text: str
    public: str


def read(text: str) -> PrivateKey:
    """The key; BadInputError says what is wrong and how to make a good one."""
    match = _BLOCK.fullmatch(text.replace("\r", "").strip())
    if match is None:
        raise BadInputError(_FIELD, "must be one private key, from its -----BEGIN to its -----END line")
    label, body = match[1], match[2]
    if "ENCRYPTED" in label or "ENCRYPTED" in body:
        raise _protected()
    try:
        data = base64.b64decode("".join(body.split()), validate=True)
        kind, public = _opened(data) if label == _OPENSSH else (_old(label, data), "")
    except (binascii.Error, struct.error, UnicodeDecodeError) as error:
        raise BadInputError(_FIELD, "is cut off or damaged") from error
    encoded = base64.b64encode(data).decode()
    lines = [encoded[at : at + 70] for at in range(0, len(encoded), 70)]
    return PrivateKey(kind, "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""]), public)


def _opened(data: bytes) -> tuple[str, str]:
    """Type and public line of a key in OpenSSH's own format."""
    if not data.startswith(_MAGIC):
        raise binascii.Error
    cipher, at = _string(data, len(_MAGIC))
    _, at = _string(data, at)
    _, at = _string(data, at)
    public, at = _string(data, at + 4)
    private, _ = _string(data, at)
    if cipher != b"none":
        raise _protected()
    if len(private) < 8 or private[:4] != private[4:8]:
        raise binascii.Error
    name = _string(public, 0)[0].decode("ascii")
    kind = _TYPES.get(name) or ("ecdsa" if name.startswith("ecdsa-sha2-") else "")
    if not kind:
        raise BadInputError(_FIELD, f"is of a type that is not taken; allowed: {', '.join(TYPES)}")
    return kind, f"{name} {base64.b64encode(public).decode()}"


def _old(label: str, data: bytes) -> str:
    """Type of a key in PEM, which is DER inside: a sequence whose length is told."""
    if label not in _OLD:
        raise BadInputError(_FIELD, f"is in a format that not every ssh reads; {_CONVERT}")
    if len(data) < 4 or data[0] != 0x30 or _der_length(data) != len(data):
        raise binascii.Error
    return _OLD[label]


def _der_length(data: bytes) -> int:
    if data[1] < 0x80:
        return 2 + data[1]
    size = data[1] & 0x7F
    return 2 + size + int.from_bytes(data[2 : 2 + size], "big")


def _string(data: bytes, at: int) -> tuple[bytes, int]:
    (length,) = struct.unpack_from(">I", data, at)
    end = at + 4 + length
    if end > len(data):
        raise binascii.Error
    return data[at + 4 : end], end


def _protected() -> BadInputError:
    return BadInputError(_FIELD, f"is protected by a passphrase, which nobody could type in a run; {_CONVERT}")

"""Signatures of SHA256SUMS files, checked by `gpgv` against public keys in a file. Made by the composition root."""

import asyncio
import base64
import binascii
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from api.services.ports import EngineMirrorError
from common.errors import BadInputError

SETTING = "PODFORM_ENGINE_KEYS_FILE"
_ARMOR = re.compile(
    rb"-----BEGIN PGP PUBLIC KEY BLOCK-----\r?\n(?:[^\n]+\n)*?\r?\n(.*?)\n=?.{0,4}\r?\n?-----END", re.DOTALL
)


class Keyring:
    """Public keys, any of which may have signed."""

    def __init__(self, file: Path) -> None:
        """BadInputError when the file holds no keys or gpgv is missing."""
        program = shutil.which("gpgv")
        if program is None:
            raise BadInputError(SETTING, "needs the program gpgv, which is not on PATH (Debian: apt-get install gpgv)")
        self._program = program
        try:
            self._keys = _dearmored(file.read_bytes())
        except OSError as error:
            raise BadInputError(SETTING, f"{file} cannot be read: {error.strerror}") from error
        if not self._keys:
            raise BadInputError(SETTING, f"{file} holds no public keys; export them by gpg --export, armored or not")

    async def check(self, content: bytes, signature: bytes, what: str) -> None:
        """EngineMirrorError unless one of the keys has signed the content."""
        with tempfile.TemporaryDirectory(prefix="podform-gpgv-") as directory:
            files = {"keys.gpg": self._keys, "signature": signature, "content": content}
            await asyncio.to_thread(_write, Path(directory), files)
            process = await asyncio.create_subprocess_exec(
                *(self._program, "--homedir", directory, "--keyring", f"{directory}/keys.gpg"),
                *(f"{directory}/signature", f"{directory}/content"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
            )
            _, said = await process.communicate()
        if process.returncode != 0:
            last = said.decode("utf-8", "replace").strip().splitlines()[-1:] or ["it says nothing"]
            raise EngineMirrorError(f"{what} is not signed by a key of {SETTING}: {last[0]}")


def _write(directory: Path, files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        (directory / name).write_bytes(data)


def _dearmored(data: bytes) -> bytes:
    """The keys in binary form; empty when there are none."""
    if b"-----BEGIN PGP" not in data:
        return data if data[:1] and data[0] & 0x80 else b""
    try:
        return b"".join(base64.b64decode(b"".join(match[1].split())) for match in _ARMOR.finditer(data))
    except binascii.Error:
        return b""

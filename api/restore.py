"""`python -m api restore`: a data directory out of a back-up, checked before anything is served from it.

Every state and configuration is opened with the master key and held to its checksum; runs that had not ended are
settled (services/settle_restored). Nothing appears under the data directory's name before all of that is done.
"""

import argparse
import asyncio
import hashlib
import json
import os
import shutil
import sys
import tarfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from api.backup import DATABASE, FORMAT, KEYS, MANIFEST
from api.bells import LocalBells
from api.domain.entities import ConfigurationVersion, StateVersion
from api.persistence import sealing
from api.persistence.artifacts import SealedArtifacts
from api.persistence.codes import DerivedCodes
from api.persistence.database import SqliteDatabase
from api.persistence.logs import FileLogs
from api.persistence.sealing import Sealer
from api.services.configurations import configuration_key
from api.services.ports import Page, Ports, Rules
from api.services.receive_state import state_key
from api.services.settle_restored import settle_restored
from common.errors import BadInputError, PodformError

_PAGE = 500


class RestoreError(PodformError):
    """The back-up is not whole, or is none."""


def main(arguments: list[str]) -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(prog="podform restore", description="Restore a data directory")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--input", type=Path)
    parser.add_argument("--settle", action="store_true")
    parser.add_argument("--master-key-file", type=Path)
    given = parser.parse_args(arguments)
    try:
        if given.settle == (given.input is not None):
            raise BadInputError("--input", "or --settle must be given, one of them")
        if given.settle:
            ended = asyncio.run(_settled_in_place(given.data_dir, os.environ))
        else:
            ended = restore(given.input, given.data_dir, given.master_key_file, os.environ)
    except (PodformError, OSError, tarfile.TarError) as error:
        print(f"podform: nothing was restored: {error}", file=sys.stderr)  # noqa: T201 - the answer of the command
        return 2 if isinstance(error, BadInputError) else 1
    say = f"podform: {given.data_dir} is restored; every state and configuration in it was opened and checked"
    if ended:
        runs = ", ".join(str(number) for number in ended[:20]) + (" …" if len(ended) > 20 else "")
        say += (
            f"\npodform: {len(ended)} runs had not ended and are errored now ({runs}); workspaces that they may have "
            "changed since are locked until a person has looked"
        )
    say += "\npodform: tokens and variables are those of the back-up: revoke again what was revoked since"
    print(say, file=sys.stderr)  # noqa: T201 - the answer of the command
    return 0


def restore(backup: Path, data: Path, key_file: Path | None, environ: Mapping[str, str]) -> tuple[int, ...]:
    """Restore, whole or not at all; numbers of the runs that had not ended. Raises PodformError, OSError, TarError."""
    if data.exists() and (not data.is_dir() or any(data.iterdir())):
        raise BadInputError("--data-dir", f"{data} is not empty; nothing is restored over something")
    beside = data.absolute().with_name(f".{data.name}.restoring.{os.getpid()}")
    beside.mkdir(mode=0o700, parents=True)
    try:
        taken_at = _unpack(backup, beside)
        master_key = _master_key(beside, key_file, environ)
        ended = asyncio.run(_checked_and_settled(beside, master_key, taken_at))
        (beside / f"{DATABASE}.lock").unlink(missing_ok=True)
        if data.exists():
            data.rmdir()
        beside.rename(data)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return ended


def _unpack(backup: Path, target: Path) -> str:
    """Unpack; when the back-up was taken."""
    with tarfile.open(backup, "r:") as packed:
        packed.extractall(target, filter="data")
    try:
        manifest = json.loads((target / MANIFEST).read_text())
        format_, taken_at = manifest["format"], str(manifest["taken_at"])
    except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
        raise RestoreError(
            f"{backup} is no whole back-up: its last part, {MANIFEST}, is missing or unreadable"
        ) from error
    if format_ != FORMAT:
        raise RestoreError(f"{backup} has format {format_}; this version reads {FORMAT}")
    (target / MANIFEST).unlink()
    return taken_at


def _master_key(target: Path, key_file: Path | None, environ: Mapping[str, str]) -> bytes:
    """The key: the file that is given, the environment, or the one in the back-up."""
    path = target / KEYS[0]
    if key_file is not None:
        key = sealing.parse_master_key(key_file.read_text(), "--master-key-file")
        shutil.copyfile(key_file, path)
        path.chmod(0o600)
        return key
    if text := environ.get("PODFORM_MASTER_KEY"):
        return sealing.parse_master_key(text)
    if name := environ.get("PODFORM_MASTER_KEY_FILE"):
        return sealing.parse_master_key(Path(name).read_text(), "PODFORM_MASTER_KEY_FILE")
    if path.is_file():
        return sealing.parse_master_key(path.read_text(), KEYS[0])
    raise BadInputError(
        "--master-key-file", "is needed: the back-up does not hold the master key, nor does the environment"
    )


async def _settled_in_place(data: Path, environ: Mapping[str, str]) -> tuple[int, ...]:
    """For stores that were put back by their own means (PostgreSQL, a bucket), as the settings name them."""
    from api import app, settings_source  # a restore of one file does without

    server = app.build(settings_source.read(environ, {"PODFORM_DATA_DIR": str(data)}, None), "")
    async with server.prepared():
        await _check_states(server.ports)
        await _check_configurations(server.ports)
        return await settle_restored(server.ports, "an earlier time")


async def _checked_and_settled(target: Path, master_key: bytes, taken_at: str) -> tuple[int, ...]:
    sealer = Sealer(master_key)
    database = SqliteDatabase(target / DATABASE, sealer)
    try:
        ports = Ports(
            database=database,
            artifacts=SealedArtifacts(target / "artifacts", sealer),
            logs=FileLogs(target / "logs"),
            bells=LocalBells(),
            codes=DerivedCodes(sealer),
            clock=lambda: datetime.now(UTC),
            launchers={},
            rules=Rules(internal_secret="", api_url=""),
        )
        await database.prepare()
        await _check_states(ports)
        await _check_configurations(ports)
        return await settle_restored(ports, taken_at)
    finally:
        await database.close()


async def _check_states(ports: Ports) -> None:
    number = 1
    while True:
        async with ports.database.reading() as tx:
            versions = (await tx.listing(StateVersion, Page(number, _PAGE), {})).items
        if not versions:
            return
        for version in versions:
            content = await ports.artifacts.get(state_key(version.workspace_id, version.id))
            if content is None or hashlib.md5(content, usedforsecurity=False).hexdigest() != version.md5:
                raise RestoreError(f"the content of state version {version.id} is missing or is another one")
        number += 1


async def _check_configurations(ports: Ports) -> None:
    async with ports.database.reading() as tx:
        uploads = await tx.all(ConfigurationVersion, status="uploaded")
    for upload in uploads:
        content = await ports.artifacts.get(configuration_key(upload))
        if content is None or hashlib.sha256(content).hexdigest() != upload.sha256:
            raise RestoreError(f"the content of configuration {upload.id} is missing or is another one")

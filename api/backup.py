"""`python -m api backup`: one file with all of a data directory, taken while the API serves from it.

First a snapshot of the database, then logs, then artifacts: artifacts are immutable and were there before the row that
names them, so that the file holds whatever its database names. Keys stay out of it unless asked for.
"""

import argparse
import io
import json
import os
import sqlite3
import sys
import tarfile
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from common.errors import BadInputError, PodformError

FORMAT = 1
DATABASE = "podform.db"
MANIFEST = "podform-backup.json"
KEYS = ("master.key", "internal.secret")
#: In this order: what is moved from a log to the artifacts meanwhile is found in one of them.
DIRECTORIES = ("logs", "artifacts")
_TRIES = 3


class BackupError(PodformError):
    """No back-up was made."""


def main(arguments: list[str]) -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(prog="podform backup", description="Back up a data directory")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--with-keys", action="store_true")
    given = parser.parse_args(arguments)
    try:
        manifest = back_up(given.data_dir, given.output, with_keys=given.with_keys)
    except (PodformError, OSError, sqlite3.Error) as error:
        print(f"podform: no back-up was made: {error}", file=sys.stderr)  # noqa: T201 - the answer of the command
        return 2 if isinstance(error, BadInputError) else 1
    say = f"podform: {given.output} holds the database, {manifest['files']} logs and artifacts"
    if given.with_keys:
        say += " AND THE KEYS: whoever has this file reads every secret in it"
    else:
        say += (
            "\npodform: IT DOES NOT HOLD THE MASTER KEY, and without the key nothing in it can be read. Keep a copy of "
            f"the key somewhere else: {given.data_dir / KEYS[0]}, or what PODFORM_MASTER_KEY or its _FILE says"
        )
    print(say, file=sys.stderr)  # noqa: T201 - the answer of the command
    return 0


def back_up(data: Path, output: Path, *, with_keys: bool) -> dict[str, object]:
    """Write the back-up, whole or not at all; what its manifest says. Raises BackupError, BadInputError, OSError."""
    if not (data / DATABASE).is_file():
        raise BadInputError("--data-dir", f"{data} holds no {DATABASE}")
    if output.exists():
        raise BadInputError("--output", f"{output} exists already")
    beside = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        for _ in range(_TRIES):
            manifest, missing = _write(data, beside, with_keys=with_keys)
            if not missing:
                os.link(beside, output)  # never over one that somebody else has put there
                return manifest
        raise BackupError(f"the database names {len(missing)} contents that are not there, the first is {missing[0]}")
    finally:
        beside.unlink(missing_ok=True)


def _write(data: Path, path: Path, *, with_keys: bool) -> tuple[dict[str, object], list[str]]:
    """One try: its manifest, and what the snapshot names and was removed before it could be copied."""
    taken_at = datetime.now(UTC).isoformat(timespec="seconds")
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch, _created(path) as file:
        snapshot = Path(scratch) / DATABASE
        _snapshot(data / DATABASE, snapshot)
        files: set[str] = set()
        with tarfile.open(fileobj=file, mode="w") as packed:
            packed.add(snapshot, DATABASE)
            for directory in DIRECTORIES:
                files |= _add_all(packed, data, directory)
            keys = [name for name in KEYS if with_keys and (data / name).is_file()]
            for name in keys:
                packed.add(data / name, name)
            manifest: dict[str, object] = {
                "format": FORMAT,
                "taken_at": taken_at,
                "files": len(files),
                "keys": keys,
            }
            _add_bytes(packed, MANIFEST, json.dumps(manifest).encode())  # last: a file without it was cut
        file.flush()
        os.fsync(file.fileno())
        missing = sorted(_named(snapshot) - files)
        if _data_keys(snapshot) != _data_keys(data / DATABASE):
            missing.append("a data key that was made meanwhile")  # what was copied may be sealed with it
        return manifest, missing


def _created(path: Path) -> io.BufferedWriter:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb")


def _snapshot(source: Path, target: Path) -> None:
    """A consistent copy; the API goes on writing meanwhile."""
    live = sqlite3.connect(f"file:{source}?mode=ro", uri=True, timeout=60)
    copy = sqlite3.connect(target)
    try:
        live.backup(copy)  # all pages in one step: one read transaction, however much is written meanwhile
    finally:
        copy.close()
        live.close()


def _named(snapshot: Path) -> set[str]:
    """The contents without which a back-up is none: states, and configurations."""
    database = sqlite3.connect(snapshot)
    try:
        states = database.execute("SELECT workspace_id, id FROM state_versions").fetchall()
        uploads = database.execute(
            "SELECT workspace_id, id, sha256 FROM configuration_versions WHERE status = 'uploaded'"
        ).fetchall()
    finally:
        database.close()
    return {f"artifacts/states/{workspace}/{name}" for workspace, name in states} | {
        f"artifacts/configurations/{workspace}/{name}-{sha256[:16]}" for workspace, name, sha256 in uploads
    }


def _data_keys(path: Path) -> set[str]:
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=60)
    try:
        return {name for (name,) in database.execute("SELECT id FROM data_keys")}
    except sqlite3.OperationalError:
        return set()  # a database of an older version
    finally:
        database.close()


def _add_all(packed: tarfile.TarFile, data: Path, directory: str) -> set[str]:
    """Every regular file below a directory; one that goes away meanwhile is left out."""
    added = set()
    for path in sorted((data / directory).rglob("*")):
        if "#" in path.name or path.is_symlink() or not path.is_file():
            continue  # '#': the artifact store is just writing it
        name = path.relative_to(data).as_posix()
        try:
            with path.open("rb") as content:  # a log may grow: what it had when it was opened is what it is
                packed.addfile(packed.gettarinfo(arcname=name, fileobj=content), content)
        except FileNotFoundError:
            continue
        added.add(name)
    return added


def _add_bytes(packed: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o600
    packed.addfile(member, io.BytesIO(content))

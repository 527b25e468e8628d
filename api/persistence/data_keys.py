"""Which data keys there are: opened with the master key when a database is prepared, added to, retired.

Called by the databases with a connection inside their transaction, and by rotation.py. A change of the master key wraps
every key anew, in the one transaction of the start.
"""

import os
from datetime import UTC, datetime

from sqlalchemy import Connection, insert, select, update

from api.persistence.key_tables import data_keys
from api.persistence.sealing import KEY_BYTES, MasterKey, SealBrokenError, Sealer
from api.persistence.tables import organizations, seal_checks
from common.errors import PodformError

_CHECK = "master key"


class WrongMasterKeyError(PodformError):
    """The database was sealed with another master key."""


def open_keys(connection: Connection, sealer: Sealer, where: str) -> None:
    """See that the master key is the right one, and give the sealer every key. Raises WrongMasterKeyError."""
    _check_master(connection, sealer, where)
    rows = connection.execute(
        select(data_keys).where(data_keys.c.retired_at.is_(None)).order_by(data_keys.c.created_at)
    )
    keys = {row.id: (row.kind, _unwrap(sealer.master, row.id, row.wrapped, where)) for row in rows}
    kinds = {kind for kind, _ in keys.values()}
    if "codes" not in kinds:
        # from before data keys: what it had sealed must stay readable, what was handed out must stay valid
        _store(connection, sealer.master, "codes", "codes", sealer.codes_key)
        if connection.scalar(select(organizations.c.id).limit(1)) is not None:
            _store(connection, sealer.master, sealer.key_id, "older", sealer.master.older_key)
    for key_id, (kind, key) in keys.items():
        if kind == "codes":
            sealer.codes_key = key
        else:
            sealer.learn(key_id, key, active=kind == "data")  # by age: the newest one stays active
    if "data" not in kinds:
        add_key(connection, sealer)


def add_key(connection: Connection, sealer: Sealer) -> tuple[str, bytes]:
    """Store a new data key. The sealer learns the first one here, any other from the caller after the commit."""
    first = connection.scalar(select(data_keys.c.id).where(data_keys.c.kind == "data").limit(1)) is None
    key_id, key = os.urandom(8).hex(), os.urandom(KEY_BYTES)
    _store(connection, sealer.master, key_id, "data", key)
    if first:
        sealer.learn(key_id, key, active=True)
    return key_id, key


def retire(connection: Connection, key_id: str) -> None:
    """Keep that there was such a key, and no longer the key."""
    gone = {"wrapped": b"", "retired_at": datetime.now(UTC)}
    connection.execute(update(data_keys).where(data_keys.c.id == key_id).values(gone))


def _check_master(connection: Connection, sealer: Sealer, where: str) -> None:
    """Open the seal that the first start has left; leave one where there is none."""
    seal = connection.scalar(select(seal_checks.c.seal).where(seal_checks.c.name == _CHECK))
    if seal is None:
        connection.execute(insert(seal_checks), {"name": _CHECK, "seal": sealer.master.wrap(b"", _CHECK)})
        return
    if _opens(sealer.master, seal):
        return
    if sealer.previous is None or not _opens(sealer.previous, seal):
        raise WrongMasterKeyError(
            f"PODFORM_MASTER_KEY: is not the key that {where} was sealed with (this one is {sealer.key_id}); give the "
            "one that it was last started with, or, to change it, that one as PODFORM_MASTER_KEY_PREVIOUS"
        )
    _wrap_anew(connection, sealer, sealer.previous, where)


def _opens(master: MasterKey, seal: bytes) -> bool:
    """Whether the master key made the seal: wrapped, or as it was sealed before data keys."""
    try:
        if seal.startswith(b"PF1" + master.older_id):
            return master.open_older(seal, _CHECK) == _CHECK.encode()
        master.unwrap(seal, _CHECK)
    except SealBrokenError:
        return False
    return True


def _wrap_anew(connection: Connection, sealer: Sealer, previous: MasterKey, where: str) -> None:
    """A change of the master key: all or nothing, for it is one transaction."""
    rows = connection.execute(select(data_keys).where(data_keys.c.retired_at.is_(None))).all()
    for row in rows:
        key = _unwrap(previous, row.id, row.wrapped, where)
        wrapped = sealer.master.wrap(key, _context(row.id))
        connection.execute(update(data_keys).where(data_keys.c.id == row.id).values(wrapped=wrapped))
    if not rows:  # from before data keys
        _store(connection, sealer.master, "codes", "codes", previous.codes_key)
        _store(connection, sealer.master, previous.older_id.hex(), "older", previous.older_key)
    seal = sealer.master.wrap(b"", _CHECK)
    connection.execute(update(seal_checks).where(seal_checks.c.name == _CHECK).values(seal=seal))


def _unwrap(master: MasterKey, key_id: str, wrapped: bytes, where: str) -> bytes:
    try:
        return master.unwrap(wrapped, _context(key_id))
    except SealBrokenError as error:
        raise WrongMasterKeyError(f"{where}: the data key {key_id} cannot be opened with this master key") from error


def _store(connection: Connection, master: MasterKey, key_id: str, kind: str, key: bytes) -> None:
    wrapped = master.wrap(key, _context(key_id))
    row = {"id": key_id, "kind": kind, "wrapped": wrapped, "created_at": datetime.now(UTC)}
    connection.execute(insert(data_keys), row)


def _context(key_id: str) -> str:
    return f"data_keys.{key_id}"

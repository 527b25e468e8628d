"""The id of this node: kept in the data directory, which one process at a time may use. Called by api/app.py.

A restart on the same directory is the same node and sees to the processes that it started before.
"""

import fcntl
import os
from pathlib import Path

from api.persistence.database import DatabaseInUseError

_held: dict[Path, int] = {}


def own_node_id(data_dir: Path) -> str:
    """The node's id, made at its first start. DatabaseInUseError when another process has the directory."""
    directory = data_dir.resolve()
    if (earlier := _held.pop(directory, None)) is not None:
        os.close(earlier)  # an earlier server of this very process
    descriptor = os.open(directory / "node.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise DatabaseInUseError(
            f"PODFORM_DATA_DIR: another Podform process uses {data_dir}; each replica has its own"
        ) from error
    _held[directory] = descriptor  # until this process ends
    if not (node_id := os.pread(descriptor, 100, 0).decode().strip()):
        node_id = f"node-{os.urandom(8).hex()}"
        os.pwrite(descriptor, node_id.encode(), 0)
        os.fsync(descriptor)
    return node_id

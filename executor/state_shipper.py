"""Ships every change of terraform's local state file to the API while terraform works.

Started by the apply and destroy actions. Terraform rewrites the file in place, so that a reader may meet
half of it: only a file that stood still while it was read, and that is whole, is shipped.
"""

import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from executor import workdir
from executor.api_client import ApiClient
from executor.delivery import Delivery
from executor.errors import RefusedError, UndeliveredError

POLL_SECONDS = 0.15


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A whole state: its bytes and what its headers say."""

    data: bytes
    serial: int
    lineage: str
    md5: str


def parse(data: bytes) -> Snapshot | None:
    """The snapshot in these bytes, None when they are no whole state."""
    try:
        document = json.loads(data)
    except ValueError:
        return None
    if not isinstance(document, dict):
        return None
    serial, lineage = document.get("serial"), document.get("lineage")
    if not isinstance(serial, int) or not isinstance(lineage, str) or not lineage:
        return None
    return Snapshot(data, serial, lineage, hashlib.md5(data, usedforsecurity=False).hexdigest())


def read_stable(path: Path) -> bytes | None:
    """The file's bytes when nobody wrote it meanwhile, else None (also when there is no such file)."""
    before = _mark(path)
    if before is None:
        return None
    data = workdir.read_regular(path)
    return data if data is not None and _mark(path) == before else None


def _mark(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat(follow_symlinks=False)
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino)


class StateShipper:
    """Watches one state file. `finish` ships the last state and says which serial it was."""

    def __init__(
        self, path: Path, spool: Path, api: ApiClient, delivery: Delivery, on_refused: Callable[[RefusedError], None]
    ) -> None:
        self._path = path
        self._spool = spool
        self._api = api
        self._delivery = delivery
        self._on_refused = on_refused
        self._seen: object = _mark(path)
        self._latest = parse(read_stable(path) or b"")
        self._first = self._shipped = self._latest  # what the API has: it gave us this one
        self._shipped_any = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="state", daemon=True)

    def start(self) -> None:
        """Begin watching."""
        self._thread.start()

    def finish(self, salvaged: Snapshot | None = None) -> int | None:
        """Ship the last state (or the one salvaged from elsewhere) as final; its serial, None when the step
        changed nothing. Waits until it is delivered.

        Raises UndeliveredError or RefusedError.
        """
        self._stop.set()
        self._thread.join()
        self._seen = None  # two writes within one tick of the file's clock leave the same mark: read it in any case
        self._look()
        last = salvaged or self._latest
        if last is None or (last == self._first and not self._shipped_any):
            return None
        self._keep(last)
        self._delivery.until_answered(lambda: self._put(last, final=True))
        return last.serial

    @property
    def latest(self) -> Snapshot | None:
        """The newest whole state seen so far."""
        return self._latest

    def _watch(self) -> None:
        try:
            while not self._stop.wait(POLL_SECONDS):
                self._look()
                self._ship_latest()
        except UndeliveredError:
            pass  # finish tries again and says so
        except RefusedError as error:
            self._on_refused(error)
        finally:
            self._api.close()

    def _look(self) -> None:
        """Take note of the file's newest whole content, if it changed."""
        mark = _mark(self._path)
        if mark == self._seen:
            return
        snapshot = parse(read_stable(self._path) or b"")
        if snapshot is not None and _mark(self._path) == mark:
            self._seen = mark
            self._latest = snapshot

    def _ship_latest(self) -> None:
        if self._latest is None or self._latest == self._shipped:
            return
        self._delivery.until_answered(self._put_newest, give_up=self._stop.is_set)

    def _put_newest(self) -> None:
        """One attempt with whatever is newest now: an outage leaves only the last of many changes to ship."""
        self._look()
        if self._latest is not None:
            self._put(self._latest, final=False)

    def _put(self, snapshot: Snapshot, *, final: bool) -> None:
        self._api.put_state(
            snapshot.data, serial=snapshot.serial, lineage=snapshot.lineage, md5=snapshot.md5, final=final
        )
        self._shipped = snapshot
        self._shipped_any = True

    def _keep(self, snapshot: Snapshot) -> None:
        """A copy in the spool, for people, should it never be delivered."""
        try:
            workdir.write_private(self._spool / "last.tfstate", snapshot.data)
        except OSError:
            pass  # a full disk must not keep it from being delivered

"""What the process launcher keeps on disk about one attempt, by which it finds it again after a restart.

<root>/attempts/<name>/ holds `lock` (held by the executor as long as it lives), `run.json` (whose directory it
works in), `process.json` (pid and start time), `output` (what the executor printed) and `ended.json` (its exit
code, once its end was seen).
"""

import fcntl
import json
import os
from dataclasses import dataclass
from pathlib import Path

from api.launchers.processes import ProcessId, boot, find_by_last_argument
from common import ids

TAIL_BYTES = 4096


@dataclass(frozen=True, slots=True)
class AttemptFiles:
    """The files of one attempt; `name` has been checked to be an attempt's name."""

    root: Path
    name: str

    @property
    def directory(self) -> Path:
        """Where they are."""
        return self.root / "attempts" / self.name

    @property
    def output(self) -> Path:
        """What the executor printed."""
        return self.directory / "output"

    def take_lock(self) -> int | None:
        """A descriptor that holds the lock; None when an executor holds it. Makes the directory."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor

    def is_held(self) -> bool:
        """Whether an executor lives that holds the lock."""
        if not (self.directory / "lock").exists():
            return False
        descriptor = self.take_lock()
        if descriptor is None:
            return True
        os.close(descriptor)
        return False

    def process(self) -> ProcessId | None:
        """The process that was started; None when there was none."""
        document = self._read("process.json")
        if document is None:
            return None
        pid, start_time = document.get("pid"), document.get("start_time")
        if document.get("boot") != boot():
            return ProcessId(0, 0)  # ended with the machine; no process has this pid
        return ProcessId(pid, start_time) if isinstance(pid, int) and isinstance(start_time, int) else None

    def living_process(self) -> ProcessId | None:
        """The process that holds the lock, also when the API died before it could write down which one it is.

        Then it is written down now: once it has died, nothing else says whose session must be ended with it.
        """
        process = self.process()
        if process is None and (process := find_by_last_argument(self.name)) is not None:
            self.remember_process(process)
        return process

    def run_id(self) -> str | None:
        """The run that it works for; None when that was not written down."""
        run_id = (self._read("run.json") or {}).get("run_id")
        return run_id if isinstance(run_id, str) else None

    def remember_run(self, run_id: str) -> None:
        """Write down which run it works for."""
        self._write("run.json", {"run_id": run_id})

    def remember_process(self, process: ProcessId) -> None:
        """Write down which process was started."""
        self._write("process.json", {"pid": process.pid, "start_time": process.start_time, "boot": boot()})

    @property
    def has_ended(self) -> bool:
        """Whether its end was seen before."""
        return (self.directory / "ended.json").exists()

    def exit_code(self) -> int | None:
        """The exit code that was seen; None when it is not known."""
        code = (self._read("ended.json") or {}).get("exit_code")
        return code if isinstance(code, int) else None

    def remember_end(self, exit_code: int | None) -> None:
        """Write down that its end was seen."""
        self._write("ended.json", {"exit_code": exit_code})

    def tail(self) -> str:
        """The last of what the executor printed."""
        try:
            with self.output.open("rb") as source:
                source.seek(max(0, os.fstat(source.fileno()).st_size - TAIL_BYTES))
                return source.read(TAIL_BYTES).decode("utf-8", "replace")
        except OSError:
            return ""

    def _read(self, file: str) -> dict[str, object] | None:
        try:
            document = json.loads((self.directory / file).read_bytes())
        except (OSError, ValueError):
            return None
        return document if isinstance(document, dict) else None

    def _write(self, file: str, document: dict[str, object]) -> None:
        fresh = self.directory / f"{file}.new"
        fresh.write_text(json.dumps(document))
        fresh.replace(self.directory / file)


def known(root: Path) -> list[AttemptFiles]:
    """Every attempt that was ever started below this root."""
    directory = root / "attempts"
    if not directory.is_dir():
        return []
    return [AttemptFiles(root, entry.name) for entry in directory.iterdir() if ids.parse_attempt_name(entry.name)]

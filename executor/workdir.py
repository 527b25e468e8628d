"""The step's directories below PODFORM_WORK_DIR, and careful reading and writing in them.

Plan and apply of one run see the same absolute paths, which a plan file remembers. Code that terraform ran
may have put anything there: what is read back must be a regular file, never a link.
"""

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from common.failure_reasons import FailureReason
from executor.errors import StepFailedError

#: A provider's socket has up to 40 bytes below TMPDIR.
LONGEST_TEMPORARY = 66


@dataclass(frozen=True, slots=True)
class WorkDirectory:
    """Where a step keeps what; made fresh by `prepare` for every step, except the spool."""

    root: Path
    attempt_name: str

    @property
    def config(self) -> Path:
        """The unpacked configuration."""
        return self.root / "config"

    @property
    def state_file(self) -> Path:
        """The state that terraform works on, outside the configuration."""
        return self.root / "state" / "terraform.tfstate"

    @property
    def plan_file(self) -> Path:
        """The saved plan."""
        return self.root / "plan" / "tfplan"

    @property
    def plan_json(self) -> Path:
        """The saved plan as JSON."""
        return self.root / "plan" / "plan.json"

    @property
    def variables(self) -> Path:
        """The variable files."""
        return self.root / "vars"

    @property
    def home(self) -> Path:
        """Terraform's HOME."""
        return self.root / "home"

    @property
    def temporary(self) -> Path:
        """Terraform's TMPDIR."""
        return self.root / "tmp"

    @property
    def providers(self) -> Path:
        """The cached provider packages that this step's lock file names, as links."""
        return self.root / "providers"

    @property
    def cli_configuration(self) -> Path:
        """What TF_CLI_CONFIG_FILE names."""
        return self.variables / "terraform.rc"

    @property
    def git(self) -> Path:
        """A checkout on its way into the configuration."""
        return self.root / "git"

    @property
    def spool(self) -> Path:
        """What is kept until the API has it."""
        return self.root / "spool" / self.attempt_name

    def prepare(self) -> None:
        """Make the directories, empty; what an earlier step of the run left in them is removed."""
        self.clear()
        for path in (*self._fresh(), self.spool):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def clear(self) -> None:
        """Remove what a delivered step leaves: configuration, state, plan and variables may hold secrets."""
        for path in self._fresh():
            remove(path)
        self._forget_alias()

    def short_temporary(self) -> Path:
        """Terraform's TMPDIR under a name that leaves room for sockets: providers listen on some in it, and Linux
        takes 107 bytes for their paths. The directory itself where its path is short enough."""
        if len(os.fsencode(self.temporary)) <= LONGEST_TEMPORARY:
            return self.temporary
        directory = Path("/tmp", f"podform-{os.urandom(6).hex()}")  # noqa: S108 - made new, for this user alone
        directory.mkdir(mode=0o700)
        self._alias.symlink_to(directory)
        (directory / "t").symlink_to(self.temporary)
        return directory / "t"

    @property
    def _alias(self) -> Path:
        return self.root / "tmp-alias"

    def _forget_alias(self) -> None:
        try:
            directory = self._alias.readlink()
            self._alias.unlink()
            (directory / "t").unlink()
            directory.rmdir()
        except OSError:
            pass  # the usual case: there is none

    def _fresh(self) -> tuple[Path, ...]:
        return (
            self.config,
            self.git,
            self.state_file.parent,
            self.plan_file.parent,
            self.variables,
            self.temporary,
            self.home,
            self.providers,
        )

    def clear_spool(self) -> None:
        """Remove the spool of this attempt, once everything in it was delivered."""
        remove(self.spool)

    def terraform_directory(self, folder: str) -> Path:
        """The sub-folder of the configuration that terraform runs in.

        Raises StepFailedError when there is none or it leads outside.
        """
        path = Path(os.path.realpath(self.config / folder.strip("/")))
        if not path.is_relative_to(os.path.realpath(self.config)):
            raise StepFailedError(
                FailureReason.BAD_CONFIGURATION, f"folder: {folder!r} leads outside of the configuration"
            )
        if not path.is_dir():
            raise StepFailedError(
                FailureReason.BAD_CONFIGURATION, f"folder: {folder!r} is not a directory of the configuration"
            )
        return path


def remove(path: Path) -> None:
    """Remove a file, link or directory, if it is there."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only this user can read, replacing whatever has its name."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as target:
        target.write(data)


@contextmanager
def open_regular(path: Path) -> Iterator[IO[bytes] | None]:
    """The file opened for reading; None when it is missing, a link, or no regular file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        yield None
        return
    with os.fdopen(descriptor, "rb") as source:
        yield source if stat.S_ISREG(os.fstat(descriptor).st_mode) else None


def read_regular(path: Path) -> bytes | None:
    """The file's bytes; None when it is missing, a link, or no regular file."""
    with open_regular(path) as source:
        return None if source is None else source.read()


def sha256(path: Path) -> str:
    """SHA-256 of a regular file in hex; empty when there is none."""
    import hashlib

    with open_regular(path) as source:
        if source is None:
            return ""
        digest = hashlib.sha256()
        while block := source.read(1 << 18):
            digest.update(block)
        return digest.hexdigest()

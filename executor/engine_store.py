"""Gets an engine that this machine lacks from the API, into the engine cache. Imported only where none fits.

Many executors at once fetch it once (a lock); a killed one leaves a part that the next one goes on with; a program
appears under its version by one rename, whole and checked.
"""

import fcntl
import hashlib
import os
import shutil
import stat
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from common.failure_reasons import FailureReason
from common.versions import parse_version
from executor import engines
from executor.api_client import OfferedEngine
from executor.cancellation import Stop
from executor.engines import Engine
from executor.errors import RefusedError, StepFailedError, StepStoppedError
from executor.step import Step

#: A program of an engine has about 100 MB.
MAX_PROGRAM_BYTES = 1024**3
_PAUSE_SECONDS = 0.2
_TRIES = 3


def obtain(step: Step, wanted: str, missing: StepFailedError) -> Engine:
    """An engine that fits, fetched from the API; `missing`, with what the API says, when it has none."""
    name = step.job.engine
    cache = (step.settings.engine_cache or step.work.root / "engines") / name
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with _alone(step, cache / ".lock"):
            found = list(engines.in_cache(name, cache.parent))
            try:
                return engines.choose(found, name, wanted)  # another executor was faster
            except StepFailedError:
                return _fetched(step, name, cache)
    except RefusedError as error:
        raise StepFailedError(FailureReason.ENGINE_UNAVAILABLE, f"{missing}; {_told(error)}") from error
    except OSError as error:
        raise StepFailedError(
            FailureReason.ENGINE_UNAVAILABLE, f"{missing}; the API's cannot be kept in {cache}: {error.strerror}"
        ) from error


def _fetched(step: Step, name: str, cache: Path) -> Engine:
    offered = _offer(step)
    version = parse_version(offered.version)
    if version is None:
        raise StepFailedError(FailureReason.ENGINE_UNAVAILABLE, f"the API offers {offered.version[:40]!r}: no version")
    step.log.say(f"fetching {name} {version} ({offered.size // 1024**2} MB) from the API")
    archive = cache / f".part-{version}-{offered.sha256[:16]}"
    _download(step, offered, archive)
    program = unpack(archive, name, cache / str(version))
    archive.unlink()
    return Engine(name, str(version), program)


def _offer(step: Step) -> OfferedEngine:
    while True:
        offered = step.ask(lambda: step.api.engine(engines.platform()))
        if offered is not None:
            return offered
        _pause(step)


def _download(step: Step, offered: OfferedEngine, archive: Path) -> None:
    """Fetch what is missing of the archive and check it; what does not fit is fetched anew."""
    for _ in range(_TRIES):
        step.ask(lambda: step.api.engine_archive(offered, engines.platform(), archive))
        if _sha256(archive) == offered.sha256:
            return
        archive.unlink()
    raise StepFailedError(
        FailureReason.ENGINE_UNAVAILABLE, f"the archive of {offered.version} does not have its SHA-256 when it arrives"
    )


def unpack(archive: Path, name: str, place: Path) -> Path:
    """The program of an archive, under its version; nothing else of the archive is read.

    Raises StepFailedError for an archive that is not as releases are, OSError when there is no room.
    """
    fresh = place.with_name(f".new-{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    try:
        try:
            with zipfile.ZipFile(archive) as opened:
                _write(opened, _member(opened, name), fresh / name)
        except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error) as error:
            raise _bad(f"cannot be read ({error})") from error
        (fresh / name).chmod(0o755)
        if place.exists():
            shutil.rmtree(place)  # without a program in it, or it would have been found
        fresh.rename(place)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return place / name


def _member(opened: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    members = [info for info in opened.infolist() if info.filename == name]
    if len(members) != 1:
        raise _bad(f"holds {len(members)} files {name!r}; one is expected")
    mode = members[0].external_attr >> 16
    if stat.S_IFMT(mode) not in {0, stat.S_IFREG}:
        raise _bad(f"holds no regular file {name!r}")
    if members[0].file_size > MAX_PROGRAM_BYTES:
        raise _bad(f"holds a program of more than {MAX_PROGRAM_BYTES} bytes")
    return members[0]


def _write(opened: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    size = 0
    with opened.open(member) as source, target.open("xb") as file:
        while block := source.read(1 << 18):
            size += len(block)
            if size > member.file_size:  # what the archive announces was bounded
                raise _bad("holds more than it announces")
            file.write(block)
        file.flush()
        os.fsync(file.fileno())


def _bad(problem: str) -> StepFailedError:
    return StepFailedError(FailureReason.ENGINE_UNAVAILABLE, f"the engine's archive {problem}")


@contextmanager
def _alone(step: Step, lock: Path) -> Iterator[None]:
    """Hold a lock that ends with this process; others wait, and stop waiting when their step is to stop."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while not _try(lambda: fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)):
            _pause(step)
        yield
    finally:
        os.close(descriptor)


def _try(act: Callable[[], None]) -> bool:
    try:
        act()
    except BlockingIOError:
        return False
    return True


def _pause(step: Step) -> None:
    if step.cancellation.stop is not Stop.NONE:
        raise StepStoppedError("stopped while an engine was fetched")
    time.sleep(_PAUSE_SECONDS)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _told(error: RefusedError) -> str:
    return str(error).removeprefix(f"{error.code}: ")

"""The process launcher: every attempt is a process of its own session beside the API, and outlives it.

Implements common.launcher_port.Launcher for the services; built by the composition root. It never decides what a
step becomes, and never signals a process that it cannot identify beyond doubt.
"""

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog

from api.launchers import attempt_files, processes, pruning
from api.launchers.attempt_files import AttemptFiles
from api.launchers.processes import ProcessId
from common import environment, ids
from common.failure_reasons import FailureReason
from common.launcher_port import (
    Carried,
    CarrierObservation,
    CarrierObserver,
    CarrierPhase,
    CarrierUnavailableError,
    LaunchOrder,
    LaunchRejectedError,
)

_log = structlog.get_logger()

PRUNE_EVERY_SECONDS = 3600.0

#: What an executor may take over from the API's own environment, besides what is set for it.
INHERITED = (
    "PATH",
    environment.CA_FILE,
    environment.PROVIDER_CACHE,
    environment.PROVIDER_MIRRORS,
    environment.PROVIDER_NETWORK_MIRROR,
    environment.DELIVERY_SECONDS,
    environment.INTERRUPT_GRACE_SECONDS,
)


class LocalProcessLauncher:
    """Carries attempts as local processes; everything it keeps is below `work_root`."""

    kind = "process"

    def __init__(
        self,
        *,
        work_root: Path,
        internal_secret: str,
        python: str = sys.executable,
        inherited: Mapping[str, str] | None = None,
        engine_cache: Path | None = None,
        failpoint: Callable[[str], None] | None = None,
    ) -> None:
        """`inherited` is the environment of which the names in INHERITED are passed on (default: this process's)."""
        self._root = work_root.absolute()
        self._secret = internal_secret
        self._python = python
        source = os.environ if inherited is None else inherited
        self._inherited = {name: source[name] for name in INHERITED if source.get(name)}
        self._engine_cache = (engine_cache or self._root / "engines").absolute()
        self._failpoint = failpoint or (lambda _name: None)
        self._observer: CarrierObserver | None = None
        self._watched: dict[str, int] = {}  # name -> pidfd
        self._telling: set[asyncio.Task[None]] = set()
        self._pruning: asyncio.Task[None] | None = None
        self._files = threading.Lock()  # looking whether a lock is free takes it for a moment

    async def start(self, observer: CarrierObserver) -> None:
        """Adopt what an earlier API started: watch what lives, tell of what ended meanwhile."""
        self._observer = observer
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for attempt, process, lives in await asyncio.to_thread(self._left_behind):
            if not lives or not self._watch(attempt, process):
                await asyncio.to_thread(processes.kill_session, process)
                await self._ended(attempt, None, process)
        self._pruning = asyncio.create_task(self._prune_for_ever(), name="pruning")

    async def launch(self, order: LaunchOrder) -> Carried:
        """Start the executor of an attempt, or find that it was started before."""
        if ids.parse_attempt_name(order.name) is None:
            raise LaunchRejectedError(FailureReason.START_FAILED, f"{order.name[:80]!r} is not the name of an attempt")
        attempt = AttemptFiles(self._root, order.name)
        try:
            process = await asyncio.to_thread(self._spawn, attempt, order)
        except (FileNotFoundError, PermissionError) as error:
            raise LaunchRejectedError(FailureReason.START_FAILED, f"the executor cannot be started: {error}") from error
        except OSError as error:
            raise CarrierUnavailableError(f"the executor cannot be started now: {error}") from error
        if process is None:
            raise CarrierUnavailableError("the executor runs, but it was not found among the processes")
        if not attempt.has_ended and attempt.name not in self._watched:
            self._tell(CarrierObservation(name=attempt.name, phase=CarrierPhase.RUNNING, uid=process.uid))
            if not self._watch(attempt, process):
                await self._ended(attempt, None, process)
        return Carried(uid=process.uid)

    async def stop(self, name: str, *, force: bool) -> None:
        """SIGTERM for the executor, or by force SIGKILL for it and all that it started."""
        if ids.parse_attempt_name(name) is not None:
            await asyncio.to_thread(self._stop, AttemptFiles(self._root, name), force)

    async def look(self, names: Sequence[str]) -> Mapping[str, CarrierObservation]:
        """How these attempts stand."""
        return await asyncio.to_thread(lambda: {name: self._look(name) for name in names})

    async def close(self) -> None:
        """Stop watching; the executors go on."""
        for name in list(self._watched):
            self._unwatch(name)
        if self._pruning is not None:
            self._pruning.cancel()
            await asyncio.gather(self._pruning, return_exceptions=True)
        if self._telling:
            await asyncio.gather(*self._telling, return_exceptions=True)

    async def _prune_for_ever(self) -> None:
        while True:
            try:
                await asyncio.to_thread(self._prune)
            except OSError as error:
                _log.warning("not_pruned", message=str(error))
            await asyncio.sleep(PRUNE_EVERY_SECONDS)

    # -- in threads ---------------------------------------------------------------------------------------------

    def _left_behind(self) -> list[tuple[AttemptFiles, ProcessId, bool]]:
        """Attempts of an earlier API whose end was not seen yet, and whether they live."""
        found = []
        with self._files:
            for attempt in attempt_files.known(self._root):
                lives = not attempt.has_ended and attempt.is_held()
                process = attempt.living_process() if lives else attempt.process()
                if process is not None and not attempt.has_ended:
                    found.append((attempt, process, lives))
        return found

    def _prune(self) -> None:
        with self._files:
            pruning.set_aside(self._root, time.time() - pruning.KEEP_SECONDS)
        pruning.remove(self._root)

    def _spawn(self, attempt: AttemptFiles, order: LaunchOrder) -> ProcessId | None:
        with self._files:
            lock = attempt.take_lock()
            if lock is None:
                return attempt.living_process()
            try:
                earlier = attempt.process()
                if earlier is not None:
                    return earlier  # it has ended: an attempt is never started twice
                attempt.remember_run(_work_name(order))
                self._failpoint("process_spawn.before:local_process._spawn")
                process = self._start_process(attempt, order, lock)
                self._failpoint("process_spawn.after:local_process._spawn")
                attempt.remember_process(process)
                return process
            finally:
                os.close(lock)  # from now on the executor alone holds it

    def _start_process(self, attempt: AttemptFiles, order: LaunchOrder, lock: int) -> ProcessId:
        work = self._root / "runs" / _work_name(order)
        work.mkdir(mode=0o700, parents=True, exist_ok=True)
        output = os.open(attempt.output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            # the attempt's name at the end is for people who read `ps`, and for finding it again
            pid = os.posix_spawn(
                self._python,
                [self._python, "-I", "-m", "executor", attempt.name],
                self._environment(order, work),
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, output, 1),
                    (os.POSIX_SPAWN_DUP2, output, 2),
                    (os.POSIX_SPAWN_DUP2, lock, 3),  # without close-on-exec: lives as long as the executor
                ],
                setsid=True,
                # a SIGTERM that comes while Python starts waits until the executor can take it
                setsigmask=[signal.SIGTERM],
                setsigdef=[signal.SIGINT, signal.SIGPIPE],
            )
        finally:
            os.close(output)
        process = processes.identify(pid)
        if process is None:
            raise ProcessLookupError("the executor vanished at its start")
        return process

    def _environment(self, order: LaunchOrder, work: Path) -> dict[str, str]:
        return {
            **self._inherited,
            environment.FLAG_BATCH: "true",
            environment.JOB_DATA: order.job_data.encoded(),
            environment.INTERNAL_SECRET: self._secret,
            environment.WORK_DIRECTORY: str(work),
            environment.ENGINE_CACHE: str(self._engine_cache),
        }

    def _stop(self, attempt: AttemptFiles, force: bool) -> None:
        with self._files:
            process = attempt.living_process() if attempt.is_held() else None
        if process is None:
            return
        if force:
            processes.kill_tree(process)
        else:
            processes.signal_process(process, signal.SIGTERM)

    def _look(self, name: str) -> CarrierObservation:
        if ids.parse_attempt_name(name) is None:
            return CarrierObservation(name=name, phase=CarrierPhase.ABSENT)
        attempt = AttemptFiles(self._root, name)
        with self._files:
            held, process = attempt.is_held(), attempt.process()
        if held:
            return CarrierObservation(name=name, phase=CarrierPhase.RUNNING, uid=process.uid if process else "")
        if process is None:
            return CarrierObservation(name=name, phase=CarrierPhase.ABSENT)
        if not attempt.has_ended:  # ended means that nothing of it runs any more
            processes.kill_session(process)
        return _end_of(attempt, process, attempt.exit_code())

    # -- in the event loop --------------------------------------------------------------------------------------

    def _watch(self, attempt: AttemptFiles, process: ProcessId) -> bool:
        """Watch for its end; False when it has ended already and is no child of ours any more."""
        descriptor = processes.open_pidfd(process)
        if descriptor is None:
            return False
        self._watched[attempt.name] = descriptor
        asyncio.get_running_loop().add_reader(descriptor, self._seen_end, attempt, process)
        return True

    def _unwatch(self, name: str) -> None:
        descriptor = self._watched.pop(name)
        asyncio.get_running_loop().remove_reader(descriptor)
        os.close(descriptor)

    def _seen_end(self, attempt: AttemptFiles, process: ProcessId) -> None:
        descriptor = self._watched[attempt.name]
        asyncio.get_running_loop().remove_reader(descriptor)
        self._spawn_telling(self._settle(attempt, process, descriptor))

    async def _settle(self, attempt: AttemptFiles, process: ProcessId, descriptor: int) -> None:
        # before it is reaped: until then its pid, which is the session's number, cannot be given to another
        await asyncio.to_thread(processes.kill_session, process)
        code = processes.exit_code(descriptor)
        if self._watched.get(attempt.name) == descriptor:
            del self._watched[attempt.name]
            os.close(descriptor)
        await self._ended(attempt, code, process)

    async def _ended(self, attempt: AttemptFiles, code: int | None, process: ProcessId | None) -> None:
        await asyncio.to_thread(attempt.remember_end, code)
        process = process or attempt.process()
        if self._observer is not None:
            await self._observer.observed(_end_of(attempt, process, code))

    def _tell(self, observation: CarrierObservation) -> None:
        if self._observer is not None:
            self._spawn_telling(self._observer.observed(observation))

    def _spawn_telling(self, telling: Coroutine[Any, Any, None]) -> None:
        told = asyncio.get_running_loop().create_task(telling)
        self._telling.add(told)
        told.add_done_callback(self._telling.discard)


def _work_name(order: LaunchOrder) -> str:
    """The directory of a run, or of the run whose plan it applies: a plan must see the same absolute paths again."""
    return order.plan_run_id or order.job_data.run_id


def _end_of(attempt: AttemptFiles, process: ProcessId | None, code: int | None) -> CarrierObservation:
    message = ""
    if code is not None and code < 0:
        message = f"the executor was ended by signal {-code} ({signal.strsignal(-code)})"
    return CarrierObservation(
        name=attempt.name,
        phase=CarrierPhase.ENDED,
        uid=process.uid if process else "",
        message=message,
        exit_code=code,
        log_tail=attempt.tail(),
    )

"""What the process launcher leaves on disk goes after a while; what somebody may still need stays."""

import asyncio
import os
import time
from pathlib import Path

from api.launchers import pruning
from api.launchers.attempt_files import AttemptFiles
from api.launchers.local_process import LocalProcessLauncher
from api.launchers.processes import ProcessId
from common.ids import attempt_name, new_id

OLD = time.time() - pruning.KEEP_SECONDS - 3600


def attempt(root: Path, run_id: str = "") -> AttemptFiles:
    """An attempt that ended, with the directory of its run."""
    files = AttemptFiles(root, attempt_name(new_id("step"), 1))
    lock = files.take_lock()
    assert lock is not None
    os.close(lock)
    if run_id:
        files.remember_run(run_id)
        (root / "runs" / run_id / "spool" / files.name).mkdir(parents=True)
        (root / "runs" / run_id / "spool" / files.name / "log").write_text("undelivered")
    files.remember_process(ProcessId(1, 1))
    files.remember_end(0)
    return files


def aged(*directories: Path) -> None:
    """Make everything in them old."""
    for directory in directories:
        for path in (*directory.rglob("*"), directory):
            os.utime(path, (OLD, OLD), follow_symlinks=False)


def prune(root: Path) -> None:
    """One round."""
    pruning.set_aside(root, time.time() - pruning.KEEP_SECONDS)
    pruning.remove(root)


def test_ended_and_old_goes(tmp_path: Path) -> None:
    """An attempt that ended long ago goes with its run's directory, and nothing is left of the removal."""
    run_id = new_id("run")
    files = attempt(tmp_path, run_id)
    aged(files.directory, tmp_path / "runs" / run_id)
    prune(tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.name not in {"attempts", "runs"}] == []


def test_young_stays(tmp_path: Path) -> None:
    """One young file deep in a spool keeps the run's directory; a young end keeps the attempt."""
    run_id = new_id("run")
    files = attempt(tmp_path, run_id)
    log = tmp_path / "runs" / run_id / "spool" / files.name / "log"
    aged(tmp_path / "runs" / run_id)
    log.write_text("more")
    os.utime(log.parent, (OLD, OLD))
    prune(tmp_path)
    assert log.read_text() == "more"
    assert files.has_ended


def test_what_a_living_executor_uses_stays(tmp_path: Path) -> None:
    """However old it looks: with the lock held neither the attempt nor the directory of its run is touched."""
    run_id = new_id("run")
    files = attempt(tmp_path, run_id)
    lock = files.take_lock()
    assert lock is not None
    aged(files.directory, tmp_path / "runs" / run_id)
    prune(tmp_path)
    assert files.run_id() == run_id
    assert (tmp_path / "runs" / run_id).is_dir()
    os.close(lock)


def test_an_end_that_was_not_seen_stays(tmp_path: Path) -> None:
    """An attempt whose end nobody has recorded is evidence: it stays until it was told of."""
    files = attempt(tmp_path)
    (files.directory / "ended.json").unlink()
    aged(files.directory)
    prune(tmp_path)
    assert files.process() is not None


def test_all_runs_stay_while_it_is_unknown_where_an_executor_works(tmp_path: Path) -> None:
    """A living attempt of which no run was written down keeps every run's directory."""
    files, run_id = attempt(tmp_path), new_id("run")
    lock = files.take_lock()
    assert lock is not None
    (tmp_path / "runs" / run_id).mkdir(parents=True)
    aged(tmp_path / "runs" / run_id)
    prune(tmp_path)
    assert (tmp_path / "runs" / run_id).is_dir()
    os.close(lock)


def test_a_link_out_of_a_run_is_not_followed(tmp_path: Path) -> None:
    """Code in a configuration may leave links: what they point to is not removed."""
    outside, run_id = tmp_path / "outside", new_id("run")
    outside.mkdir()
    (outside / "file").write_text("stays")
    root = tmp_path / "root"
    (root / "runs" / run_id).mkdir(parents=True)
    (root / "runs" / run_id / "link").symlink_to(outside)
    aged(root / "runs" / run_id)
    prune(root)
    assert not (root / "runs" / run_id).exists()
    assert (outside / "file").read_text() == "stays"


def test_the_launcher_prunes_by_itself(tmp_path: Path) -> None:
    """A launcher that starts removes what is old, without being asked."""
    files = attempt(tmp_path)
    aged(files.directory)

    class Nobody:
        async def observed(self, observation: object) -> None:
            """Nothing to tell."""

    async def scenario() -> None:
        one = LocalProcessLauncher(work_root=tmp_path, internal_secret="s")
        await one.start(Nobody())
        async with asyncio.timeout(20):
            while files.directory.exists():  # noqa: ASYNC110 - the file system rings no bell
                await asyncio.sleep(0.01)
        await one.close()

    asyncio.run(scenario())

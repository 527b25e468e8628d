"""The executor and the git command: its absence, and what is left in the work directory."""

import os
import shutil
from pathlib import Path

from common.failure_reasons import FailureReason
from common.git_source import GitSource
from common.statuses import StepKind
from tests.fakes.executor_process import Bench

SOURCE = GitSource(url="https://git.example/infra.git", token="canary-of-the-work-directory")


def test_no_git(executor_bench: Bench, tmp_path: Path) -> None:
    """An executor without git says so, and leaves no credential behind."""
    programs = tmp_path / "bin"
    programs.mkdir()
    terraform = shutil.which("terraform")
    assert terraform is not None
    (programs / "terraform").symlink_to(terraform)
    (programs / "env").symlink_to(shutil.which("env") or "/usr/bin/env")
    report = executor_bench.run(executor_bench.step(StepKind.PLAN, {}, source=SOURCE), PATH=str(programs))
    assert report.failure_reason is FailureReason.BAD_CONFIGURATION
    assert "needs git 2.30 or newer" in report.message
    assert not (executor_bench.work / "git").exists()


def test_what_is_not_allowed_never_reaches_git(executor_bench: Bench) -> None:
    """The executor checks URL and reference once more; nothing is started for what does not pass."""
    for wrong in (
        GitSource(url="ext::touch x", protocols=("https", "ext")),
        GitSource(url="https://git.example/a", reference="--upload-pack=x"),
        GitSource(url="http://git.example/a"),
        GitSource(url="git@git.example:a", protocols=("ssh",)),
    ):
        report = executor_bench.run(executor_bench.step(StepKind.PLAN, {}, source=wrong), PATH=os.environ["PATH"])
        assert report.failure_reason is FailureReason.BAD_CONFIGURATION
        assert report.message.startswith(("source:", "branch:")), report.message

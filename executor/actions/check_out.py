"""Checks the configuration out of git and packs it: what the run keeps as its configuration, for its apply too.

Called by fetch_configuration when the run has no configuration yet.
"""

import os
from pathlib import Path

from common import archive
from common.errors import BadInputError
from common.failure_reasons import FailureReason
from common.git_source import GitSource, check_reference, check_url
from executor.errors import RefusedError, StepFailedError
from executor.git import Git
from executor.step import Step
from executor.workdir import remove


def check_out(step: Step, source: GitSource) -> bytes:
    """The packed checkout; its commit is told to the API as soon as it is known."""
    try:
        check_url(source.url, source.protocols)
        check_reference(source.reference)
        git = Git(step, source, step.work.git)
        commit = git.check_out()
        step.ask(lambda: step.api.put_commit(commit))
        step.log.say(f"checked out commit {commit.id} by {commit.author}: {commit.message.partition(chr(10))[0]}")
        return archive.pack(git.tree, _names(git.tree), source.max_bytes)
    except BadInputError as error:
        raise StepFailedError(FailureReason.BAD_CONFIGURATION, str(error)) from error
    finally:
        remove(step.work.git)


def keep(step: Step, data: bytes, sha256: str) -> None:
    """Upload a checkout as the run's configuration."""
    try:
        step.ask(lambda: step.api.put_configuration(data, sha256))
    except RefusedError as error:
        raise StepFailedError(
            FailureReason.BAD_CONFIGURATION, f"the checkout cannot be kept as the run's configuration: {error}"
        ) from error


def _names(tree: Path) -> list[str]:
    """Files and links of a checkout, what git itself keeps left out."""
    names = []
    for directory, folders, files in os.walk(tree):
        links = [name for name in folders if (Path(directory) / name).is_symlink()]
        folders[:] = [name for name in folders if name not in {".git", *links}]
        for name in (*files, *links):
            path = Path(directory) / name
            if name != ".git":
                names.append(str(path.relative_to(tree)))
    return names

"""Fetches one commit of a repository with the git command, for the check_out action.

Nothing of the machine's or the repository's own configuration counts: no hooks, no prompts, no other transport.
The repository may be hostile: what it holds is packed and unpacked by the rules of common/archive.py afterwards.
"""

import re
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from common.failure_reasons import FailureReason
from common.git_source import Commit, GitSource, address_of, is_commit
from executor import git_credentials, process
from executor.cancellation import Stop
from executor.errors import StepFailedError, StepStoppedError
from executor.git_words import explained, may_pass
from executor.step import Step

_GRACE_SECONDS = 5.0
_PROGRESS_SECONDS = 5.0
_LINE_BYTES = 2000
_TAIL_LINES = 200
_LOCAL_SECONDS = 60
#: Pauses before a network command that failed in passing is tried again.
_PAUSES = (1.0, 3.0)
_PROGRESS = re.compile(r"\s\d{1,3}% \(")
#: Where a fetch of everything leaves what was asked for.
_WANTED = "refs/podform/wanted"
_REFERENCE = re.compile(r"([0-9a-f]{40,64})\t(\S+)")

#: The whole configuration of every git command, also those that work on submodules.
CONFIGURATION = """\
[core]
\thooksPath = /dev/null
\tattributesFile = /dev/null
\tfsmonitor = false
\tautocrlf = false
[init]
\tdefaultBranch = podform
[advice]
\tdetachedHead = false
[gc]
\tauto = 0
[maintenance]
\tauto = false
[transfer]
\tfsckObjects = true
[fetch "fsck"]
\tzeroPaddedFilemode = ignore
\tmissingSpaceBeforeDate = ignore
\tbadTimezone = ignore
[http]
\tlowSpeedLimit = 100
\tlowSpeedTime = 60
"""

#: Besides proxies: how a private authority is told to git, by whoever configures the executor.
_PASSED_ON = frozenset(
    {"http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "GIT_SSL_CAINFO"}
)


def environment(source: GitSource, home: Path, path: str, inherited: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of a git command."""
    # a repository fetched over the network must not name one on the executor's own disk as its submodule
    protocols = [name for name in source.protocols if name != "file" or source.url.startswith("file:")]
    return {
        **{name: value for name, value in inherited.items() if name in _PASSED_ON},
        "PATH": path,
        "HOME": str(home),
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_SYSTEM": "/dev/null",
        "GIT_CONFIG_GLOBAL": str(home / ".gitconfig"),
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TEMPLATE_DIR": "",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": ":".join(protocols),
        "GIT_LFS_SKIP_SMUDGE": "1",
    }


class Git:
    """One repository on its way into `tree`."""

    def __init__(self, step: Step, source: GitSource, directory: Path) -> None:
        self._step = step
        self._source = source
        self.tree = directory / "tree"
        if address_of(source.url).scheme == "ssh" and not source.private_key:
            raise _bad("source: is an ssh URL, and the workspace has no key any more that fits it")
        home = directory / "home"
        for path in (self.tree, home):
            path.mkdir(mode=0o700)
        lines, variables = git_credentials.place(source, home)
        (home / ".gitconfig").write_text(CONFIGURATION + lines)
        self._environment = environment(source, home, step.settings.path, step.settings.inherited) | variables
        self._own_deadline = time.monotonic() + source.timeout_seconds

    def check_out(self) -> Commit:
        """Fetch the commit, as shallow as the server allows, and check it out with its submodules."""
        self._must("init", "--quiet")
        self._must("config", "remote.origin.url", self._source.url)
        commit = self._fetched(self._source.commit or self._source.reference)
        self._must("checkout", "--quiet", "--detach", commit)
        if (self.tree / ".gitmodules").is_file():
            submodules = ("submodule", "update", "--init", "--recursive", "--progress")
            if self._again(*submodules, "--depth=1")[0] != 0:  # a server without shallow fetches
                self._must(*submodules)
        shown = self._local("log", "-1", "--format=%an <%ae>%n%B", commit)
        author, _, message = shown.partition("\n")
        return Commit(id=commit, author=author, message=message.strip())

    def _fetched(self, reference: str) -> str:
        wanted = reference if is_commit(reference) else self._resolved(reference)
        shallow = ("fetch", "--progress", "--depth=1", "--no-tags", "--", self._source.url, wanted)
        everything = ("+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*")
        code, _ = self._again(*shallow)
        if code != 0:  # an old server, or one that serves plain files: all of it then
            self._must("fetch", "--progress", "--", self._source.url, *everything, *_named(wanted))
        name = wanted if is_commit(wanted) else "FETCH_HEAD" if code == 0 else _WANTED
        return self._local("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}").strip()

    def _resolved(self, reference: str) -> str:
        """The full name of the branch or tag on the server, a branch before a tag."""
        names = [f"refs/heads/{reference}", f"refs/tags/{reference}"] if reference else ["HEAD"]
        lines = self._must("ls-remote", "--", self._source.url, *names)
        found = [match[2] for line in lines if (match := _REFERENCE.fullmatch(line))]
        for name in names:
            if name in found:
                return name
        what = f"there is no branch or tag {reference!r}" if reference else "there is no commit"
        raise _bad(f"{what} in the repository {self._source.url}")

    def _must(self, *arguments: str) -> list[str]:
        code, lines = self._again(*arguments)
        if code != 0:
            words = f"git {arguments[0]}: {said(lines) or f'ended with exit code {code}'}"
            reason = explained(lines, self._source)
            # git repeats what a server said, and a server could say what it was sent
            raise _bad(self._step.log.redacted(f"{reason} ({words})" if reason else words))
        return lines

    def _again(self, *arguments: str) -> tuple[int, list[str]]:
        """Run git, again after a pause while what went wrong may pass."""
        for pause in _PAUSES:
            code, lines = self._run(*arguments)
            if code == 0 or not may_pass(lines):
                return code, lines
            self._step.log.say(f"git {arguments[0]} is tried again in {pause:g} s")
            until = time.monotonic() + pause
            while time.monotonic() < until and self._step.cancellation.stop is Stop.NONE:
                time.sleep(0.1)
            if self._step.cancellation.stop is not Stop.NONE:
                raise StepStoppedError("stopped while git waited")
        return self._run(*arguments)

    def _run(self, *arguments: str) -> tuple[int, list[str]]:
        """Run git to its end, its messages going to the log; exit code and last lines."""
        step = self._step
        output = _Output(step)
        deadline = self._own_deadline if step.deadline is None else min(step.deadline, self._own_deadline)
        command = process.Command(["git", *arguments], self.tree, self._environment)
        try:
            ended = process.run(command, output.feed, step.cancellation, process.Limits(deadline, _GRACE_SECONDS))
        except OSError as error:
            raise _bad(f"git cannot be started ({error.strerror}); the executor needs git 2.30 or newer") from error
        output.close()
        if not ended.signaled:
            return ended.exit_code, output.lines
        if step.cancellation.stop is Stop.TIMED_OUT and deadline == self._own_deadline:
            seconds = self._source.timeout_seconds
            text = f"git took longer than {seconds} s (PODFORM_GIT_TIMEOUT_SECONDS) and was stopped"
            raise StepFailedError(FailureReason.TIMED_OUT, text)
        raise StepStoppedError(f"git {arguments[0]} was interrupted")

    def _local(self, *arguments: str) -> str:
        """What git says about what is here already."""
        done = subprocess.run(
            ["git", *arguments],  # noqa: S607 - found on the executor's own PATH
            cwd=self.tree,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            close_fds=False,
            timeout=_LOCAL_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            wanted = self._source.commit or self._source.reference
            raise _bad(f"there is no commit {wanted!r} in the repository {self._source.url}")
        return done.stdout.decode("utf-8", "replace")


class _Output:
    """Git's messages line by line: to the log, progress only now and then."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self._rest = b""
        self._progress_at = time.monotonic()
        self.lines: list[str] = []

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        *whole, rest = re.split(rb"[\r\n]", self._rest + data)
        self._rest = rest[:_LINE_BYTES]  # a server that never ends its line is not listened to
        for line in whole:
            self._take(line)

    def close(self) -> None:
        """Take what is left."""
        self._take(self._rest)

    def _take(self, raw: bytes) -> None:
        line = "".join(c for c in raw[:_LINE_BYTES].decode("utf-8", "replace") if c.isprintable() or c == "\t").strip()
        if not line:
            return
        if _PROGRESS.search(line):
            if time.monotonic() - self._progress_at < _PROGRESS_SECONDS:
                return
            self._progress_at = time.monotonic()
        elif len(self.lines) < _TAIL_LINES:
            self.lines.append(line)
        if not _REFERENCE.fullmatch(line):
            self._step.log.say(f"git: {line}")


def said(lines: list[str]) -> str:
    """The line of git's output that says what went wrong."""
    errors = [line for line in lines if line.startswith(("fatal:", "error:"))]
    return (errors or lines or [""])[0][:500]


def _named(wanted: str) -> tuple[str, ...]:
    return () if is_commit(wanted) else (f"+{wanted}:{_WANTED}",)


def _bad(message: str) -> StepFailedError:
    return StepFailedError(FailureReason.BAD_CONFIGURATION, message)

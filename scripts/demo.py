"""The demo behind scripts/demo: an API of its own, a first apply through the `podform` command, then it serves on.

Run by scripts/demo inside .venv. Starts and stops one API; everything else happens through the command line,
as a newcomer would type it.
"""

import argparse
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = "examples/hello"
ORGANIZATION, WORKSPACE = "demo", "hello"
DEFAULT_PORT = 8080
START_SECONDS = 60


class DemoError(Exception):
    """The demo cannot go on; str(error) says why."""


class PortTakenError(DemoError):
    """Somebody else listens at the port."""


@dataclass(frozen=True)
class Api:
    """An API that serves at this URL."""

    process: subprocess.Popen[bytes]
    url: str


@dataclass(frozen=True)
class Engine:
    """The terraform or tofu of the demo, and what of the API's environment leads to it."""

    kind: str
    environment: Mapping[str, str] = field(default_factory=dict)


def main() -> int:
    """Run the demo; the exit code."""
    options = read_options()
    # A stop by SIGTERM tidies up as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        data = Path(options.data_dir).resolve()
        data.mkdir(parents=True, exist_ok=True)
        engine = find_engine(options.engine, data)
        token = admin_token(data)
        with serving(options.port, data, token, engine) as api:
            first_apply(api.url, token, engine)
            tell(api.url, token)
            return 0 if options.once else serve_on(api.process)
    except DemoError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        return 0


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="scripts/demo", description="A first plan and apply on this machine.")
    parser.add_argument("--once", action="store_true", help="stop after the apply instead of serving on")
    parser.add_argument("--engine", metavar="PATH", help="the terraform or tofu to use (default: the one on PATH)")
    parser.add_argument("--port", type=int, help="port of the API (default: 8080, or a free one)")
    parser.add_argument("--data-dir", default=str(ROOT / ".demo"), help="where everything is kept (default: .demo)")
    return parser.parse_args()


def find_engine(given: str | None, data: Path) -> Engine:
    """The engine that was asked for, the one on PATH, or one that is installed for the purpose."""
    if given:
        return chosen_engine(Path(given), data)
    for kind in ("terraform", "tofu"):
        if found := shutil.which(kind):
            say(f"using {found}")
            return Engine(kind)
    say("there is no terraform or tofu on PATH: installing one for this demo")
    answer = subprocess.run([ROOT / "scripts/install-engine"], stdout=subprocess.PIPE, text=True, check=False)
    if answer.returncode:
        raise DemoError("no engine could be installed; give one by --engine PATH")
    return Engine("terraform", {"PODFORM_ENGINE_CACHE": answer.stdout.strip()})


def chosen_engine(path: Path, data: Path) -> Engine:
    """The program at this path, put first on PATH under the name that it needs there."""
    if not os.access(path, os.X_OK) or not path.is_file():
        raise DemoError(f"--engine: {path} is no program that can be run")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    answer = subprocess.run(
        [path.resolve(), "version", "-json"], stdout=subprocess.PIPE, text=True, check=False, env=environment
    )
    try:
        version = json.loads(answer.stdout)["terraform_version"]
    except (ValueError, KeyError) as error:
        raise DemoError(f"--engine: {path} does not answer `version -json` as terraform and tofu do") from error
    kind = "tofu" if "tofu" in path.resolve().name else "terraform"
    link = data / "engine" / kind
    link.parent.mkdir(exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(path.resolve())
    say(f"using {path} ({kind} {version})")
    return Engine(kind, {"PATH": f"{link.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"})


def admin_token(data: Path) -> str:
    """The token of the demo's first admin: kept beside the data, for the next time."""
    path = data / "demo-token"
    if not path.exists():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(32))
    return path.read_text()


@contextmanager
def serving(port: int | None, data: Path, token: str, engine: Engine) -> Iterator[Api]:
    """An API that answers, stopped at the end. Without a port: 8080, or any free one when that is taken."""
    try:
        api = started(port if port is not None else DEFAULT_PORT, data, token, engine)
    except PortTakenError:
        if port is not None:
            raise
        say(f"port {DEFAULT_PORT} is taken: using another one")
        api = started(0, data, token, engine)
    try:
        yield api
    finally:
        stop(api.process)


def started(port: int, data: Path, token: str, engine: Engine) -> Api:
    """An API that is ready; DemoError with the end of its log when it does not become so."""
    log = data / "api.log"
    say(f"starting the API (its log: {log})")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PODFORM_", "TF_"))}
    environment |= {**engine.environment, "PODFORM_ADMIN_TOKEN": token}
    command = [sys.executable, "-m", "api", "--port", str(port), "--data-dir", str(data)]
    with log.open("wb") as output:
        # A session of its own: Ctrl-C reaches this script alone, which then stops the API in order.
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    try:
        url = await_ready(process, log)
    except BaseException:
        stop(process)
        raise
    say(f"the API is ready at {url}")
    return Api(process, url)


def await_ready(process: subprocess.Popen[bytes], log: Path) -> str:
    """The API's URL, once this very process serves there and /readyz answers 200."""
    # Straight to this machine, whatever proxy the environment names.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        # Its own word for where it serves: somebody else's API may answer at the port that it did not get.
        if found := re.search(r"serving on (\S+)", log.read_text(errors="replace")):
            try:
                with direct.open(f"{found[1]}/readyz", timeout=5):
                    return found[1]
            except OSError:
                pass  # not yet
        time.sleep(0.05)
    said = log.read_text(errors="replace")
    if "cannot listen" in said:
        raise PortTakenError(said.splitlines()[-1])
    sys.stderr.write("".join(said.splitlines(keepends=True)[-15:]))
    raise DemoError(f"the API did not start; its log is in {log}")


def stop(api: subprocess.Popen[bytes]) -> None:
    """End the API in order, and by force when it does not."""
    if api.poll() is not None:
        return
    say("stopping the API")
    api.terminate()
    try:
        api.wait(timeout=20)
    except subprocess.TimeoutExpired:
        api.kill()
        api.wait()


def first_apply(url: str, token: str, engine: Engine) -> None:
    """Plan and apply the example, and show its outputs out of the state."""
    where = ["--workspace", WORKSPACE, "--organization", ORGANIZATION]
    run = ["run", EXAMPLE, *where, "--iac-type", engine.kind, "--auto-approve", "--message", "scripts/demo"]
    say("$ podform " + " ".join(run))
    if code := podform(url, token, run).returncode:
        raise DemoError(f"the run did not end well (exit code {code})")
    say("$ podform " + " ".join(["state", "pull", *where]) + "   (its outputs:)")
    answer = podform(url, token, ["state", "pull", *where], stdout=subprocess.PIPE)
    if answer.returncode:
        raise DemoError("the state could not be read")
    for name, output in json.loads(answer.stdout)["outputs"].items():
        print(f"{name} = {json.dumps(output['value'])}", flush=True)


def podform(url: str, token: str, words: list[str], stdout: int | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run the `podform` command against the demo's API."""
    environment = dict(os.environ) | {"PODFORM_URL": url, "PODFORM_TOKEN": token}
    command = [sys.executable, "-m", "cli.main", *words]
    return subprocess.run(command, cwd=ROOT, env=environment, stdout=stdout, check=False)


def tell(url: str, token: str) -> None:
    """What a newcomer can do next."""
    print(
        f"\nPodform is at {url}. To use it from another terminal:\n\n"
        f"  export PODFORM_URL={url} PODFORM_TOKEN={token} PODFORM_ORGANIZATION={ORGANIZATION}\n"
        f"  .venv/bin/podform run {EXAMPLE}\n",
        flush=True,
    )


def serve_on(api: subprocess.Popen[bytes]) -> int:
    """Serve until Ctrl-C; the exit code."""
    say("serving until Ctrl-C")
    code = api.wait()
    say(f"the API has ended (exit code {code})")
    return code or 1


def say(text: str) -> None:
    """One line about what happens."""
    print(f"demo: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

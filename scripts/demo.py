"""The demo behind scripts/demo: an API of its own, a first apply through the `podform` command, then it serves on.

Run by scripts/demo inside .venv. Starts and stops one API; everything else happens through the command line,
as a newcomer would type it.
"""

import argparse
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = "examples/hello"
ORGANIZATION, WORKSPACE = "demo", "hello"
START_SECONDS = 60


class DemoError(Exception):
    """The demo cannot go on; str(error) says why."""


@dataclass(frozen=True)
class Engine:
    """The terraform or tofu of the demo; `cache` is a PODFORM_ENGINE_CACHE that holds it, empty for PATH."""

    kind: str
    cache: str = ""


def main() -> int:
    """Run the demo; the exit code."""
    options = read_options()
    # A stop by SIGTERM tidies up as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        engine = find_engine(options.engine)
        data = Path(options.data_dir).resolve()
        data.mkdir(parents=True, exist_ok=True)
        token = admin_token(data)
        port = options.port or free_port(8080)
        with serving(port, data, token, engine) as api:
            first_apply(port, token, engine)
            tell(port, token)
            return 0 if options.once else serve_on(api)
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
    parser.add_argument("--port", type=int, default=0, help="port of the API (default: 8080, or a free one)")
    parser.add_argument("--data-dir", default=str(ROOT / ".demo"), help="where everything is kept (default: .demo)")
    return parser.parse_args()


def find_engine(given: str | None) -> Engine:
    """The engine that was asked for, the one on PATH, or one that is installed for the purpose."""
    if given:
        return chosen_engine(Path(given))
    for kind in ("terraform", "tofu"):
        if found := shutil.which(kind):
            say(f"using {found}")
            return Engine(kind)
    say("there is no terraform or tofu on PATH: installing one for this demo")
    answer = subprocess.run([ROOT / "scripts/install-engine"], stdout=subprocess.PIPE, text=True, check=False)
    if answer.returncode:
        raise DemoError("no engine could be installed; give one by --engine PATH")
    return Engine("terraform", answer.stdout.strip())


def chosen_engine(path: Path) -> Engine:
    """An engine cache that holds the one program at this path."""
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
    cache = ROOT / ".tools" / "chosen"
    shutil.rmtree(cache, ignore_errors=True)
    home = cache / kind / version
    home.mkdir(parents=True)
    (home / kind).symlink_to(path.resolve())
    say(f"using {path} ({kind} {version})")
    return Engine(kind, str(cache))


def admin_token(data: Path) -> str:
    """The token of the demo's first admin: kept beside the data, for the next time."""
    path = data / "demo-token"
    if not path.exists():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(32))
    return path.read_text()


def free_port(wanted: int) -> int:
    """The wanted port when nobody listens there, else any free one."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                say(f"port {port} is taken, using another one")
                continue
            return int(probe.getsockname()[1])
    raise DemoError("there is no free port on 127.0.0.1")


@contextmanager
def serving(port: int, data: Path, token: str, engine: Engine) -> Iterator[subprocess.Popen[bytes]]:
    """An API that answers, stopped at the end."""
    log = data / "api.log"
    say(f"starting the API at {url(port)} (its log: {log})")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PODFORM_", "TF_"))}
    environment["PODFORM_ADMIN_TOKEN"] = token
    if engine.cache:
        environment["PODFORM_ENGINE_CACHE"] = engine.cache
    command = [sys.executable, "-m", "api", "--port", str(port), "--data-dir", str(data)]
    with log.open("ab") as output:
        # A session of its own: Ctrl-C reaches this script alone, which then stops the API in order.
        api = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip - one line per group of arguments
    try:
        wait_until_ready(api, port, log)
        yield api
    finally:
        stop(api)


def wait_until_ready(api: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Return when /readyz answers 200; DemoError when the API ends or takes too long."""
    # Straight to this machine, whatever proxy the environment names.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + START_SECONDS
    while api.poll() is None and time.monotonic() < deadline:
        try:
            with direct.open(f"{url(port)}/readyz", timeout=5):
                say("the API is ready")
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    sys.stderr.write("".join(log.read_text(errors="replace").splitlines(keepends=True)[-15:]))
    raise DemoError(f"the API did not start; the whole log is in {log}")


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


def first_apply(port: int, token: str, engine: Engine) -> None:
    """Plan and apply the example, and show its outputs out of the state."""
    where = ["--workspace", WORKSPACE, "--organization", ORGANIZATION]
    run = ["run", EXAMPLE, *where, "--iac-type", engine.kind, "--auto-approve", "--message", "scripts/demo"]
    say("$ podform " + " ".join(run))
    if code := podform(port, token, run).returncode:
        raise DemoError(f"the run did not end well (exit code {code})")
    say("$ podform " + " ".join(["state", "pull", *where]) + "   (its outputs:)")
    answer = podform(port, token, ["state", "pull", *where], stdout=subprocess.PIPE)
    if answer.returncode:
        raise DemoError("the state could not be read")
    for name, output in json.loads(answer.stdout)["outputs"].items():
        print(f"{name} = {json.dumps(output['value'])}", flush=True)


def podform(port: int, token: str, words: list[str], stdout: int | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run the `podform` command against the demo's API."""
    environment = dict(os.environ) | {"PODFORM_URL": url(port), "PODFORM_TOKEN": token}
    command = [sys.executable, "-m", "cli.main", *words]
    return subprocess.run(command, cwd=ROOT, env=environment, stdout=stdout, check=False)


def tell(port: int, token: str) -> None:
    """What a newcomer can do next."""
    print(
        f"\nPodform is at {url(port)}. To use it from another terminal:\n\n"
        f"  export PODFORM_URL={url(port)} PODFORM_TOKEN={token} PODFORM_ORGANIZATION={ORGANIZATION}\n"
        f"  .venv/bin/podform run {EXAMPLE}\n",
        flush=True,
    )


def serve_on(api: subprocess.Popen[bytes]) -> int:
    """Serve until Ctrl-C; the exit code."""
    say("serving until Ctrl-C")
    code = api.wait()
    say(f"the API has ended (exit code {code})")
    return code or 1


def url(port: int) -> str:
    """The API's base URL."""
    return f"http://127.0.0.1:{port}"


def say(text: str) -> None:
    """One line about what happens."""
    print(f"demo: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

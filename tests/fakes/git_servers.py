"""Real git servers on loopback: smart HTTP by `git http-backend` behind Basic authentication, and a real sshd."""

import base64
import getpass
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@dataclass
class HttpGit:
    """A server of every repository below `root`; `token` empty = public. `hold` makes it answer nothing."""

    root: Path
    token: str = ""
    user: str = "x-access-token"
    seen: list[str] = field(default_factory=list)  # Authorization headers
    hold: threading.Event = field(default_factory=threading.Event)  # set = hanging
    asked: threading.Event = field(default_factory=threading.Event)
    stumbles: int = 0  # so many requests are answered with 503
    url: str = ""


class _Answers(BaseHTTPRequestHandler):
    """Authenticates, then lets git answer."""

    git: HttpGit
    protocol_version = "HTTP/1.0"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        given = self.headers.get("Authorization", "")
        self.git.seen.append(given)
        self.git.asked.set()
        if self.git.stumbles:
            self.git.stumbles -= 1
            self.send_error(503)
            return
        while self.git.hold.is_set():
            time.sleep(0.05)
        wanted = "Basic " + base64.b64encode(f"{self.git.user}:{self.git.token}".encode()).decode()
        if self.git.token and given != wanted:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.end_headers()
            return
        self._backend()

    def do_POST(self) -> None:
        self.do_GET()

    def _backend(self) -> None:
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.git.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
        }
        done = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True, check=False)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = [line.partition(": ") for line in head.decode().split("\r\n")]
        status = next((value for name, _, value in headers if name == "Status"), "200 OK")
        self.send_response(int(status.split()[0]))
        for name, _, value in headers:
            if name != "Status":
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def http_git(root: Path, token: str = "") -> Iterator[HttpGit]:
    """Serve until the block ends."""
    git = HttpGit(root, token)

    with ThreadingHTTPServer(("127.0.0.1", 0), type("Answers", (_Answers,), {"git": git})) as server:
        server.daemon_threads = True
        server.block_on_close = False
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        git.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield git
        finally:
            git.hold.clear()
            server.shutdown()
            thread.join()


@dataclass
class SshGit:
    """An sshd that lets one key in, as this user."""

    port: int
    private_key: str
    host_key: str  # `type base64`

    @property
    def known_hosts(self) -> str:
        """The line of its true host key."""
        return f"[127.0.0.1]:{self.port} {self.host_key}\n"

    def url(self, path: Path) -> str:
        """The URL of a repository."""
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}{path}"


def make_key(path: Path, kind: str = "ed25519", passphrase: str = "", *options: str) -> Path:
    """A key pair."""
    command = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "test", "-f", str(path), *options]
    subprocess.run(command, check=True, capture_output=True)
    return path


@contextmanager
def ssh_git(directory: Path) -> Iterator[SshGit]:
    """A real sshd until the block ends."""
    assert SSHD is not None
    directory.mkdir(mode=0o700)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True, mode=0o755)  # where the daemon of root separates its privileges
    host, user = make_key(directory / "host"), make_key(directory / "user")
    (directory / "authorized").write_text(user.with_suffix(".pub").read_text())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (directory / "config").write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {host}\nAuthorizedKeysFile {directory / 'authorized'}\n"
        f"PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
    )
    process = subprocess.Popen(
        [SSHD, "-D", "-e", "-f", str(directory / "config")], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until = time.monotonic() + 20
        while True:
            assert process.poll() is None, "sshd ended"
            assert time.monotonic() < until, "sshd does not answer"
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        public = " ".join(host.with_suffix(".pub").read_text().split()[:2])
        yield SshGit(port, user.read_text(), public)
    finally:
        process.terminate()
        process.wait(20)

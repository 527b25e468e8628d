"""Log lines as `python -m api` writes them, also about what went wrong."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests.integration.api_in_process import Api, api_in

PROGRAM = """
import logging
from api import log_lines
log_lines.configure("json", "info")

def fail():
    local = "canary" + "-of-a-local"
    raise ValueError("what happened")

try:
    fail()
except ValueError:
    logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
logging.getLogger("k8s.watcher").warning("the watch of %s begins anew", "jobs")
logging.getLogger("somebody").info("in passing")
"""


def test_lines_of_libraries_look_like_ours() -> None:
    """An exception is one JSON line with its traceback in a field and no local; what is told in passing is left out."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)

    failed, watch = (json.loads(line) for line in done.stderr.splitlines())
    assert (failed["event"], failed["level"], failed["logger"]) == (
        "Exception in ASGI application",
        "error",
        "uvicorn.error",
    )
    assert "ValueError: what happened" in failed["exception"]
    assert "canary" not in done.stderr
    assert (watch["event"], watch["level"]) == ("the watch of jobs begins anew", "warning")


def test_an_error_of_the_database_shows_no_value(tmp_path: Path) -> None:
    """The text of an error, which the log shows, names the statement and none of its values."""

    async def fail(api: Api) -> None:
        async with api.ports.database.writing() as tx:
            connection = getattr(tx, "_connection")  # noqa: B009 - the port hides it, for good reason
            await connection.execute(text("INSERT INTO nowhere VALUES (:value)"), {"value": "canary"})

    async def whole() -> None:
        async with api_in(tmp_path) as api:
            await fail(api)

    with pytest.raises(DBAPIError) as caught:
        asyncio.run(whole())
    told = str(caught.value)
    assert "nowhere" in told
    assert "canary" not in told

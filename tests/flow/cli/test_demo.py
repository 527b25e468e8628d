"""The newcomer's one command: scripts/demo, as it is typed."""

import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import httpx
import pytest

pytestmark = pytest.mark.terraform

ROOT = Path(__file__).parent.parent.parent.parent


def _demo(*words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [ROOT / "scripts/demo", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_once_plans_applies_and_ends(terraform: str, tmp_path: Path) -> None:
    """--once shows both logs and the outputs, ends the API and exits 0; it can be repeated on the same data."""
    for expected in ("Resources: 2 added", "No changes"):
        demo = _demo("--once", "--data-dir", str(tmp_path))
        out, said = demo.communicate(timeout=100)
        assert demo.returncode == 0, said
        assert expected in out
        assert 'greeting = "Hello, world!"' in out.splitlines()
        url = re.findall(r"Podform is at (\S+)\. ", out)[0]
        with pytest.raises(httpx.ConnectError):
            httpx.get(url, trust_env=False)


def test_it_serves_until_interrupted(terraform: str, tmp_path: Path) -> None:
    """Without --once the URL and the token that were printed work until Ctrl-C, which exits 0."""
    demo = _demo("--data-dir", str(tmp_path))
    assert demo.stdout is not None
    printed = ""
    while "podform run" not in printed:
        line = demo.stdout.readline()
        assert line, demo.communicate()[1]
        printed += line
    url, token = re.findall(r"PODFORM_URL=(\S+) PODFORM_TOKEN=(\S+)", printed)[0]
    headers = {"Authorization": f"Bearer {token}"}
    assert httpx.get(f"{url}/api/v1/organization", headers=headers, trust_env=False).status_code == 200
    os.kill(demo.pid, signal.SIGINT)
    _, said = demo.communicate(timeout=60)
    assert (demo.returncode, "stopping the API" in said) == (0, True), said
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, trust_env=False)


def test_an_engine_can_be_chosen(terraform: str, tmp_path: Path) -> None:
    """--engine names the program to use, wherever it is."""
    engine = tmp_path / "bin" / "terraform"
    engine.parent.mkdir()
    real = shutil.which(terraform)
    engine.write_text(f'#!/bin/sh\necho used >> {tmp_path}/used\nexec {real} "$@"\n')
    engine.chmod(0o755)
    demo = _demo("--once", "--data-dir", str(tmp_path / "data"), "--engine", str(engine))
    out, said = demo.communicate(timeout=100)
    assert demo.returncode == 0, said
    assert (tmp_path / "used").read_text().count("used") > 2  # not only asked for its version
    outputs = dict(re.findall(r"^(\w+) = (.*)$", out, re.MULTILINE))
    assert json.loads(outputs["greeting"]) == "Hello, world!"


@pytest.mark.parametrize("engine", ["/nowhere/terraform", "/bin/true"])
def test_an_engine_that_is_none_is_refused(engine: str, tmp_path: Path) -> None:
    """A path that is no terraform ends the demo with its name, before an API is started."""
    demo = _demo("--once", "--data-dir", str(tmp_path), "--engine", engine)
    _, said = demo.communicate(timeout=60)
    assert (demo.returncode, engine in said, "Traceback" in said) == (1, True, False), said

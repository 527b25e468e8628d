"""Fixtures for every kind of test."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.executor_process import Bench, bench


@pytest.fixture
def executor_bench(tmp_path: Path) -> Iterator[Bench]:
    """A work directory and a stand-in API for real executor processes."""
    assert shutil.which("terraform"), "these tests need a real terraform on PATH"
    with bench(tmp_path) as made:
        yield made

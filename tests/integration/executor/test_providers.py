"""Providers: from mirrors, kept on the machine, used again by checksum. A real provider, a real terraform."""

import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from common import archive
from common.statuses import StepKind
from common.step_report import Outcome
from executor import engines
from executor.provider_cache import ProviderCache, directory_hash
from tests.fakes.executor_process import Bench, wait_until
from tests.fakes.release_site import serving
from tests.integration.executor.test_outages import certificate

pytestmark = pytest.mark.terraform

NULL = """
terraform {
  required_providers {
    null = { source = "hashicorp/null" }
  }
}
resource "null_resource" "x" {}
"""
PROGRAM = Path(sys.prefix) / "lib/terraform-provider-null_v2.1.2_x4"
ADDRESS = "registry.terraform.io/hashicorp/null"


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    """A mirror in the packed layout, as `terraform providers mirror` makes it."""
    directory = tmp_path / "mirror"
    packed = directory / ADDRESS / f"terraform-provider-null_2.1.2_{engines.platform()}.zip"
    packed.parent.mkdir(parents=True)
    with zipfile.ZipFile(packed, "w") as made:
        made.write(PROGRAM, PROGRAM.name)
    return directory


def first_plan(bench: Bench, mirror: Path, cache: Path) -> dict[str, str]:
    """Plan with the mirror; the configuration with the lock file that came of it."""
    planned = bench.step(StepKind.PLAN, {"main.tf": NULL})
    report = bench.run(planned, PODFORM_PROVIDER_MIRRORS=str(mirror), PODFORM_PROVIDER_CACHE=str(cache))
    assert report.outcome is Outcome.FINISHED, bytes(planned.log)
    return {"main.tf": NULL, ".terraform.lock.hcl": planned.artifacts["lock.hcl"].decode()}


def test_second_run_needs_no_mirror(executor_bench: Bench, mirror: Path, tmp_path: Path) -> None:
    """The next plan and apply with the lock file use what the first run installed, though its mirror is gone."""
    cache = tmp_path / "cache"
    files = first_plan(executor_bench, mirror, cache)
    shutil.rmtree(mirror)
    again = executor_bench.step(StepKind.PLAN, files)
    assert executor_bench.run(again, PODFORM_PROVIDER_CACHE=str(cache)).outcome is Outcome.FINISHED, bytes(again.log)
    applied = executor_bench.apply_of(again)
    report = executor_bench.run(applied, PODFORM_PROVIDER_CACHE=str(cache))
    assert report.outcome is Outcome.FINISHED, bytes(applied.log)
    assert report.counts is not None
    assert report.counts.add == 1


def test_bundled_with_the_configuration(executor_bench: Bench, mirror: Path, tmp_path: Path) -> None:
    """A provider that lies in the configuration's own terraform.d/plugins is found, as terraform by itself would."""
    bundle = tmp_path / "bundle"
    shutil.copytree(mirror, bundle / "terraform.d/plugins")
    (bundle / "main.tf").write_text(NULL)
    (package_file,) = bundle.glob("terraform.d/**/*.zip")
    configuration = archive.pack(bundle, ["main.tf", package_file.relative_to(bundle).as_posix()])
    planned = executor_bench.step(StepKind.PLAN, configuration)
    assert executor_bench.run(planned).outcome is Outcome.FINISHED, bytes(planned.log)


@pytest.mark.parametrize("damage", ["altered", "truncated"])
def test_damaged_cache(executor_bench: Bench, mirror: Path, tmp_path: Path, damage: str) -> None:
    """A package that is not what its name says is never run: it is taken out and installed anew."""
    cache = tmp_path / "cache"
    files = first_plan(executor_bench, mirror, cache)
    (kept,) = cache.iterdir()
    program = kept / PROGRAM.name
    program.chmod(0o755)
    program.write_bytes(b"#!/bin/sh\nexit 1\n" if damage == "altered" else PROGRAM.read_bytes()[:1000])
    again = executor_bench.step(StepKind.PLAN, files)
    settings = {"PODFORM_PROVIDER_MIRRORS": str(mirror), "PODFORM_PROVIDER_CACHE": str(cache)}
    assert executor_bench.run(again, **settings).outcome is Outcome.FINISHED, bytes(again.log)
    assert b"damaged" in again.log
    assert [directory_hash(path) for path in cache.iterdir()] == [directory_hash(kept)]
    assert (kept / PROGRAM.name).read_bytes() == PROGRAM.read_bytes()


def test_unwritable_cache(executor_bench: Bench, mirror: Path, tmp_path: Path) -> None:
    """A cache that cannot be written costs a line in the log, not the run."""
    (tmp_path / "file").write_text("")
    planned = executor_bench.step(StepKind.PLAN, {"main.tf": NULL})
    settings = {"PODFORM_PROVIDER_MIRRORS": str(mirror), "PODFORM_PROVIDER_CACHE": str(tmp_path / "file/cache")}
    assert executor_bench.run(planned, **settings).outcome is Outcome.FINISHED, bytes(planned.log)
    assert b"could not be kept" in planned.log


@pytest.fixture
def network_mirror(mirror: Path) -> Path:
    """The same mirror with the documents of a network mirror beside the package."""
    (packed,) = mirror.glob("*/*/*/*.zip")
    (packed.parent / "index.json").write_text('{"versions": {"2.1.2": {}}}')
    archives = {"archives": {engines.platform(): {"url": packed.name}}}
    (packed.parent / "2.1.2.json").write_text(json.dumps(archives))
    return mirror


def test_many_inits_and_then_none_asks(executor_bench: Bench, network_mirror: Path, tmp_path: Path) -> None:
    """Eight inits at once on an empty cache all succeed and leave one package; with the lock file nobody asks again."""
    certificate_file, tls = certificate(tmp_path)
    with serving(network_mirror, tls) as web:
        settings = {
            "PODFORM_PROVIDER_NETWORK_MIRROR": f"{web.url}/",
            "PODFORM_PROVIDER_CACHE": str(tmp_path / "cache"),
            "PODFORM_CA_FILE": str(certificate_file),
        }
        steps = [executor_bench.step(StepKind.PLAN, {"main.tf": NULL}) for _ in range(8)]
        processes = [
            executor_bench.start(step, PODFORM_WORK_DIR=str(tmp_path / f"work-{number}"), **settings)
            for number, step in enumerate(steps)
        ]
        for step, process in zip(steps, processes, strict=True):
            output = executor_bench.end(process)
            assert step.reports, output
            assert step.report.outcome is Outcome.FINISHED, bytes(step.log)
        (kept,) = (tmp_path / "cache").iterdir()
        assert directory_hash(kept) in steps[0].artifacts["lock.hcl"].decode()
        assert [path for path in web.requests if path.endswith(".zip")]
        web.requests.clear()
        files = {"main.tf": NULL, ".terraform.lock.hcl": steps[0].artifacts["lock.hcl"].decode()}
        again = executor_bench.step(StepKind.PLAN, files)
        assert executor_bench.run(again, **settings).outcome is Outcome.FINISHED, bytes(again.log)
        applied = executor_bench.apply_of(again)
        assert executor_bench.run(applied, **settings).outcome is Outcome.FINISHED, bytes(applied.log)
        assert web.requests == []


def package(directory: Path, megabytes: int = 1) -> str:
    """An unpacked package; its checksum."""
    directory.mkdir()
    (directory / "terraform-provider-x").write_bytes(os.urandom(1 << 20) * megabytes)
    return directory_hash(directory)


def test_many_add_at_once(tmp_path: Path) -> None:
    """Eight that add the same package at once leave one whole package and nothing else."""
    checksum = package(tmp_path / "package", 8)
    caches = [ProviderCache(tmp_path / "cache") for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda cache: cache.keep(tmp_path / "package", checksum), caches))
    (kept,) = (tmp_path / "cache").iterdir()
    assert directory_hash(kept) == checksum


def test_killed_while_adding(tmp_path: Path) -> None:
    """Killed in the middle of adding: nothing is offered, and the next one who adds clears it away."""
    checksum = package(tmp_path / "package", 200)
    cache = ProviderCache(tmp_path / "cache")
    program = (
        "import sys; from pathlib import Path; from executor.provider_cache import ProviderCache\n"
        "ProviderCache(Path(sys.argv[1])).keep(Path(sys.argv[2]), sys.argv[3])"
    )
    arguments = [str(tmp_path / "cache"), str(tmp_path / "package"), checksum]
    adding = subprocess.Popen([sys.executable, "-c", program, *arguments])
    wait_until(lambda: list(tmp_path.glob("cache/new-*/*")), "the copy has begun")
    adding.send_signal(signal.SIGKILL)
    adding.wait()
    assert cache.find([checksum]) is None
    assert list(tmp_path.glob("cache/new-*"))
    assert cache.keep(tmp_path / "package", checksum)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [cache.find([checksum]).name]  # type: ignore[union-attr]  # kept above


def test_another_name(tmp_path: Path) -> None:
    """A package is kept under its own checksum alone."""
    package(tmp_path / "package")
    other = package(tmp_path / "other")
    cache = ProviderCache(tmp_path / "cache")
    assert not cache.keep(tmp_path / "package", other)
    assert cache.find([other, "h1:no base64", "zh:00", "h1:AA=="]) is None


def test_long_work_directory(executor_bench: Bench, mirror: Path, tmp_path: Path) -> None:
    """A provider starts, though the step's TMPDIR is too long for its socket; nothing of the short name is left."""
    work = tmp_path / ("long-" * 20) / "work"
    planned = executor_bench.step(StepKind.PLAN, {"main.tf": NULL})
    settings = {"PODFORM_PROVIDER_MIRRORS": str(mirror), "PODFORM_WORK_DIR": str(work)}
    assert executor_bench.run(planned, **settings).outcome is Outcome.FINISHED, bytes(planned.log)
    pointing = [link.readlink() for link in Path("/tmp").glob("podform-*/t")]  # noqa: S108 - where the short names are
    assert work / "tmp" not in pointing
    assert not list(work.glob("tmp*"))

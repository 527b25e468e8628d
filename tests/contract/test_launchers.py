"""The contract suite of launchers, run over each of them."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from api.launchers.local_process import LocalProcessLauncher
from common.launcher_port import Launcher
from k8s.launcher import KubernetesLauncher
from k8s.settings import ClusterSettings
from tests.contract import launcher_suite as suite
from tests.contract.launcher_suite import LauncherCase
from tests.fakes.executor_api import SECRET
from tests.fakes.executor_process import Bench, bench
from tests.fakes.kubernetes_api import Cluster
from tests.fakes.orders import QUICK, job_settings


@dataclass
class ProcessCase:
    """Local processes."""

    bench: Bench

    def launcher(self) -> Launcher:
        """A launcher over the bench's directory."""
        return LocalProcessLauncher(
            work_root=self.bench.directory / "launcher",
            internal_secret=SECRET,
            engine_cache=self.bench.directory / "engines",
        )


@dataclass
class KubernetesCase:
    """Jobs in the stand-in cluster, whose kubelet runs the real executor."""

    bench: Bench
    cluster: Cluster

    def launcher(self) -> Launcher:
        """A launcher on the cluster."""
        return KubernetesLauncher(ClusterSettings(kubeconfig=str(self.cluster.kubeconfig_path)), job_settings(), QUICK)


@contextlib.contextmanager
def _kubernetes(made: Bench) -> Iterator[KubernetesCase]:
    with Cluster(secrets={"terrakube-executor-secrets": {"InternalSecret": SECRET}}) as cluster:
        cluster.install("python3", f'#!/bin/sh\nPATH="{os.environ["PATH"]}" exec {sys.executable} "$@"\n')
        yield KubernetesCase(made, cluster)


@pytest.fixture(params=["process", "kubernetes"])
def launcher_case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LauncherCase]:
    """Each launcher over its carrier."""
    with bench(tmp_path) as made:
        if request.param == "process":
            yield ProcessCase(made)
        else:
            with _kubernetes(made) as case:
                yield case


def test_a_step_runs_its_course(launcher_case: LauncherCase) -> None:
    """An order becomes one executor that claims, works and reports."""
    asyncio.run(suite.a_step_runs_its_course(launcher_case))


def test_launching_twice_starts_once(launcher_case: LauncherCase) -> None:
    """A repeated launch is the same carrier, during and after its life."""
    asyncio.run(suite.launching_twice_starts_once(launcher_case))


def test_a_stop_is_a_graceful_cancel(launcher_case: LauncherCase, tmp_path: Path) -> None:
    """A stop lets terraform save its state and the executor report."""
    asyncio.run(suite.a_stop_is_a_graceful_cancel(launcher_case, tmp_path / "ledger"))


def test_force_leaves_nothing_alive(launcher_case: LauncherCase, tmp_path: Path) -> None:
    """A forced stop kills everything of the attempt before its end is told."""
    asyncio.run(suite.force_leaves_nothing_alive(launcher_case, tmp_path / "ledger"))


def test_looking_tells_what_is_so(launcher_case: LauncherCase, tmp_path: Path) -> None:
    """Absent, running and ended are told apart."""
    asyncio.run(suite.looking_tells_what_is_so(launcher_case, tmp_path / "ledger"))


def test_a_restarted_api_adopts(launcher_case: LauncherCase, tmp_path: Path) -> None:
    """A new launcher takes over what an earlier one started."""
    asyncio.run(suite.a_restarted_api_adopts(launcher_case, tmp_path / "ledger"))


def test_an_end_while_nobody_watched_is_told(launcher_case: LauncherCase) -> None:
    """An end between two launchers is not lost."""
    asyncio.run(suite.an_end_while_nobody_watched_is_told(launcher_case))


def test_an_executor_that_is_refused_ends(launcher_case: LauncherCase) -> None:
    """A refused claim ends with the executor's exit code and words."""
    asyncio.run(suite.an_executor_that_is_refused_ends(launcher_case))

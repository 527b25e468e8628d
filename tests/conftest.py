"""What holds for every test: a clean environment, a real engine, no silent skip in CI, a covered pure core."""

import fnmatch
import io
import os
import re
import shutil
import tarfile
from collections.abc import Generator
from pathlib import Path

import coverage
import pytest

from tests import databases
from tests.s3_server import S3Server

_ROOT = Path(__file__).parent.parent
_IN_CI = os.environ.get("CI", "").lower() in {"1", "true"}

#: What a developer's shell may hold and no test must see.
_FOREIGN = re.compile(
    r"(PODFORM_|TF_|TERRAKUBE_|AWS_|EPHEMERAL_|Ephemeral|Executor|Terraform__|AzBuilder|InternalSecret|KUBE).*"
    r"|(https?|all|no)_proxy",
    re.IGNORECASE,
)

#: Modules without I/O: every branch of them is covered, always.
_PURE_CORE = [
    "api/domain/*",
    "common/environment.py",
    "common/errors.py",
    "common/executor_api.py",
    "common/failure_reasons.py",
    "common/git_source.py",
    "common/ids.py",
    "common/job_data.py",
    "common/json_fields.py",
    "common/launcher_port.py",
    "common/statuses.py",
    "common/step_report.py",
    "k8s/ephemeral_config.py",
    "k8s/errors.py",
    "k8s/job_manifest.py",
    "k8s/naming.py",
    "k8s/picture.py",
    "k8s/pod_diagnosis.py",
]

for _name in [name for name in os.environ if _FOREIGN.fullmatch(name)]:
    del os.environ[_name]  # before any fixture of any scope looks


@pytest.fixture(autouse=True)
def _environment_is_left_as_found() -> Generator[None]:
    """A test that sets a variable without monkeypatch changes nothing for the next one."""
    before = dict(os.environ)
    yield
    current = os.environ.pop("PYTEST_CURRENT_TEST", "")
    os.environ.clear()
    os.environ.update(before | {"PYTEST_CURRENT_TEST": current})


@pytest.fixture(scope="session")
def terraform() -> str:
    """Path of a real terraform. Its absence is a failure: a suite without it would prove nothing."""
    found = shutil.which("terraform")
    if found is None:
        pytest.fail("no terraform on PATH: run scripts/test, which installs one, or scripts/install-engine")
    return found


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Generator[S3Server]:
    """A real S3 server with the bucket `bucket`; its absence is a failure."""
    server = S3Server(tmp_path_factory.mktemp("s3")).start()
    try:
        server.make_bucket()
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="session")
def older_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory from before data keys, made by the commit acd3a3f; copy it, change nothing in it."""
    directory = tmp_path_factory.mktemp("older")
    with tarfile.open(_ROOT / "tests/fixtures/older-sealing.tar.gz") as packed:
        packed.extractall(directory, filter="data")
    return directory


def _allowed_skips() -> list[str]:
    lines = (_ROOT / "tests/allowed_skips.txt").read_text().splitlines()
    rows = [re.split(r"\s{2,}", line, maxsplit=1) for line in lines if line.strip() and not line.startswith("#")]
    for row in rows:
        if len(row) != 2:
            raise pytest.UsageError(f"tests/allowed_skips.txt: {row[0]!r} has no reason")
    return [row[0] for row in rows]


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """In CI a skip that is not on the list becomes a failure; an expected failure is no skip."""
    if not (_IN_CI and report.skipped) or hasattr(report, "wasxfail"):
        return
    if not any(fnmatch.fnmatchcase(report.nodeid, pattern) for pattern in _allowed_skips()):
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"{why}; in CI a skip needs a line in tests/allowed_skips.txt"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Look at each test's report."""
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Look at each module's report: a module can be skipped whole."""
    report = yield
    _refuse_skip(report)
    return report


#: Where a test module comes in touch with the database: its tests run on SQLite and on PostgreSQL.
_ENTRIES = {"api_in", "face_in", "tell"}
#: Flow tests that run on PostgreSQL too; the others take minutes and meet the database in the same way.
_FLOWS_ON_BOTH = {"test_walking_skeleton.py", "test_api_crashes.py"}
#: On PostgreSQL these are run by scripts/test-all only.
_LONG_ON_POSTGRES = {"test_api_crashes.py"}


def pytest_configure(config: pytest.Config) -> None:
    """Workers find PostgreSQL where their controller says."""
    if not hasattr(config, "workerinput"):
        databases.name_directory()


def pytest_unconfigure(config: pytest.Config) -> None:
    """After the last worker."""
    if not hasattr(config, "workerinput"):
        databases.stop()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what touches the database on both; a test about SQLite's own file is marked `sqlite`."""
    marked = metafunc.definition.get_closest_marker("sqlite")
    file = Path(str(metafunc.module.__file__)).name
    touches = _ENTRIES & set(vars(metafunc.module)) or file in _FLOWS_ON_BOTH
    if touches and not marked:
        postgres = pytest.param("postgres", marks=pytest.mark.slow) if file in _LONG_ON_POSTGRES else "postgres"
        metafunc.parametrize("database_kind", ["sqlite", postgres], indirect=True)


@pytest.fixture(autouse=True)
def database_kind(request: pytest.FixtureRequest) -> Generator[str]:
    """Which database the test's servers are on."""
    databases.kind = getattr(request, "param", "sqlite")
    yield databases.kind
    databases.forget()
    databases.kind = "sqlite"


_uncovered = pytest.StashKey[str]()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """After a whole run with coverage: the pure core must be covered to its last branch."""
    measured = session.config.pluginmanager.hasplugin("_cov") and not hasattr(session.config, "workerinput")
    if not measured or session.exitstatus != pytest.ExitCode.OK:
        return
    measurement = coverage.Coverage(config_file=str(_ROOT / "pyproject.toml"))
    measurement.load()
    text = io.StringIO()
    percent = measurement.report(include=_PURE_CORE, show_missing=True, skip_covered=True, file=text)
    if percent < 100:
        session.config.stash[_uncovered] = text.getvalue()
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show what of the pure core is not covered."""
    if uncovered := config.stash.get(_uncovered, ""):
        terminalreporter.section("the pure core is not covered to its last branch", red=True)
        terminalreporter.write_line(uncovered)

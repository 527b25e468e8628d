"""The API away, slow or forgetful at every point: the executor repeats until all of it is delivered."""

import hashlib
import json
import random
import ssl
import time
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from common.failure_reasons import FailureReason
from common.statuses import StepKind
from common.step_report import Outcome
from executor.exit_codes import ExitCode
from tests.fakes.executor_api import FakeExecutorApi
from tests.fakes.executor_process import Bench, bench, wait_until

CHAIN = {
    "main.tf": "\n".join(
        f'resource "terraform_data" "r{number}" {{\n'
        + (f"  depends_on = [terraform_data.r{number - 1}]\n" if number else "")
        + '  provisioner "local-exec" {\n    command = "echo line; sleep 0.2"\n  }\n}'
        for number in range(6)
    )
}

ENDPOINTS = ("claim", "configuration", "state", "log", "heartbeat", "artifacts", "finish")


def test_what_cannot_be_delivered_is_told(executor_bench: Bench) -> None:
    """While the log is not taken, heartbeats say for how long it has waited; once it is, they say nothing."""
    api = executor_bench.api
    api.fault("log", "503", times=6)
    api.fault("heartbeat", "503", times=7)
    step = executor_bench.step(StepKind.PLAN, {"main.tf": ""})

    assert executor_bench.run(step).outcome is Outcome.FINISHED
    assert api.undelivered[0] == 0
    assert max(api.undelivered) >= 1


@pytest.mark.parametrize("kind", ["drop_request", "drop_answer", "503", "429", "404"])
def test_every_call_fails_first(executor_bench: Bench, kind: str) -> None:
    """Each endpoint fails twice (connection cut, answer lost, error pages): plan and apply still end well, once."""
    for endpoint in ENDPOINTS:
        executor_bench.api.fault(endpoint, kind, times=2)
    planned = executor_bench.step(StepKind.PLAN, CHAIN)
    assert executor_bench.run(planned).outcome is Outcome.FINISHED
    for endpoint in ENDPOINTS:
        executor_bench.api.fault(endpoint, kind, times=2)
    step = executor_bench.apply_of(planned)
    report = executor_bench.run(step)
    assert report.outcome is Outcome.FINISHED
    assert report.log_bytes == len(step.log)
    assert step.states[-1][2]
    assert bytes(step.log).count(b"(local-exec): line") == 6


def test_api_away_before_the_claim(executor_bench: Bench) -> None:
    """An executor that starts while the API is away claims when it is back."""
    step = executor_bench.step(StepKind.PLAN, CHAIN)
    executor_bench.api.away = True
    process = executor_bench.start(step)
    time.sleep(0.5)
    assert process.poll() is None
    executor_bench.api.away = False
    executor_bench.end(process)
    assert step.report.outcome is Outcome.FINISHED


def test_api_away_during_an_apply(executor_bench: Bench) -> None:
    """An outage in an apply stops nothing: log and state arrive whole afterwards."""
    planned = executor_bench.step(StepKind.PLAN, CHAIN)
    executor_bench.run(planned)
    step = executor_bench.apply_of(planned)
    process = executor_bench.start(step)
    wait_until(lambda: b"(local-exec): line" in step.log, "the apply works")
    executor_bench.api.away = True
    executor_bench.api.notify()
    before = len(step.log)
    time.sleep(2.0)
    assert len(step.log) == before
    executor_bench.api.away = False
    executor_bench.end(process)
    assert step.report.outcome is Outcome.FINISHED
    assert step.report.log_bytes == len(step.log)
    assert len(json.loads(step.states[-1][1])["resources"]) == 6
    assert bytes(step.log).count(b"(local-exec): line") == 6


def test_unreachable_api_ends_in_its_own_exit_code(executor_bench: Bench) -> None:
    """An executor gives up when the delivery time is over, and says so by its exit code."""
    step = executor_bench.step(StepKind.PLAN, CHAIN)
    executor_bench.api.away = True
    process = executor_bench.start(step, PODFORM_DELIVERY_SECONDS="0.5")
    executor_bench.end(process)
    assert process.returncode == ExitCode.NEVER_CLAIMED


def test_undeliverable_state_keeps_the_step_alive(executor_bench: Bench) -> None:
    """A final state that cannot be delivered holds the step until the delivery time is over, and stays on disk."""
    planned = executor_bench.step(StepKind.PLAN, CHAIN)
    executor_bench.run(planned)
    step = executor_bench.apply_of(planned)
    executor_bench.api.fault("state", "503", times=0)
    process = executor_bench.start(step, PODFORM_DELIVERY_SECONDS="3")
    wait_until(lambda: b"(local-exec): line" in step.log, "the apply works")
    executor_bench.api.away = True
    executor_bench.api.notify()
    executor_bench.end(process)
    assert process.returncode == ExitCode.UNDELIVERED
    kept = list(executor_bench.work.rglob("last.tfstate"))
    assert len(kept) == 1
    assert len(json.loads(kept[0].read_bytes())["resources"]) == 6


def test_state_is_shipped_while_terraform_works(executor_bench: Bench) -> None:
    """Several versions arrive during an apply, each whole, with rising serials, the last one final."""
    planned = executor_bench.step(StepKind.PLAN, CHAIN)
    executor_bench.run(planned)
    step = executor_bench.apply_of(planned)
    executor_bench.run(step)
    serials = [serial for serial, _, _ in step.states]
    assert len(set(serials)) >= 3
    assert serials == sorted(serials)
    assert [final for _, _, final in step.states].count(True) == 1
    assert step.states[-1][2]
    for _, data, _ in step.states:
        assert json.loads(data)["resources"]


def certificate(directory: Path) -> tuple[Path, ssl.SSLContext]:
    """A self-signed certificate for 127.0.0.1: its file, and a server's context with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    file, private = directory / "api.pem", directory / "api.key"
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, private)
    return file, context


def test_tls(tmp_path: Path) -> None:
    """Over https the API's certificate is checked, against the authorities of PODFORM_CA_FILE too."""
    file, context = certificate(tmp_path)
    with bench(tmp_path) as made:
        made.api.close()
        made.api = FakeExecutorApi(tls=context)
        try:
            step = made.step(StepKind.PLAN, CHAIN)
            untrusting = made.start(step, PODFORM_DELIVERY_SECONDS="0.3")
            assert "CERTIFICATE_VERIFY_FAILED" in made.end(untrusting)
            assert untrusting.returncode == ExitCode.NEVER_CLAIMED
            misled = made.start(step, PODFORM_CA_FILE=str(tmp_path / "nothing.pem"))
            assert "PODFORM_CA_FILE" in made.end(misled)
            assert misled.returncode == ExitCode.BAD_SETTINGS
            assert made.run(step, PODFORM_CA_FILE=str(file)).outcome is Outcome.FINISHED
        finally:
            made.api.close()


def test_full_disk(executor_bench: Bench) -> None:
    """A disk that takes no more of the log neither kills nor blocks the step; its report tells the log's length."""
    directory = executor_bench.directory / "engines" / "terraform" / "1.9.9"
    directory.mkdir(parents=True)
    engine = directory / "terraform"
    engine.write_text("#!/bin/sh\nhead -c 3000000 /dev/zero\nexit 1\n")
    engine.chmod(0o755)
    step = executor_bench.step(StepKind.PLAN, CHAIN, job={"engine_version": "1.9.9"})
    report = executor_bench.run(step, "prlimit", "--fsize=1000000")
    assert report.exit_code == 1
    assert report.log_bytes == len(step.log) <= 1_000_000


def test_unusable_work_directory(executor_bench: Bench) -> None:
    """A step whose work directory cannot be used is reported with the system's words."""
    executor_bench.work.write_text("a file in the way")
    report = executor_bench.run(executor_bench.step(StepKind.PLAN, CHAIN))
    assert report.failure_reason is FailureReason.EXECUTOR_FAILED
    assert "work directory" in report.message


def test_flood_of_output(executor_bench: Bench) -> None:
    """Megabytes of random bytes printed during an outage arrive complete and in order."""
    noise = random.Random(7).randbytes(3_000_000)
    directory = executor_bench.directory / "engines" / "terraform" / "1.9.9"
    directory.mkdir(parents=True)
    (directory / "noise").write_bytes(noise)
    engine = directory / "terraform"
    engine.write_text(f"#!/bin/sh\ncat {directory}/noise\nexit 1\n")
    engine.chmod(0o755)
    executor_bench.api.fault("log", "503", times=4)
    step = executor_bench.step(StepKind.PLAN, CHAIN, job={"engine_version": "1.9.9"})
    report = executor_bench.run(step)
    assert report.outcome is Outcome.ERRORED
    assert report.log_bytes == len(step.log)
    start = bytes(step.log).index(noise[:64])
    assert hashlib.sha256(step.log[start : start + len(noise)]).digest() == hashlib.sha256(noise).digest()

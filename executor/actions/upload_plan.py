"""Uploads the plan, its lock file and its JSON, and notes the facts by which an apply recognises it."""

import os
import subprocess
from pathlib import Path

from common import executor_api
from common.failure_reasons import FailureReason
from common.step_report import PlanFacts
from executor import engines, terraform
from executor.errors import StepFailedError
from executor.providers import LOCK_FILE_NAME
from executor.step import Step
from executor.workdir import open_regular, sha256

_SHOW_SECONDS = 600


def upload_plan(step: Step) -> None:
    """Upload everything; the JSON is written while the plan travels."""
    engine = step.engine
    if engine is None:
        raise AssertionError("resolve_engine comes before upload_plan")
    lock_file = step.directory / LOCK_FILE_NAME
    with _show(step, engine.path) as showing:
        try:
            plan_sha256 = upload(step, executor_api.PLAN_FILE, step.work.plan_file)
            lock_sha256 = upload(step, executor_api.LOCK_FILE, lock_file)
            code = showing.wait(_SHOW_SECONDS)
        finally:
            showing.kill()
    if code != 0:
        raise StepFailedError(FailureReason.TERRAFORM_FAILED, f"{engine.name} cannot show the plan it made", code)
    upload(step, executor_api.PLAN_JSON, step.work.plan_json)
    step.findings.plan = PlanFacts(
        plan_sha256=plan_sha256,
        configuration_sha256=step.configuration_sha256,
        lock_file_sha256=lock_sha256,
        engine=engine.name,
        engine_version=engine.version,
        platform=engines.platform(),
    )


def upload(step: Step, name: str, path: Path) -> str:
    """Upload a regular file as an artifact; its SHA-256, empty (and nothing uploaded) when there is no such file."""
    checksum = sha256(path)
    with open_regular(path) as source:
        if source is None:
            return ""
        size = os.fstat(source.fileno()).st_size
        step.ask(lambda: step.api.put_artifact(name, source, size=size, sha256=checksum))
    return checksum


def _show(step: Step, program: Path) -> subprocess.Popen[bytes]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    target = os.open(step.work.plan_json, flags, 0o600)
    try:
        return subprocess.Popen(
            [program, *terraform.show_json(step.work.plan_file)],
            cwd=step.directory,
            env=step.environment,
            stdin=subprocess.DEVNULL,
            stdout=target,
            stderr=subprocess.DEVNULL,
            close_fds=False,
        )
    finally:
        os.close(target)

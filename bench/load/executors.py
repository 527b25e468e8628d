"""Executors without terraform: each claims its attempt, says a line, reports. The real protocol, asynchronously.

Part of the stand-in cluster (bench/load/cluster.py): thousands of real executors would measure Python's start.
"""

import asyncio
import json
import secrets
import time
from collections.abc import Mapping
from typing import Any

from bench.load.wire import Connection
from common import executor_api, step_report
from common.executor_api import ClaimRequest
from common.job_data import JobData
from common.statuses import PLAN_KINDS
from common.step_report import Outcome, StepReport

#: Connections to the API: a step waits for a free one, as it would for its turn on a busy network.
CONNECTIONS = 24
AGAIN_SECONDS = 0.2
LINE = b"nothing is planned or applied here: this executor makes load\n"


class LoadExecutors:
    """All executors of the stand-in. `gate` holds the steps between claim and report while it is closed."""

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self._free: asyncio.Queue[Connection] | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.claimed = 0
        self.refused = 0
        self.finished_times: list[float] = []  # when each report was answered, on the monotonic clock

    async def carry_out(self, job: JobData) -> bool:
        """Claim, one line of log, report; whether the report was taken."""
        nonce = secrets.token_hex(16)
        request = ClaimRequest(attempt=job.attempt, claim=job.claim, nonce=nonce)
        proof = executor_api.claim_proof(
            self._secret, step_id=job.step_id, attempt=job.attempt, claim=job.claim, nonce=nonce
        )
        headers = f"{executor_api.PROOF_HEADER}: {proof}\r\n"
        granted = await self._post(job, executor_api.CLAIM, headers, request.to_json())
        if granted is None:
            self.refused += 1
            return False
        self.claimed += 1
        headers = f"Authorization: Bearer {granted['token']}\r\n"
        await self._deliver(job, f"{executor_api.LOG}?offset=0", headers, LINE)
        await self.gate.wait()
        taken = await self._post(job, executor_api.FINISH, headers, step_report.to_json(_report(job)))
        self.finished_times.append(time.monotonic())
        return taken is not None

    async def _post(
        self, job: JobData, endpoint: str, headers: str, document: Mapping[str, Any]
    ) -> Mapping[str, Any] | None:
        return await self._deliver(job, endpoint, headers, json.dumps(document).encode())

    async def _deliver(self, job: JobData, endpoint: str, headers: str, body: bytes) -> Mapping[str, Any] | None:
        """The answer's JSON, None for a refusal; repeated while the API is away, as a real executor does."""
        target = executor_api.step_path(job.step_id, endpoint)
        free = self._connections(job.api_url)
        while True:
            connection = await free.get()
            try:
                status, content = await connection.request("POST", target, headers, body)
            except (OSError, EOFError):
                status, content = 503, b""
            finally:
                free.put_nowait(connection)
            if status < 500:
                document: Mapping[str, Any] = json.loads(content)
                return document if status == 200 else None
            await asyncio.sleep(AGAIN_SECONDS)

    def _connections(self, url: str) -> asyncio.Queue[Connection]:
        if self._free is None:
            self._free = asyncio.Queue()
            for _ in range(CONNECTIONS):
                self._free.put_nowait(Connection(url))
        return self._free


def _report(job: JobData) -> StepReport:
    planned = True if job.kind in PLAN_KINDS else None
    return StepReport(outcome=Outcome.FINISHED, exit_code=0, has_changes=planned, log_bytes=len(LINE))

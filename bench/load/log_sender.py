"""`python -m bench.load.log_sender`: the executor's own log stream and shipper, fed with a long log. Job data on stdin.

Claims the step, writes what terraform would have printed, delivers it, reports; then says the log's SHA-256.
"""

import hashlib
import json
import os
import secrets
import sys
import time
from pathlib import Path

from common import environment, executor_api, job_data
from common.executor_api import ClaimRequest
from common.step_report import Outcome, StepReport
from executor.api_client import ApiClient
from executor.delivery import Delivery
from executor.log_stream import LogShipper, LogStream

_LINE = "terraform_data.many[{}]: Creation complete after 0s [id=01234567-89ab-cdef-0123-456789abcdef] {}\n"


def main() -> None:
    """One step, from its claim to its report."""
    spec = json.load(sys.stdin)
    job = job_data.decode(spec["job"])
    api = ApiClient(spec["url"], job.step_id)
    delivery = Delivery(600)
    nonce, secret = secrets.token_hex(16), os.environ[environment.INTERNAL_SECRET]
    claim = ClaimRequest(attempt=job.attempt, claim=job.claim, nonce=nonce)
    proof = executor_api.claim_proof(secret, step_id=job.step_id, attempt=job.attempt, claim=job.claim, nonce=nonce)
    api.token = delivery.until_answered(lambda: api.claim(claim, proof)).token
    log = LogStream(Path(spec["spool"]), [])
    shipper = LogShipper(log, api, delivery, lambda error: print(error, file=sys.stderr))
    begun = time.perf_counter()
    shipper.start()
    digest, number = hashlib.sha256(), 0
    while log.length < spec["bytes"]:
        piece = "".join(_LINE.format(number + n, secrets.token_hex(8)) for n in range(600)).encode()
        number += 600
        digest.update(piece)
        log.write(piece)
    log.close()
    delivered = shipper.join(time.monotonic)
    seconds = time.perf_counter() - begun
    report = StepReport(outcome=Outcome.FINISHED, exit_code=0, has_changes=False, log_bytes=log.length)
    delivery.until_answered(lambda: api.finish(report))
    result = {"sha256": digest.hexdigest(), "bytes": log.length, "seconds": seconds, "delivered": delivered}
    print(json.dumps(result))


if __name__ == "__main__":
    main()

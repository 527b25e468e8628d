"""Claims the step: proves to hold the installation's secret, repeats until it is answered.

Called by the entry point. Before the answer nothing outside is touched.
"""

import os
import time

from common import executor_api
from common.executor_api import ClaimAnswer, ClaimRequest
from common.job_data import JobData
from executor import VERSION
from executor.api_client import ApiClient
from executor.cancellation import Cancellation, Stop
from executor.delivery import Delivery

#: A claim that was sent may have been granted: to be able to report a cancel, its answer is worth this wait.
UNANSWERED_SECONDS = 10.0


def claim(job: JobData, secret: str, api: ApiClient, cancellation: Cancellation, delivery: Delivery) -> ClaimAnswer:
    """The answer to the claim, whose token the client keeps from now on.

    Raises RefusedError, or UndeliveredError when it was not answered in time or the step is to stop.
    """
    nonce = os.urandom(16).hex()
    request = ClaimRequest(attempt=job.attempt, claim=job.claim, nonce=nonce, executor_version=VERSION)
    proof = executor_api.claim_proof(secret, step_id=job.step_id, attempt=job.attempt, claim=job.claim, nonce=nonce)
    sent = False
    canceled_at: float | None = None

    def send() -> ClaimAnswer:
        nonlocal sent
        sent = True
        return api.claim(request, proof)

    def give_up() -> bool:
        nonlocal canceled_at
        if cancellation.stop is Stop.NONE:
            return False
        canceled_at = canceled_at or time.monotonic()
        return not sent or time.monotonic() - canceled_at > UNANSWERED_SECONDS

    answer = delivery.until_answered(send, give_up=give_up)
    api.token = answer.token
    return answer

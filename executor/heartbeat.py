"""The thread that asks the API for cancels by long-poll, from the claim to the finish report."""

import threading
import time
from collections.abc import Callable

from common.executor_api import HEARTBEAT_WAIT_SECONDS, CancelKind, HeartbeatRequest
from executor.api_client import ApiClient
from executor.cancellation import Cancellation, Stop
from executor.delivery import Delivery
from executor.errors import STEP_TAKEN, RefusedError, UndeliveredError

#: A cancel that is there is answered at once: ask again only this often, for its worsening to force.
AFTER_CANCEL_SECONDS = 1.0
_AFTER_REFUSAL_SECONDS = 5.0


class Heartbeat:
    """Runs until the process ends."""

    def __init__(self, api: ApiClient, cancellation: Cancellation, delivery: Delivery) -> None:
        self._api = api
        self._cancellation = cancellation
        self._delivery = delivery
        self._answered_at = time.monotonic()
        #: what ships says how long something has waited to be delivered; added by what the step starts
        self.undelivered: list[Callable[[], float]] = []

    def start(self) -> None:
        """Begin."""
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()

    def answered_at(self) -> float:
        """When the API last answered, on the monotonic clock."""
        return self._answered_at

    def _request(self) -> HeartbeatRequest:
        longest = max((seconds() for seconds in tuple(self.undelivered)), default=0.0)
        return HeartbeatRequest(wait_seconds=HEARTBEAT_WAIT_SECONDS, undelivered_seconds=int(longest))

    def _beat(self) -> None:
        while not self._delivery.abandoned:
            try:
                answer = self._delivery.until_answered(lambda: self._api.heartbeat(self._request()))
            except RefusedError as error:
                if error.code in STEP_TAKEN:
                    self._cancellation.request(Stop.TAKEN)
                    return
                time.sleep(_AFTER_REFUSAL_SECONDS)
                continue
            except UndeliveredError:
                return
            self._answered_at = time.monotonic()
            if answer.cancel is not None:
                self._cancellation.request(Stop.FORCE if answer.cancel is CancelKind.FORCE else Stop.GRACEFUL)
                time.sleep(AFTER_CANCEL_SECONDS)

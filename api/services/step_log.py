"""A step's log: the logs of its attempts, one behind the other. Called by whoever reads logs.

Every attempt's executor counts its own bytes from 0; only the newest attempt's log still grows, so that an offset
into the whole always means the same byte.
"""

from api.domain.entities import Step
from api.services.ports import Ports
from common import ids


async def read(ports: Ports, step: Step, offset: int, limit: int) -> tuple[bytes, int]:
    """At most `limit` bytes from an offset, and the log's length in bytes."""
    content, begin = b"", 0
    step_id, attempts = ids.parse_attempt_name(step.taken_over_from) or (step.id, step.attempt)
    for number in range(1, attempts + 1):
        name = ids.attempt_name(step_id, number)
        if len(content) < limit:
            content += await ports.logs.read(name, max(0, offset + len(content) - begin), limit - len(content))
        begin += await ports.logs.size(name)
    return content, begin

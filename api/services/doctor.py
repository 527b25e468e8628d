"""The doctor's report: each part of the installation asked whether it works, and what to do where it does not.

Called by the public routes; only an admin may. The composition root adds probes of what no port knows. Nothing that
a probe meets ends the report: it is a finding.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from api.domain import permissions
from api.domain.findings import FAILED, OK, WARNING, Finding
from api.domain.permissions import Principal
from api.services.errors import NotFoundError
from api.services.ports import Ports

PROBE_SECONDS = 10.0
_SLOW_SECONDS = 1.0
#: Its content is always the same, so that it can be written again and again.
_PROBE_KEY, _PROBE_CONTENT = "doctor/probe", b"written by podform doctor\n"

#: Asks one part; an exception is a finding too.
Probe = Callable[[Ports], Awaitable[Sequence[Finding]]]


async def examine(ports: Ports, principal: Principal) -> list[Finding]:
    """What was found, in order; NotFoundError for anybody but an admin."""
    if not permissions.may_administer(principal):
        raise NotFoundError("this resource")
    probes: list[tuple[str, Probe]] = [("database", _database), ("store", _store), *ports.probes.items()]
    findings: list[Finding] = []
    for found in await asyncio.gather(*(_asked(name, probe, ports) for name, probe in probes)):
        findings += found
    return findings


async def _asked(name: str, probe: Probe, ports: Ports) -> Sequence[Finding]:
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            return await probe(ports)
    except TimeoutError:
        return [Finding(name, FAILED, f"did not answer within {PROBE_SECONDS:.0f} s", "look whether it is overloaded")]
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what the report is for
        # the first line and no more: a driver's words may go on with what was sent
        said = f"{type(error).__name__}: {str(error).partition(chr(10))[0][:200]}"
        return [Finding(name, FAILED, said, "the API's log says more")]


async def _database(ports: Ports) -> Sequence[Finding]:
    """Read and write: the write touches no row, but takes the same lock and the same right as any other."""
    began = time.monotonic()
    try:
        async with ports.database.writing() as tx:
            await tx.touch_heartbeat("doctor", ports.clock())
    except Exception as error:  # noqa: BLE001 - the driver's errors are many
        said = f"cannot be written ({type(error).__name__})"
        return [Finding("database", FAILED, said, "look at the database's disk, rights and connection")]
    seconds = time.monotonic() - began
    if seconds > _SLOW_SECONDS:
        return [Finding("database", WARNING, f"a write took {seconds:.1f} s", "look at its disk and its load")]
    return [Finding("database", OK, f"a write took {seconds * 1000:.0f} ms")]


async def _store(ports: Ports) -> Sequence[Finding]:
    """Write, read back and unseal: the way of every plan and state."""
    try:
        await ports.artifacts.put(_PROBE_KEY, _PROBE_CONTENT)
        again = await ports.artifacts.get(_PROBE_KEY)
    except Exception as error:  # noqa: BLE001 - the store's errors are many
        said = f"cannot be written or read ({type(error).__name__})"
        return [Finding("store", FAILED, said, "look at the artifacts' directory or bucket: room, rights, connection")]
    if again != _PROBE_CONTENT:
        return [
            Finding("store", FAILED, "gives back another content", "another program writes there, or the key is wrong")
        ]
    return [Finding("store", OK, "written, read back and unsealed with the master key")]

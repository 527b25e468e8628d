"""The scheduler's loop on a real database, with a carrier whose ends nobody tells."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from api import scheduler
from api.services.ports import WORK_TOPIC, Ports
from common.launcher_port import (
    Carried,
    CarrierObservation,
    CarrierObserver,
    CarrierPhase,
    CarrierUnavailableError,
    LaunchOrder,
)
from tests.integration.api_in_process import Api, api_in


class SilentCarrier:
    """Takes every order; its attempts have ended when one looks, and it tells nobody."""

    kind = "process"

    async def start(self, observer: CarrierObserver) -> None:
        """It will tell nothing."""

    async def launch(self, order: LaunchOrder) -> Carried:
        """Taken."""
        return Carried(uid=order.name)

    async def stop(self, name: str, *, force: bool) -> None:
        """Ended already."""

    async def look(self, names: Sequence[str]) -> Mapping[str, CarrierObservation]:
        """All ended."""
        return {name: CarrierObservation(name=name, phase=CarrierPhase.ENDED, uid=name) for name in names}

    async def close(self) -> None:
        """Nothing is open."""


async def _status(api: Api, path: str) -> str:
    return str((await api.client.get(path)).json()["data"]["attributes"]["runStatus"])


def test_carriers_are_looked_at_while_the_bell_keeps_ringing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An end that nobody told is found by the safety net, however often other work wakes the scheduler."""
    monkeypatch.setattr(scheduler, "SAFETY_NET_SECONDS", 0.2)

    async def ring(wake: asyncio.Event, ports: Ports) -> None:
        while not wake.is_set():
            ports.bells.ring(WORK_TOPIC)
            await asyncio.sleep(0.02)

    async def scenario() -> None:
        async with api_in(tmp_path) as api:
            ports = replace(api.ports, launchers={"process": SilentCarrier()})
            workspace = await api.workspace()
            await api.uploaded(workspace)
            job = await api.job(workspace)
            path = f"{workspace.partition('/workspace/')[0]}/job/{job['id']}"
            loop, quiet = scheduler.Scheduler(ports), asyncio.Event()
            ringing = asyncio.create_task(ring(quiet, ports))
            await loop.start()
            try:
                async with asyncio.timeout(20):
                    while await _status(api, path) != "errored":  # noqa: ASYNC110 - as a client sees it
                        await asyncio.sleep(0.02)
            finally:
                quiet.set()
                await ringing
                await loop.close()

    asyncio.run(scenario())


class UnavailableCarrier(SilentCarrier):
    """Takes no order."""

    async def launch(self, order: LaunchOrder) -> Carried:
        """Out of reach."""
        raise CarrierUnavailableError(f"the cluster is on holiday: no {order.job_data.kind}", retry_after_seconds=60)

    async def look(self, names: Sequence[str]) -> Mapping[str, CarrierObservation]:
        """None of them has arrived."""
        return {name: CarrierObservation(name=name, phase=CarrierPhase.ABSENT) for name in names}


async def _until(api: Api, path: str, name: str, value: str) -> None:
    """Wait until the run's attribute is so."""
    async with asyncio.timeout(20):
        while (await api.client.get(path)).json()["data"]["attributes"][name] != value:  # noqa: ASYNC110 - as a client sees it
            await asyncio.sleep(0.02)


async def _decide(api: Api, path: str, **attributes: object) -> int:
    number = path.rpartition("/")[2]
    body = {"data": {"type": "job", "id": number, "attributes": {"status": "cancelled", **attributes}}}
    return (await api.client.patch(path, json=body)).status_code


def test_a_carrier_that_is_away_is_named(tmp_path: Path) -> None:
    """While the carrier takes no order, the run says why it waits, and it can be canceled."""

    async def scenario() -> None:
        async with api_in(tmp_path) as api:
            ports = replace(api.ports, launchers={"process": UnavailableCarrier()})
            workspace = await api.workspace()
            await api.uploaded(workspace)
            path = f"{workspace.partition('/workspace/')[0]}/job/{(await api.job(workspace))['id']}"
            loop = scheduler.Scheduler(ports)
            await loop.start()
            try:
                await _until(api, path, "waitingFor", "the cluster is on holiday: no terraformPlan")
                assert await _decide(api, path) == 200
                await _until(api, path, "runStatus", "canceled")
            finally:
                await loop.close()

    asyncio.run(scenario())


def test_by_force_a_run_ends_that_no_launcher_knows(tmp_path: Path) -> None:
    """A server that was set up with other launchers since cannot reach an executor; a person may end its run."""

    async def scenario() -> None:
        async with api_in(tmp_path) as api:
            workspace = await api.workspace()
            await api.uploaded(workspace)
            path = f"{workspace.partition('/workspace/')[0]}/job/{(await api.job(workspace))['id']}"
            before = scheduler.Scheduler(replace(api.ports, launchers={"process": UnavailableCarrier()}))
            await before.start()
            await _until(api, path, "waitingFor", "the cluster is on holiday: no terraformPlan")
            await before.close()
            assert await _decide(api, path) == 200
            assert await _decide(api, path, force=True) == 200

            after = scheduler.Scheduler(replace(api.ports, launchers={}))
            await after.start()
            try:
                await _until(api, path, "runStatus", "force_canceled")
            finally:
                await after.close()

    asyncio.run(scenario())

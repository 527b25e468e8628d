"""Wake-ups inside one process."""

import asyncio

from api.bells import LocalBells


def test_a_cancellation_that_comes_with_the_ring_is_not_lost() -> None:
    """A listener that is rung and canceled at once ends: a server that stops while work arrives does not hang."""

    async def scenario() -> None:
        bells = LocalBells()

        async def listen() -> None:
            bell = bells.listen("work")
            while True:
                await bell.wait(0.05)

        listening = asyncio.create_task(listen())
        await asyncio.sleep(0.01)
        bells.ring("work")
        await asyncio.sleep(0)  # the inner wait has ended now, the listener itself has not gone on yet
        listening.cancel()
        await asyncio.wait([listening], timeout=1)
        assert listening.cancelled()

    asyncio.run(scenario())


def test_a_ring_before_the_wait_counts() -> None:
    """What rings between two waits ends the next one at once; without a ring the wait ends by its time."""

    async def scenario() -> None:
        bells = LocalBells()
        bell = bells.listen("work")
        bells.ring("work")
        assert await bell.wait(5)
        assert not await bell.wait(0.01)
        bell.close()
        bells.ring("work")
        assert not await bell.wait(0.01)

    asyncio.run(scenario())

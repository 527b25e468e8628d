"""Wake-ups inside one process. Implements the services' Bells port.

Only hints: whoever waits looks at the database when woken, and from time to time without being woken.
"""

import asyncio


class LocalBells:
    """Topics and who listens to them."""

    def __init__(self) -> None:
        self._listeners: dict[str, set[LocalBell]] = {}
        self.closing = False

    def ring(self, topic: str) -> None:
        """Wake all listeners of a topic."""
        for bell in tuple(self._listeners.get(topic, ())):
            bell.event.set()

    def close(self) -> None:
        """The server ends: wake everybody, so that nothing is held any longer."""
        self.closing = True
        self.ring_all()

    def ring_here(self, topic: str) -> None:
        """The same: there is no elsewhere."""
        self.ring(topic)

    def ring_all(self) -> None:
        """Wake everybody: something may have been missed."""
        for topic in tuple(self._listeners):
            self.ring(topic)

    def listen(self, topic: str) -> "LocalBell":
        """A listener; close it when done."""
        bell = LocalBell(self, topic)
        self._listeners.setdefault(topic, set()).add(bell)
        return bell

    def forget(self, bell: "LocalBell") -> None:
        """Take a listener off its topic."""
        listeners = self._listeners.get(bell.topic)
        if listeners is not None:
            listeners.discard(bell)
            if not listeners:
                del self._listeners[bell.topic]


class LocalBell:
    """One listener."""

    def __init__(self, bells: LocalBells, topic: str) -> None:
        self.topic = topic
        self.event = asyncio.Event()
        self._bells = bells

    async def wait(self, seconds: float) -> bool:
        """Whether it rang within so many seconds, or since the last wait."""
        try:
            # not wait_for: on Python 3.11 it swallows a cancel that comes together with the ring
            async with asyncio.timeout(seconds):
                await self.event.wait()
        except TimeoutError:
            return False
        self.event.clear()
        return True

    def close(self) -> None:
        """Stop listening."""
        self._bells.forget(self)

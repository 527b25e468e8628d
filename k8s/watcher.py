"""Watches the Jobs and pods of one namespace and tells the observer what changes.

Started and closed by the launcher. Two loops follow the cluster (list, watch, relist), one tells. Loops do not
decide: what a change means is in picture and pod_diagnosis.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

from common.launcher_port import CarrierObservation, CarrierObserver, CarrierPhase
from k8s import errors, naming
from k8s.client import KubernetesClient, Listed, WatchTimeouts
from k8s.picture import Picture, Resource
from k8s.settings import JobSettings, WatchSettings

log = logging.getLogger(__name__)

LOG_TAIL_LINES = 50
LOG_TAIL_BYTES = 8 * 1024

_List = Callable[[str, str], Awaitable[Listed]]
_Watch = Callable[[str, str, str, WatchTimeouts], AsyncIterator[dict[str, Any]]]


class Follower:
    """Keeps one resource of the picture as the cluster has it: list, then watch, for ever."""

    def __init__(self, resource: Resource, list_: _List, watch: _Watch, watcher: "Watcher") -> None:
        self.resource: Resource = resource
        self.forbidden = False
        self._list, self._watch, self._watcher = list_, watch, watcher
        self._settings = watcher.settings
        self._where = (watcher.jobs.namespace, naming.selector(watcher.jobs.installation))
        self._version = ""  # to watch from; empty = list first
        self._listed_at = 0.0  # monotonic
        self._failures = 0
        self._good_at = time.monotonic()

    def age_seconds(self) -> float:
        """Since it was last known to be good: a list, an event, a bookmark."""
        return time.monotonic() - self._good_at

    async def run(self) -> None:
        """Until canceled. No failure ends it, and none makes it hot."""
        while True:
            try:
                await self.cycle()
            except errors.ClusterError as error:
                await asyncio.sleep(self.after(error))
            except Exception:  # an answer of a form that nobody foresaw must not end the watch for good
                log.exception("the watch of %s stumbled", self.resource)
                self._version = ""
                await asyncio.sleep(self._backoff())

    async def cycle(self) -> None:
        """One list, if one is due, and one watch to its end."""
        age = time.monotonic() - self._listed_at
        if not self._version or age >= self._settings.relist_seconds:
            await self._relist()
            age = 0.0
        began = time.monotonic()
        seconds = max(1, int(min(self._settings.watch_seconds, self._settings.relist_seconds - age)))
        timeouts = WatchTimeouts(seconds, self._settings.silent_seconds)
        async with contextlib.aclosing(_generator(self._watch(*self._where, self._version, timeouts))) as events:
            async for event in events:
                self._take(event)
        if time.monotonic() - began < min(1.0, seconds / 2):
            await asyncio.sleep(self._backoff())  # a server that ends every watch at once

    def after(self, error: errors.ClusterError) -> float:
        """Seconds to wait after an error; what was watched is listed anew."""
        self._version = ""
        if isinstance(error, errors.ForbiddenError):
            if not self.forbidden:
                log.warning("%s are not watched: %s", self.resource, error)
            self.forbidden = True
            self._watcher.ready(self.resource)
            return self._settings.forbidden_seconds
        level = logging.DEBUG if isinstance(error, errors.ExpiredError) else logging.WARNING
        log.log(level, "the watch of %s begins anew: %s", self.resource, error)
        return max(self._backoff(), error.retry_after_seconds or 0.0)

    async def _relist(self) -> None:
        listed = await self._list(*self._where)
        self.forbidden = False
        self._version, self._listed_at = listed.resource_version, time.monotonic()
        self._good_at = self._listed_at
        self._watcher.changed(self._watcher.picture.listed(self.resource, listed.items))
        self._watcher.ready(self.resource)

    def _take(self, event: dict[str, Any]) -> None:
        self._failures, self._good_at = 0, time.monotonic()
        item = event.get("object") or {}
        self._version = str((item.get("metadata") or {}).get("resourceVersion") or self._version)
        if event.get("type") in ("ADDED", "MODIFIED", "DELETED"):
            name = self._watcher.picture.event(self.resource, str(event["type"]), item)
            self._watcher.changed({name} if name else set())

    def _backoff(self) -> float:
        """The next wait, doubling, with jitter so that replicas do not come back together."""
        ceiling = self._settings.first_backoff_seconds * float(2**self._failures)
        self._failures = min(self._failures + 1, 10)
        return min(ceiling, self._settings.longest_backoff_seconds) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter


class Watcher:
    """The picture of one namespace, kept current, and the telling of what is new in it."""

    def __init__(
        self, client: KubernetesClient, jobs: JobSettings, settings: WatchSettings, observer: CarrierObserver
    ) -> None:
        self.picture = Picture()
        self.jobs, self.settings = jobs, settings
        self._client, self._observer = client, observer
        self._dirty: set[str] = set()
        self._settled_at: dict[str, float] = {}  # monotonic; of attempts that ended badly
        self._wake = asyncio.Event()
        self._ready = {"jobs": asyncio.Event(), "pods": asyncio.Event()}
        self._events_forbidden = False
        self._log_forbidden = False
        self.pods = Follower("pods", client.list_pods, client.watch_pods, self)
        self._followers = [Follower("jobs", client.list_jobs, client.watch_jobs, self), self.pods]
        self._running: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin; returns at once."""
        loops = [*(follower.run() for follower in self._followers), self._tell_for_ever()]
        self._running = [asyncio.create_task(loop) for loop in loops]

    async def close(self) -> None:
        """Stop all loops."""
        for running in self._running:
            running.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def ages(self) -> dict[str, float]:
        """Seconds since each resource's watch was last known to be good; a forbidden one is not watched."""
        return {each.resource: each.age_seconds() for each in self._followers if not each.forbidden}

    def changed(self, names: set[str]) -> None:
        """Attempts to look at again."""
        self._dirty |= names
        self._wake.set()

    def ready(self, resource: Resource) -> None:
        """A resource has been listed, or cannot be: nothing is told before both have."""
        self._ready[resource].set()

    async def _tell_for_ever(self) -> None:
        for event in self._ready.values():
            await event.wait()
        while True:
            try:
                async with asyncio.timeout(self.settings.diagnose_seconds):
                    await self._wake.wait()
            except TimeoutError:
                await self._ask_about_pending()
            self._wake.clear()
            names, self._dirty = self._dirty, set()
            for name in sorted(names):
                await self.tell(name)

    async def tell(self, name: str) -> None:
        """Tell the observer of one attempt, if there is news."""
        if self._unsettled(name):
            return
        observation = self.picture.news(name)
        if observation is not None:
            if observation.phase is CarrierPhase.ENDED and observation.exit_code != 0:
                observation = replace(observation, log_tail=await self._log_tail(name))
            await self._tell_observer(observation)
        if self.picture.forget_gone(name):
            self._settled_at.pop(name, None)

    def _unsettled(self, name: str) -> bool:
        """Whether a bad end must wait: Jobs and pods come by two watches, and the cause may be in the later one
        (a deadline is on the Job, an exit code on the pod)."""
        seen = self.picture.observation(name)
        if seen.phase is not CarrierPhase.ENDED or seen.exit_code == 0:
            return False
        now = time.monotonic()
        until = self._settled_at.setdefault(name, now + self.settings.settle_seconds)
        if now < until:  # asked again each time: a timer may fire a little early
            asyncio.get_running_loop().call_later(until - now, self.changed, {name})
        return now < until

    async def _tell_observer(self, observation: CarrierObservation) -> None:
        try:
            await self._observer.observed(observation)
        except Exception:  # it promised not to raise; the next attempts must be told all the same
            log.exception("the observer failed at %s", observation.name)

    async def _ask_about_pending(self) -> None:
        """The words about a Job without a pod, or about a volume, are in events alone."""
        for name in [] if self._events_forbidden else self.picture.pending():
            attempt = self.picture.attempts[name]
            pod = attempt.pod()
            kind, about = ("Pod", str(pod["metadata"]["name"])) if pod else ("Job", name)
            try:
                attempt.events = await self._client.list_events_of(self.jobs.namespace, kind, about)
            except errors.ForbiddenError as error:
                self._events_forbidden = True
                log.warning("events are not read: %s", error)
                return
            except errors.ClusterError:
                return  # the followers say it already; asked again at the next turn
            self._dirty.add(name)

    async def _log_tail(self, name: str) -> str:
        """What the executor printed last; empty where the Role or the time does not allow to read it."""
        attempt = self.picture.attempts.get(name)
        pod = attempt.pod() if attempt else None
        if pod is None or self._log_forbidden:
            return ""
        try:
            return await self._client.pod_log_tail(
                self.jobs.namespace, pod["metadata"]["name"], lines=LOG_TAIL_LINES, limit_bytes=LOG_TAIL_BYTES
            )
        except errors.ForbiddenError as error:
            self._log_forbidden = True
            log.warning("logs of pods are not read: %s", error)
        except errors.ClusterError as error:
            log.debug("no log of %s: %s", name, error)
        return ""


async def _generator(events: AsyncIterator[dict[str, Any]]) -> Any:
    """An iterator as a generator, so that leaving it early closes the connection under it."""
    async for event in events:
        yield event

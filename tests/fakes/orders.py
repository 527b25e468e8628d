"""Launch orders for tests, and settings that suit the stand-in cluster."""

import asyncio
from collections.abc import Mapping

from common.ids import attempt_name, format_id
from common.job_data import JobData
from common.launcher_port import CarrierObservation, CarrierPhase, LaunchOrder
from common.statuses import StepKind
from k8s.settings import JobSettings, WatchSettings

NAMESPACE = "terrakube"
SECRETS = {"terrakube-executor-secrets": {"InternalSecret": "the-internal-secret"}}
#: everything happens soon; nothing waits for a minute
QUICK = WatchSettings(
    watch_seconds=2,
    silent_seconds=5.0,
    relist_seconds=30.0,
    diagnose_seconds=0.1,
    settle_seconds=0.4,
    forbidden_seconds=30.0,
    first_backoff_seconds=0.02,
    longest_backoff_seconds=0.1,
)


def order(
    number: int = 1,
    attempt: int = 1,
    kind: StepKind = StepKind.PLAN,
    shape: Mapping[str, str] | None = None,
    timeout_seconds: int = 0,
) -> LaunchOrder:
    """An order with ids that are the same in every run."""
    step_id = format_id("step", 1_700_000_000_000 + number, number)
    data = JobData(
        kind=kind,
        organization_id=format_id("org", 1_600_000_000_000, 1),
        workspace_id=format_id("ws", 1_600_000_000_000, 2),
        run_id=format_id("run", 1_700_000_000_000, number),
        run_number=number,
        step_id=step_id,
        attempt=attempt,
        claim="claim-code",
        api_url="http://127.0.0.1:1",
    )
    return LaunchOrder(
        name=attempt_name(step_id, attempt),
        job_data=data,
        organization_name="Büro & Söhne",
        workspace_name="network/eu",
        timeout_seconds=timeout_seconds,
        shape=shape or {},
    )


def job_settings(**changes: object) -> JobSettings:
    """Settings for the stand-in's namespace."""
    defaults: dict[str, object] = {"namespace": NAMESPACE, "image": "registry.example/podform-executor:1"}
    return JobSettings(**(defaults | changes))  # type: ignore[arg-type]  # the caller names fields of JobSettings


class Notes:
    """An observer that writes down what it is told, and can be waited on."""

    def __init__(self) -> None:
        self.told: list[CarrierObservation] = []
        self._news = asyncio.Condition()

    async def observed(self, observation: CarrierObservation) -> None:
        """Note it."""
        async with self._news:
            self.told.append(observation)
            self._news.notify_all()

    def of(self, name: str) -> list[CarrierObservation]:
        """What was told of one attempt, in order."""
        return [observation for observation in self.told if observation.name == name]

    async def until(self, name: str, phase: CarrierPhase, *, with_message: bool = False) -> CarrierObservation:
        """The first observation of this phase (with something to say, if so wanted); a timeout for safety."""

        def found() -> CarrierObservation | None:
            fitting = [o for o in self.of(name) if o.phase is phase and (o.message or not with_message)]
            return fitting[0] if fitting else None

        async with asyncio.timeout(20), self._news:
            while (observation := found()) is None:
                await self._news.wait()
            return observation

"""Engines that the API keeps for its executors: which one a step gets, and what an admin sees of them.

Called by the executor routes (for a step that finds none that fits on its machine) and by the public ones.
"""

from dataclasses import dataclass

from api.domain import permissions
from api.domain.engine_archive import EngineArchive, archive_id, is_platform, newest_few, newest_fitting
from api.domain.entities import RunRecord
from api.domain.permissions import Principal
from api.services.attempt_access import attempt_of
from api.services.claim_step import plan_facts
from api.services.errors import NotFoundError, RefusedError
from api.services.ports import AlreadyExistsError, EngineMirrorError, FetchedArchive, Ports, StorageAwayError
from common.errors import BadInputError
from common.executor_api import Refusal
from common.statuses import StepKind

ENGINES = ("terraform", "tofu")
#: Shorter than an executor waits for an answer.
_WAIT_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class MirrorStanding:
    """One engine's mirror as it stands."""

    name: str
    url: str = ""
    reachable: bool | None = None  # None: none is set
    problem: str = ""
    versions: tuple[str, ...] = ()
    signatures: bool = False


async def engine_for_step(ports: Ports, step_id: str, token: str, platform: str) -> EngineArchive | None:
    """The archive that a step should use; None while it is being fetched: ask again.

    Raises RefusedError (ENGINE_UNAVAILABLE) with a sentence that says what is wanted, what is there, what would help.
    """
    if not is_platform(platform):
        raise BadInputError("platform", "must be like linux_amd64")
    async with ports.database.reading() as tx:
        attempt, record = await attempt_of(ports, tx, step_id, token)
        name = record.run.engine
        kept = [item for item in await tx.all(EngineArchive, name=name, platform=platform) if item.sha256]
    wanted = _wanted(record, attempt.step_id)
    version = newest_fitting(name, wanted, [item.version for item in kept])
    try:
        if version is None:
            version = await _in_mirror(ports, name, wanted, kept)
        return await _ensured(ports, name, version, platform, {item.version: item for item in kept}.get(version))
    except EngineMirrorError as error:
        raise RefusedError(Refusal.ENGINE_UNAVAILABLE, str(error)) from error


async def archive_for_step(ports: Ports, step_id: str, token: str, version: str, platform: str) -> FetchedArchive:
    """An archive that `engine_for_step` has answered, as a file of this machine."""
    async with ports.database.reading() as tx:
        _, record = await attempt_of(ports, tx, step_id, token)
        known = await tx.get(EngineArchive, archive_id(record.run.engine, version, platform))
    if known is None or ports.engines is None:
        raise NotFoundError("this archive")
    try:
        found = await ports.engines.ensure(
            known.name, known.version, known.platform, sha256=known.sha256, wait_seconds=_WAIT_SECONDS
        )
    except EngineMirrorError as error:
        raise RefusedError(Refusal.ENGINE_UNAVAILABLE, str(error)) from error
    if found is None:  # the executor asks again
        raise StorageAwayError("the archive is still being read from the artifact store")
    return found


async def list_engines(ports: Ports, principal: Principal) -> tuple[tuple[EngineArchive, ...], list[MirrorStanding]]:
    """The archives that are kept, and how the mirrors stand. Only an admin may."""
    if not permissions.may_administer(principal):
        raise NotFoundError("this resource")
    async with ports.database.reading() as tx:
        kept = await tx.all(EngineArchive)
    return kept, [await _standing(ports, name) for name in ENGINES]


def _wanted(record: RunRecord, step_id: str) -> str:
    planned = plan_facts(record) if record.step(step_id).kind is StepKind.APPLY else None
    return f"= {planned.engine_version}" if planned else record.run.engine_version


async def _in_mirror(ports: Ports, name: str, wanted: str, kept: list[EngineArchive]) -> str:
    asked = f"{name} {wanted}".strip()
    there = newest_few(item.version for item in kept)
    setting = f"PODFORM_ENGINE_MIRROR_{name.upper()}"
    mirror = ports.engines.mirrors.get(name) if ports.engines else None
    if mirror is None:
        raise EngineMirrorError(f"{asked} is not among those the API keeps ({there}), and {setting} names no mirror")
    try:
        known = await mirror.versions()
    except EngineMirrorError as error:
        raise EngineMirrorError(
            f"{asked} is not among those the API keeps ({there}), and the mirror of {setting} does not help: {error}"
        ) from error
    version = newest_fitting(name, wanted, known)
    if version is None:
        raise EngineMirrorError(f"{asked} is not in the mirror of {setting}; it has {newest_few(known)}")
    return version


async def _ensured(
    ports: Ports, name: str, version: str, platform: str, known: EngineArchive | None
) -> EngineArchive | None:
    if ports.engines is None:
        raise EngineMirrorError("this API serves no engines")
    sha256 = known.sha256 if known else ""
    found = await ports.engines.ensure(name, version, platform, sha256=sha256, wait_seconds=_WAIT_SECONDS)
    if found is None or known is not None:
        return known if found is not None else None
    archive = EngineArchive(
        id=archive_id(name, version, platform),
        name=name,
        version=version,
        platform=platform,
        sha256=found.sha256,
        size=found.size,
        created_at=ports.clock(),
    )
    try:
        async with ports.database.writing() as tx:
            await tx.add(archive)
    except AlreadyExistsError:
        pass  # another request was faster; the contents are the same
    return archive


async def _standing(ports: Ports, name: str) -> MirrorStanding:
    mirror = ports.engines.mirrors.get(name) if ports.engines else None
    if mirror is None:
        return MirrorStanding(name)
    try:
        known = await mirror.versions()
    except EngineMirrorError as error:
        return MirrorStanding(name, mirror.url, False, str(error), (), mirror.signed)
    return MirrorStanding(name, mirror.url, True, "", known, mirror.signed)

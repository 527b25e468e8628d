"""Configuration versions: announced, uploaded once, immutable from then on. Called by the public routes.

The archive is only read through here (names, sizes, completeness); unpacking is the executor's alone.
"""

import asyncio
import hashlib
from dataclasses import replace

from api.domain.entities import ConfigurationVersion
from api.domain.permissions import Principal
from api.services.access import visible_workspace
from api.services.errors import ConflictError, NotFoundError
from api.services.ports import Listing, Page, Ports, Reading
from common import archive, ids


def configuration_key(configuration: ConfigurationVersion) -> str:
    """Where the content of a configuration version lies among the artifacts: by its checksum, so that of two
    different uploads at once the one that is committed keeps its own bytes."""
    if configuration.run_id:
        return f"runs/{configuration.run_id}/configuration-{configuration.sha256[:16]}"
    return f"configurations/{configuration.workspace_id}/{configuration.id}-{configuration.sha256[:16]}"


async def create_configuration(
    ports: Ports, principal: Principal, organization_id: str, workspace_id: str, wanted_id: str = ""
) -> ConfigurationVersion:
    """Announce a configuration; with the same id again, the one that is there."""
    async with ports.database.writing() as tx:
        workspace = await visible_workspace(tx, principal, organization_id, workspace_id)
        if wanted_id and (known := await tx.get(ConfigurationVersion, wanted_id)):
            if known.workspace_id != workspace.id:
                raise ConflictError(f"id {wanted_id} is taken")
            return known
        configuration = ConfigurationVersion(
            id=wanted_id or ids.new_id("configuration_version"), workspace_id=workspace.id, created_at=ports.clock()
        )
        await tx.add(configuration)
    return configuration


async def upload_configuration(
    ports: Ports, principal: Principal, organization_id: str, workspace_id: str, configuration_id: str, content: bytes
) -> ConfigurationVersion:
    """Take the content (tar.gz). The same content again is harmless, another one a ConflictError.

    Raises BadInputError when the archive is empty, truncated or breaks a rule.
    """
    sha256 = hashlib.sha256(content).hexdigest()
    async with ports.database.reading() as tx:
        configuration = await visible_configuration(tx, principal, organization_id, workspace_id, configuration_id)
    if configuration.status == "uploaded":
        if configuration.sha256 != sha256:
            raise ConflictError(f"configuration {configuration.id} has its content already, and another one")
        return configuration
    await asyncio.to_thread(archive.check, content)
    uploaded = replace(configuration, status="uploaded", sha256=sha256, size=len(content))
    await ports.artifacts.put(configuration_key(uploaded), content)
    async with ports.database.writing() as tx:
        configuration = await visible_configuration(tx, principal, organization_id, workspace_id, configuration_id)
        if configuration.status == "uploaded" and configuration.sha256 != sha256:
            raise ConflictError(f"configuration {configuration.id} has its content already, and another one")
        await tx.save(uploaded)
    return uploaded


async def visible_configuration(
    tx: Reading, principal: Principal, organization_id: str, workspace_id: str, configuration_id: str
) -> ConfigurationVersion:
    """The workspace's configuration version, or NotFoundError."""
    workspace = await visible_workspace(tx, principal, organization_id, workspace_id)
    configuration = await tx.get(ConfigurationVersion, configuration_id)
    if configuration is None or configuration.workspace_id != workspace.id:
        raise NotFoundError(f"configuration {configuration_id}")
    return configuration


async def get_configuration(
    ports: Ports, principal: Principal, organization_id: str, workspace_id: str, configuration_id: str
) -> ConfigurationVersion:
    """The workspace's configuration version, or NotFoundError."""
    async with ports.database.reading() as tx:
        return await visible_configuration(tx, principal, organization_id, workspace_id, configuration_id)


async def list_configurations(
    ports: Ports, principal: Principal, organization_id: str, workspace_id: str, page: Page
) -> Listing[ConfigurationVersion]:
    """The workspace's configuration versions, newest first."""
    async with ports.database.reading() as tx:
        workspace = await visible_workspace(tx, principal, organization_id, workspace_id)
        return await tx.listing(ConfigurationVersion, page, {"workspace_id": workspace.id}, newest_first=True)

"""Credentials for git of an organization (`vcs`, `ssh`), and whether a workspace may use one; secrets are write-only.

Called by the public routes, by services/workspaces at save and by services/claim_step.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from api.domain import git_credentials, known_hosts, private_key
from api.domain.entities import Run, Workspace
from api.domain.git_credentials import SshKey, Vcs
from api.domain.permissions import Principal
from api.services.access import visible_organization
from api.services.errors import ConflictError, NotFoundError
from api.services.names import check_description, check_name
from api.services.ports import AlreadyExistsError, Listing, Page, Ports, Reading
from common import git_source, ids
from common.errors import BadInputError
from common.git_source import GitSource

Credential = TypeVar("Credential", Vcs, SshKey)
_WORDS: Mapping[type, str] = {Vcs: "vcs", SshKey: "ssh"}


async def create_credential(
    ports: Ports,
    principal: Principal,
    organization_id: str,
    kind: type[Credential],
    fields: Mapping[str, Any],
    wanted_id: str = "",
) -> Credential:
    """A credential with these entity fields. The same id again answers with what is there."""
    word = _WORDS[kind]
    async with ports.database.writing() as tx:
        organization = await visible_organization(tx, principal, organization_id)
        if wanted_id and (known := await tx.get(kind, wanted_id)):
            if known.organization_id != organization.id:
                raise ConflictError(f"id {wanted_id} is taken")
            return known
        bare = kind(id=wanted_id or ids.new_id(word), organization_id=organization.id, created_at=ports.clock())
        credential = checked(replace(bare, **fields))
        try:
            await tx.add(credential)
        except AlreadyExistsError as error:
            raise ConflictError(f"name: {word} {credential.name!r} exists already in this organization") from error
    return credential


async def change_credential(
    ports: Ports,
    principal: Principal,
    kind: type[Credential],
    place: tuple[str, str],
    fields: Mapping[str, Any],
) -> Credential:
    """Change the given fields of the credential at `place` (organization, id)."""
    async with ports.database.writing() as tx:
        # a token is sent where the endpoint says: whoever moves it must know it
        if {"endpoint", "vcs_type"} & set(fields) and "access_token" not in fields:
            raise BadInputError("accessToken", "must be given anew together with endpoint or vcsType")
        if "private_key" in fields and "ssh_type" not in fields:
            fields = {**fields, "ssh_type": ""}
        changed = checked(replace(await _visible(tx, principal, kind, place), **fields))
        try:
            await tx.save(changed)
        except AlreadyExistsError as error:
            raise ConflictError(f"name: {changed.name!r} exists already in this organization") from error
    return changed


async def delete_credential(ports: Ports, principal: Principal, kind: type[Credential], place: tuple[str, str]) -> None:
    """Delete a credential that no workspace uses."""
    async with ports.database.writing() as tx:
        credential = await _visible(tx, principal, kind, place)
        if user := await tx.find(Workspace, **{f"{_WORDS[kind]}_id": credential.id}):
            raise ConflictError(f"{_WORDS[kind]} {credential.name} is used by workspace {user.name}")
        await tx.remove(credential)


async def get_credential(
    ports: Ports, principal: Principal, kind: type[Credential], place: tuple[str, str]
) -> Credential:
    """The credential, or NotFoundError."""
    async with ports.database.reading() as tx:
        return await _visible(tx, principal, kind, place)


async def list_credentials(
    ports: Ports, principal: Principal, organization_id: str, kind: type[Credential], page: Page
) -> Listing[Credential]:
    """The organization's credentials of this kind."""
    async with ports.database.reading() as tx:
        await visible_organization(tx, principal, organization_id)
        return await tx.listing(kind, page, {"organization_id": organization_id})


def checked(credential: Credential) -> Credential:
    """The credential, or BadInputError naming the field; a secret is never part of the message."""
    check_description(credential.description)
    credential = replace(credential, name=check_name(credential.name))
    if isinstance(credential, Vcs):
        git_credentials.check_endpoint(credential)
        return credential
    hosts = known_hosts.check_known_hosts("\n".join(credential.known_hosts.splitlines()))
    key = private_key.read(credential.private_key)
    if credential.ssh_type not in {"", key.kind}:
        raise BadInputError("sshType", f"is {credential.ssh_type!r} and the key is {key.kind}")
    return replace(credential, ssh_type=key.kind, private_key=key.text, public_key=key.public, known_hosts=hosts)


async def check_source(ports: Ports, tx: Reading, workspace: Workspace) -> None:
    """BadInputError unless the workspace's source, branch and credential go together."""
    vcs, key = await _of(tx, Vcs, workspace.vcs_id, workspace), await _of(tx, SshKey, workspace.ssh_id, workspace)
    if vcs and key:
        raise BadInputError("ssh", "cannot be set beside vcs: a URL is either for a token or for a key")
    if not git_source.is_git(workspace.source, workspace.branch):
        return
    git_source.check_url(workspace.source, ports.rules.git_protocols)
    git_source.check_reference(workspace.branch)
    address = git_source.address_of(workspace.source)
    if vcs:
        git_credentials.check_vcs_fits(vcs, address)
    elif key:
        git_credentials.check_ssh_fits(key, address, ports.rules.git_known_hosts)
    elif address.scheme == "ssh":
        raise BadInputError("source", "is an ssh URL, which needs a key: make an `ssh` resource and name it here")


async def source_of(ports: Ports, tx: Reading, run: Run) -> GitSource | None:
    """What the run's step must check out, with the credential; None once the run has its configuration.

    A credential that was changed since the run was created and does not fit its URL any more is left out.
    """
    if run.configuration_id or not run.source:
        return None
    source = GitSource(
        url=run.source,
        reference=run.branch,
        commit=run.commit_id,
        protocols=ports.rules.git_protocols,
        timeout_seconds=ports.rules.git_timeout_seconds,
        max_bytes=ports.rules.max_configuration_bytes,
    )
    workspace = await tx.get(Workspace, run.workspace_id)
    if workspace is None:
        return source
    try:
        await check_source(ports, tx, replace(workspace, source=run.source, branch=""))
    except BadInputError:
        return source
    vcs, key = await _of(tx, Vcs, workspace.vcs_id, workspace), await _of(tx, SshKey, workspace.ssh_id, workspace)
    if vcs and vcs.access_token:
        return replace(source, user_name=vcs.token_user, token=vcs.access_token)
    if key:
        hosts = f"{key.known_hosts}\n{ports.rules.git_known_hosts}\n"
        return replace(source, private_key=key.private_key, known_hosts=hosts)
    return source


async def _visible(tx: Reading, principal: Principal, kind: type[Credential], place: tuple[str, str]) -> Credential:
    organization = await visible_organization(tx, principal, place[0])
    credential = await tx.get(kind, place[1])
    if credential is None or credential.organization_id != organization.id:
        raise NotFoundError(f"{_WORDS[kind]} {place[1]}")
    return credential


async def _of(tx: Reading, kind: type[Credential], credential_id: str, workspace: Workspace) -> Credential | None:
    credential = await tx.get(kind, credential_id) if credential_id else None
    if credential_id and (credential is None or credential.organization_id != workspace.organization_id):
        raise BadInputError(_WORDS[kind], f"{credential_id} is none of this organization")
    return credential

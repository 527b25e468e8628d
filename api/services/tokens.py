"""Bearer tokens of the public API: made, looked up, revoked. Only their hashes are kept."""

from datetime import timedelta

from api.domain import permissions
from api.domain.entities import Organization, Token
from api.domain.permissions import Principal
from api.services.errors import NotFoundError
from api.services.ports import Listing, Page, Ports
from common import ids
from common.errors import BadInputError

MAX_DAYS = 3650


async def create_token(
    ports: Ports, principal: Principal, *, description: str, days: int = 0, organization_id: str = ""
) -> tuple[Token, str]:
    """A token and its text, which is answered this once. Only an admin may; days 0 = never expires."""
    if not permissions.may_administer(principal):
        raise NotFoundError("this resource")
    if not 0 <= days <= MAX_DAYS:
        raise BadInputError("days", f"must be 0 (never expires) to {MAX_DAYS}")
    if not 1 <= len(description) <= 200:
        raise BadInputError("description", "must have 1 to 200 characters")
    text = ports.codes.new_user_token()
    now = ports.clock()
    token = Token(
        id=ids.new_id("token"),
        name=description,
        hash=ports.codes.hashed(text),
        organization_id=organization_id,
        admin=not organization_id,
        expires_at=now + timedelta(days=days) if days else None,
        created_at=now,
    )
    async with ports.database.writing() as tx:
        if organization_id and await tx.get(Organization, organization_id) is None:
            raise BadInputError("organizationId", f"{organization_id!r} does not exist")
        await tx.add(token)
    return token, text


async def ensure_admin_token(ports: Ports, text: str | None) -> str | None:
    """The first admin token: the given text, or a fresh one when there is no token at all; the text if it is new."""
    async with ports.database.writing() as tx:
        given = ports.codes.hashed(text) if text else ""
        known = await tx.find(Token, hash=given) if given else None
        if known is not None:
            return None
        if not given and (await tx.listing(Token, Page(1, 1), {})).total:
            return None
        text = text or ports.codes.new_user_token()
        token = Token(
            id=ids.new_id("token"), name="admin", hash=ports.codes.hashed(text), admin=True, created_at=ports.clock()
        )
        await tx.add(token)
    return None if given else text


async def principal_behind(ports: Ports, text: str) -> Principal | None:
    """Who a bearer token belongs to; None for an unknown or expired one."""
    token_hash = ports.codes.hashed(text)
    token = ports.known_tokens.get(token_hash)
    if token is None:
        asked = ports.known_tokens.asked()
        async with ports.database.reading() as tx:
            token = await tx.find(Token, hash=token_hash)
        if token is not None:
            ports.known_tokens.keep(token, asked)
    return permissions.principal_of(token, ports.clock()) if token else None


async def list_tokens(ports: Ports, principal: Principal, page: Page) -> Listing[Token]:
    """All tokens, without their texts. Only an admin may."""
    if not permissions.may_administer(principal):
        raise NotFoundError("this resource")
    async with ports.database.reading() as tx:
        return await tx.listing(Token, page, {})


async def delete_token(ports: Ports, principal: Principal, token_id: str) -> None:
    """Revoke a token at once. Only an admin may."""
    async with ports.database.writing() as tx:
        token = await tx.get(Token, token_id) if permissions.may_administer(principal) else None
        if token is None:
            raise NotFoundError(f"token {token_id}")
        await tx.remove(token)
    ports.known_tokens.forget_all()

"""Who may do what. Pure; asked by every service before it loads anything for a caller.

A token belongs to all organizations (an admin's) or to one. What it may not see does not exist for it.
"""

from dataclasses import dataclass
from datetime import datetime

from api.domain.entities import Token


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: the name goes on what they do."""

    name: str
    admin: bool = False
    organization_id: str = ""


def principal_of(token: Token, now: datetime) -> Principal | None:
    """The principal behind a token, or None when it has expired."""
    if token.expires_at is not None and token.expires_at <= now:
        return None
    return Principal(token.name, token.admin, token.organization_id)


def may_see(principal: Principal, organization_id: str) -> bool:
    """Whether the principal may see an organization and all that is in it."""
    return principal.admin or principal.organization_id == organization_id


def may_administer(principal: Principal) -> bool:
    """Whether the principal may create organizations and tokens."""
    return principal.admin

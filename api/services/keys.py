"""The data keys: shown and rotated, by admins alone. Called by the public routes."""

from api.domain import permissions
from api.domain.permissions import Principal
from api.services.errors import NotFoundError
from api.services.key_ports import Keys, KeysStatus
from api.services.ports import Ports


async def show_keys(ports: Ports, principal: Principal) -> KeysStatus:
    """The keys, and how far the sealing anew is."""
    return await _keys(ports, principal).status()


async def rotate_keys(ports: Ports, principal: Principal, active: str = "") -> KeysStatus:
    """A new key for everything from now on; with `active` only while that is the active one, for repeats."""
    keys = _keys(ports, principal)
    before = await keys.status()
    if not active or any(key.active and key.id == active for key in before.keys):
        await keys.rotate()
    return await keys.status()


def _keys(ports: Ports, principal: Principal) -> Keys:
    if ports.keys is None or not permissions.may_administer(principal):
        raise NotFoundError("this resource")
    return ports.keys

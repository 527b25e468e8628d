"""The port of the data keys: what services ask of api/persistence/rotation.py, and what it answers."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class DataKey:
    """What is known of a data key, without the key."""

    id: str
    created_at: datetime
    retired_at: datetime | None
    active: bool


@dataclass(frozen=True, slots=True)
class KeysStatus:
    """The data keys by age, and how many contents the sealing anew has looked at and sealed since it began."""

    keys: tuple[DataKey, ...]
    looked_at: int
    sealed_anew: int

    @property
    def under_way(self) -> bool:
        """Whether something may still be sealed with an older key."""
        return any(key.retired_at is None and not key.active for key in self.keys)


class Keys(Protocol):
    """The keys that contents are sealed with."""

    async def rotate(self) -> None:
        """Seal with a new key from now on, and in the background what is there already."""
        ...

    async def status(self) -> KeysStatus:
        """The keys, and how far the sealing anew is."""
        ...

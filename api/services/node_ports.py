"""What services need to know of the other API processes: a port, and its answer where there are none.

Implemented by api/nodes.py on PostgreSQL; part of Ports (ports.py).
"""

from typing import Protocol

from api.domain.ownership import Here


class Nodes(Protocol):
    """This API process among its replicas."""

    @property
    def id(self) -> str:
        """This node's id; empty where there is but one."""
        ...

    async def here(self) -> Here:
        """Whether it leads and who lives, now."""
        ...


class OneNode:
    """The only process that there is: SQLite's."""

    id = ""

    async def here(self) -> Here:
        """It leads; nobody else lives."""
        return Here()

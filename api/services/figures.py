"""What services tell about how long things take and how they end: the port behind `/metrics`.

Implemented by api/routes/metrics.py, whose tables say which names and labels there are. Figures only: no id of a run,
no name of a workspace, for labels must be few.
"""

from typing import Protocol


class Figures(Protocol):
    """Takes note; never raises for a name of its tables, and never waits."""

    def time(self, name: str, seconds: float, **labels: str) -> None:
        """One more that took so long."""
        ...

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """So many more."""
        ...

    def undelivered(self, attempt: str, seconds: float) -> None:
        """For how long the executor of an attempt has held something that it could not deliver; 0 = nothing."""
        ...


class NoFigures:
    """For whoever asks for no figures."""

    def time(self, name: str, seconds: float, **labels: str) -> None:
        """Forget it."""

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """Forget it."""

    def undelivered(self, attempt: str, seconds: float) -> None:
        """Forget it."""

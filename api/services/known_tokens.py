"""Tokens that were looked up a moment ago, so that a burst of requests does not ask the database each time.

Used by tokens.py alone. Only what was found is kept, for half a second: a token that another replica has revoked stops
working within a second everywhere, one revoked here at once. Expiry is looked at on every request.
"""

import time
from collections.abc import Callable

from api.domain.entities import Token

KEPT_SECONDS = 0.5
#: More tokens at once than this are looked up each time: a bound on memory, not a limit of anything.
MOST = 1000


class KnownTokens:
    """Hashes of tokens and what the database had of them, each with when the question was asked."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._found: dict[str, tuple[float, Token]] = {}
        self._revoked_at = float("-inf")

    def asked(self) -> float:
        """When a question to the database begins: its answer is as old as that."""
        return self._clock()

    def keep(self, token: Token, asked: float) -> None:
        """Keep an answer, unless a token was revoked since the question: it may be older than that."""
        if asked <= self._revoked_at:
            return
        if len(self._found) >= MOST:
            self._found.clear()
        self._found[token.hash] = (asked, token)

    def get(self, token_hash: str) -> Token | None:
        """The token, when the answer is young enough."""
        asked, token = self._found.get(token_hash, (float("-inf"), None))
        return token if self._clock() - asked < KEPT_SECONDS else None

    def forget_all(self) -> None:
        """A token was revoked."""
        self._revoked_at = self._clock()
        self._found.clear()

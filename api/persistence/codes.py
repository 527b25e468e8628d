"""Claim codes and tokens, and their hashes. Implements the services' Codes port.

Claim codes and attempt tokens are derived from a key of their own, which the master key wraps, so that the same answer
can be given again after a restart, and after a change of any other key, without any of them being stored.
"""

import base64
import hashlib
import hmac
import secrets

from api.persistence.sealing import Sealer


class DerivedCodes:
    """Codes of one installation."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer  # it knows the key of the codes once the database is open

    def claim_code(self, attempt_name: str) -> str:
        """The attempt's one-time claim code."""
        return self._derived("claim", attempt_name)

    def attempt_token(self, attempt_name: str, nonce: str) -> str:
        """The attempt's token for the executor with that nonce."""
        return "pfa-" + self._derived("token", attempt_name, nonce)

    def new_user_token(self) -> str:
        """A bearer token of the public API."""
        return "pft-" + secrets.token_urlsafe(32)

    def hashed(self, code: str) -> str:
        """SHA-256 in hex. The codes have 256 random bits: a slow hash would only slow every request."""
        return hashlib.sha256(code.encode("utf-8", "surrogatepass")).hexdigest()

    def _derived(self, *parts: str) -> str:
        digest = hmac.new(self._sealer.codes_key, "\0".join(parts).encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")

"""Tokens that are remembered for a moment: revoked ones do not work on, expired ones neither."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from api.domain.entities import Token
from api.services.known_tokens import KEPT_SECONDS, MOST, KnownTokens
from api.services.tokens import create_token, delete_token, principal_behind
from tests.integration.api_in_process import ADMIN, api_in


def _token(number: int = 0) -> Token:
    return Token(id=f"at-{number}", name="t", hash=f"hash-{number}", created_at=datetime.now(UTC))


def test_an_answer_is_kept_for_its_time_and_no_longer() -> None:
    """Counted from the question; half a second leaves a revocation elsewhere less than a second to be noticed."""
    now = 100.0
    known = KnownTokens(lambda: now)
    known.keep(_token(), known.asked())
    now += KEPT_SECONDS * 0.9
    assert known.get("hash-0") is not None
    now += KEPT_SECONDS * 0.2
    assert known.get("hash-0") is None
    assert KEPT_SECONDS < 1


def test_a_revocation_forgets_and_outlives_older_answers() -> None:
    """A question from before the revocation may have been answered with the token: it is not kept."""
    now = 100.0
    known = KnownTokens(lambda: now)
    asked = known.asked()
    known.keep(_token(1), asked)
    now += 0.1
    known.forget_all()
    known.keep(_token(0), asked)
    assert (known.get("hash-0"), known.get("hash-1")) == (None, None)


def test_memory_is_bounded() -> None:
    """However many tokens come by."""
    known = KnownTokens()
    for number in range(3 * MOST):
        known.keep(_token(number), known.asked())
    assert sum(known.get(f"hash-{number}") is not None for number in range(3 * MOST)) <= MOST


def test_a_revoked_token_is_refused_by_the_next_request(tmp_path: Path) -> None:
    """Also when it was used just before, and is remembered."""

    async def story() -> None:
        async with api_in(tmp_path) as api:
            admin = await principal_behind(api.ports, ADMIN)
            assert admin is not None
            token, text = await create_token(api.ports, admin, description="for a moment")
            assert await principal_behind(api.ports, text) is not None
            assert api.ports.known_tokens.get(token.hash) is not None
            await delete_token(api.ports, admin, token.id)
            assert await principal_behind(api.ports, text) is None

    asyncio.run(story())

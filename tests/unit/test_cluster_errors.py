"""The one table from a cluster's answer to an error of ours."""

import json

import pytest

from k8s import errors
from tests.fakes.kube import answers

QUOTA = answers.quota_exceeded("x", 1, 1)
RBAC = answers.forbidden("u", "create", "jobs", "ns")


@pytest.mark.parametrize(
    ("status", "body", "expected", "words"),
    [
        (400, answers.bad_request("strict decoding error").body(), errors.RejectedError, "strict decoding error"),
        (401, answers.unauthorized().body(), errors.UnauthorizedError, "Unauthorized"),
        (403, RBAC.body(), errors.ForbiddenError, "cannot create resource"),
        (403, QUOTA.body(), errors.QuotaExceededError, "exceeded quota"),
        (404, answers.not_found("jobs", "x").body(), errors.NotFoundError, 'jobs.batch "x" not found'),
        (409, answers.already_exists("jobs", "x", deleting=False).body(), errors.AlreadyExistsError, "already exists"),
        (409, answers.already_exists("jobs", "x", deleting=True).body(), errors.AlreadyExistsError, "being deleted"),
        (409, answers.uid_conflict("jobs", "x", "a", "b").body(), errors.ConflictError, "precondition"),
        (410, answers.expired(1, 2), errors.ExpiredError, "too old"),
        (413, answers.too_large(3).body(), errors.RejectedError, "too large"),
        (422, answers.invalid("x", [("f", "r", "m")]).body(), errors.RejectedError, "f: m"),
        (429, {}, errors.UnavailableError, "HTTP 429"),
        (500, {}, errors.UnavailableError, "HTTP 500"),
        (504, "<html>bad gateway</html>", errors.UnavailableError, "HTTP 504"),
        (418, [], errors.RejectedError, "HTTP 418"),
    ],
)
def test_an_answer_becomes_one_error(status: int, body: object, expected: type, words: str) -> None:
    """Status and reason choose the class; the text is the cluster's own."""
    text = body if isinstance(body, str) else json.dumps(body)
    error = errors.from_answer(status, text)
    assert type(error) is expected
    assert words in str(error)
    assert error.status == status


@pytest.mark.parametrize(
    ("header", "body", "seconds"),
    [
        ("5", {}, 5.0),
        (None, {"details": {"retryAfterSeconds": 3}}, 3.0),
        (None, {}, None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", {}, None),
    ],
)
def test_the_time_to_come_back_is_kept(header: str | None, body: object, seconds: float | None) -> None:
    """Retry-After counts, else what the Status says; other forms are ignored."""
    assert errors.from_answer(429, json.dumps(body), header).retry_after_seconds == seconds

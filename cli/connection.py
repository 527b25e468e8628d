"""One HTTP connection to the API that outlives its restarts: requests are repeated until they are answered.

Used by api_client.py alone, whose requests are all safe to repeat. Says on stderr when the API goes away and
when it is back; gives up after `first_seconds` before the first answer and `patience_seconds` after it.
"""

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import tenacity

from cli.documents import detail
from cli.errors import ApiRefusedError, CommandError
from cli.exit_codes import ExitCode

# httpx looks for click and, when it is there, loads a command line of its own with rich: half of our start. Told that
# there is none, it does without.
_click = sys.modules.get("click")
sys.modules["click"] = None  # type: ignore[assignment]  # what an import of a missing module looks up
import httpx  # noqa: E402 - after the line above

del sys.modules["click"]
if _click is not None:
    sys.modules["click"] = _click

#: Answers of something in front of the API, or of an API that is starting or stopping.
_AWAY_STATUSES = frozenset({429, 502, 503, 504})
#: Errors that no repetition cures.
_HOPELESS = (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.TooManyRedirects)


class _AwayError(Exception):
    """The API did not answer; str(error) is why, in a few words."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request, safe to repeat. `wait_seconds` is how long the API may hold the answer on purpose."""

    method: str
    path: str
    params: Mapping[str, str | int] | None = None
    document: Any = None
    content: bytes | None = None
    wait_seconds: float = 0


class Connection:
    """Sends requests; every one that is answered 2xx gives its answer, every other one a CommandError."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        say: Callable[[str], None],
        first_seconds: float,
        patience_seconds: float,
    ) -> None:
        self._url = url
        self._say = say
        self._first_seconds = first_seconds
        self._patience_seconds = patience_seconds
        self._answered = False
        self._away_since: float | None = None
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/vnd.api+json, */*;q=0.5"}
        # A proxy of the environment is for other machines: it could not even reach this one's loopback.
        self._http = httpx.Client(base_url=url, headers=headers, trust_env=not is_loopback(url))

    def close(self) -> None:
        """Close what is open; the connection is not used again."""
        self._http.close()

    def send(self, request: Request) -> httpx.Response:
        """The answer to a request. Raises ApiRefusedError for 4xx and 5xx, CommandError when nobody answers."""
        patience = self._patience_seconds if self._answered else self._first_seconds
        attempts = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_AwayError),
            wait=tenacity.wait_random_exponential(multiplier=0.2, max=3),
            stop=tenacity.stop_after_delay(patience),
            before_sleep=self._went_away,
            reraise=True,
        )
        try:
            answer = attempts(self._send_once, request)
        except _AwayError as error:
            raise CommandError(
                f"cannot reach the API at {self._url} ({error}); is it running, and is PODFORM_URL right?",
                ExitCode.UNREACHABLE,
            ) from error
        repeated = self._away_since is not None
        self._came_back()
        if answer.is_success:
            return answer
        raise ApiRefusedError(_refusal(request, answer), answer.status_code, repeated=repeated)

    def _send_once(self, request: Request) -> httpx.Response:
        headers = {"Content-Type": "application/vnd.api+json"} if request.document is not None else {}
        try:
            answer = self._http.request(
                request.method,
                request.path,
                params=request.params,
                json=request.document,
                content=request.content,
                headers=headers,
                timeout=httpx.Timeout(60, connect=5, read=request.wait_seconds + 60),
            )
        except _HOPELESS as error:
            raise CommandError(f"PODFORM_URL: {self._url!r} cannot be used ({error})") from error
        except httpx.TransportError as error:
            raise _AwayError(str(error) or type(error).__name__) from error
        if answer.status_code in _AWAY_STATUSES:
            raise _AwayError(f"it answers {answer.status_code}")
        return answer

    def _went_away(self, state: tenacity.RetryCallState) -> None:
        if self._away_since is not None or state.outcome is None:
            return
        self._away_since = time.monotonic()
        self._say(f"the API at {self._url} does not answer ({state.outcome.exception()}); waiting for it")

    def _came_back(self) -> None:
        self._answered = True
        if self._away_since is not None:
            self._say(f"the API answers again after {time.monotonic() - self._away_since:.0f} s")
            self._away_since = None


def is_loopback(url: str) -> bool:
    """Whether a URL names this machine itself."""
    try:
        host = httpx.URL(url).host
    except httpx.InvalidURL as error:
        raise CommandError(f"PODFORM_URL: {url!r} is no URL ({error}); write it like http://127.0.0.1:8080") from error
    return host in {"localhost", "::1"} or host.startswith("127.")


def _refusal(request: Request, answer: httpx.Response) -> str:
    """What to tell about an answer that is no success: the API's own words where it has some."""
    if answer.status_code == 401:
        return (
            "the API does not accept the token in PODFORM_TOKEN, or of the login (unknown or expired); give another one"
        )
    try:
        said = detail(answer.json())
    except ValueError:
        said = ""  # not our API's words: a proxy's page, say
    return said or f"the API answered {answer.status_code} to {request.method} {request.path}"

"""Opens the object store of the artifacts: a local directory, or an S3 bucket by URL. Called by api/app.py.

Endpoint, region and keys come from our settings or, where those are absent, from the usual AWS_* environment.
"""

import secrets
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import LocalStore, S3Store

from common.errors import BadInputError

ObjectStore = LocalStore | S3Store
SETTING = "PODFORM_ARTIFACTS_URL"


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Access:
    """How the bucket is reached; what is None comes from the environment (AWS_*) or from the machine's role."""

    url: str
    endpoint: str | None = None
    region: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = None
    path_style: bool = True


def local_store(directory: Path) -> LocalStore:
    """The store in a directory, which is made for this user alone."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    return LocalStore(directory)


def s3_store(access: S3Access, *, retry_seconds: int = 20) -> S3Store:
    """The store in a bucket; nothing is asked of it yet. BadInputError for a URL that names no bucket."""
    url = urlsplit(access.url)
    if url.scheme != "s3" or not url.hostname or url.query or url.username:
        raise BadInputError(SETTING, "must be s3://BUCKET or s3://BUCKET/PREFIX")
    given = {
        "endpoint": access.endpoint,
        "region": access.region,
        "access_key_id": access.access_key_id,
        "secret_access_key": access.secret_access_key,
    }
    try:
        return S3Store(
            url.hostname,
            prefix=url.path.strip("/") or None,
            virtual_hosted_style_request=not access.path_style,
            # an endpoint in plain HTTP is somebody's own decision
            client_options={
                "allow_http": (access.endpoint or "").startswith("http://"),
                "connect_timeout": timedelta(seconds=5),
                "timeout": timedelta(minutes=10),  # a plan of a gigabyte on a slow line
            },
            retry_config={"max_retries": 5, "retry_timeout": timedelta(seconds=retry_seconds)},
            **{name: value for name, value in given.items() if value is not None},  # type: ignore[arg-type]  # a TypedDict's own
        )
    except BaseError as error:
        raise BadInputError(SETTING, f"{access.url} cannot be opened with these settings") from error


async def check(store: S3Store, url: str) -> None:
    """Write, and remove again, one small object; BadInputError says in one line what is wrong."""
    key = f"checks/{secrets.token_hex(8)}"
    try:
        await store.put_async(key, b"podform", mode="create")
        await store.delete_async(key)
    except (PermissionDeniedError, UnauthenticatedError) as error:
        raise BadInputError(
            SETTING, f"{url}: these keys may not write and delete there, or there is no such bucket"
        ) from error
    except FileNotFoundError as error:
        raise BadInputError(SETTING, f"{url}: the bucket does not exist") from error
    except BaseError as error:
        # the original may hold what the server said of the request: the kind of trouble must do
        known = {
            "NoSuchBucket": "the bucket does not exist",
            "AccessDenied": "these keys may not write and delete there",
        }
        problem = next((text for word, text in known.items() if word in str(error)), "the store cannot be reached")
        raise BadInputError(SETTING, f"{url}: {problem}") from error

"""The step spec that travels to an executor in the environment variable `EphemeralJobData`.

Written by the API's services, read by the executor. JSON, base64; field names as Terrakube's executors
know them. It holds no variable value, token or key: those come in the answer to the claim.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from common import json_fields
from common.errors import BadInputError
from common.statuses import StepKind

VERSION = 1
#: Linux ends an environment string at 131,072 bytes; far below it nothing else can go wrong.
MAX_ENCODED_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class JobData:
    """What one attempt of one step needs before it may ask for more."""

    kind: StepKind
    organization_id: str
    workspace_id: str
    run_id: str
    run_number: int
    step_id: str
    attempt: int
    claim: str  # one-time code of this attempt; worthless once claimed
    api_url: str
    engine: str = "terraform"  # "terraform" or "tofu"
    engine_version: str = ""  # version or constraint; empty = whatever is there
    folder: str = ""  # sub-folder of the configuration that terraform runs in
    refresh: bool = True
    refresh_only: bool = False

    def encoded(self) -> str:
        """Base64 of the JSON, as it stands in `EphemeralJobData`; BadInputError above MAX_ENCODED_BYTES."""
        text = base64.b64encode(json.dumps(_to_json(self), separators=(",", ":")).encode()).decode()
        if len(text) > MAX_ENCODED_BYTES:
            raise BadInputError("EphemeralJobData", f"is {len(text)} bytes; at most {MAX_ENCODED_BYTES} are allowed")
        return text


def decode(text: str) -> JobData:
    """Job data out of `EphemeralJobData`; unknown fields are ignored, BadInputError names what is wrong."""
    try:
        document = json.loads(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError) as error:
        raise BadInputError("EphemeralJobData", "is not base64 of JSON") from error
    if not isinstance(document, Mapping):
        raise BadInputError("EphemeralJobData", "must be a JSON object")
    return _from_json(document)


def _to_json(data: JobData) -> dict[str, Any]:
    return {
        "version": VERSION,
        "type": data.kind.value,
        "organizationId": data.organization_id,
        "workspaceId": data.workspace_id,
        "jobId": str(data.run_number),
        "runId": data.run_id,
        "stepId": data.step_id,
        "attempt": data.attempt,
        "claim": data.claim,
        "apiUrl": data.api_url,
        "terraformVersion": data.engine_version,
        "tofu": data.engine == "tofu",
        "folder": data.folder,
        "refresh": data.refresh,
        "refreshOnly": data.refresh_only,
    }


def _from_json(document: Mapping[str, Any]) -> JobData:
    version = json_fields.required(document, "version", int)
    if version < 1:
        raise BadInputError("version", f"is {version}; the first one is 1")
    return JobData(
        kind=_kind(json_fields.required(document, "type", str)),
        organization_id=json_fields.required(document, "organizationId", str),
        workspace_id=json_fields.required(document, "workspaceId", str),
        run_id=json_fields.required(document, "runId", str),
        run_number=_number(json_fields.required(document, "jobId", str)),
        step_id=json_fields.required(document, "stepId", str),
        attempt=json_fields.required(document, "attempt", int),
        claim=json_fields.required(document, "claim", str),
        api_url=json_fields.required(document, "apiUrl", str),
        engine="tofu" if json_fields.optional(document, "tofu", default=False) else "terraform",
        engine_version=json_fields.optional(document, "terraformVersion", ""),
        folder=json_fields.optional(document, "folder", ""),
        refresh=json_fields.optional(document, "refresh", default=True),
        refresh_only=json_fields.optional(document, "refreshOnly", default=False),
    )


def _kind(word: str) -> StepKind:
    try:
        return StepKind(word)
    except ValueError as error:
        allowed = ", ".join(kind.value for kind in StepKind)
        raise BadInputError("type", f"is {word!r}; this executor knows {allowed}") from error


def _number(text: str) -> int:
    if not text.isdecimal():
        raise BadInputError("jobId", f"is {text!r}; it must be a whole number")
    return int(text)

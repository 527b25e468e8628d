"""The API's endpoints as methods, each safe to repeat after a lost answer.

Called by target.py, run.py, follow.py and the commands; speaks docs/reference/http-api.md. Decides nothing.
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from cli import documents
from cli.connection import Connection, Request
from cli.documents import Job, Named
from cli.errors import ApiRefusedError
from common.ids import new_id

_PAGE_SIZE = 100


@dataclass(frozen=True, slots=True)
class LogPart:
    """Bytes of a step's log; `following` is the offset behind them, `at_end` that none will follow."""

    data: bytes
    following: int
    at_end: bool


class ApiClient:
    """What the command line asks of the API. Every method raises CommandError when it is not done."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def organizations(self) -> list[Named]:
        """The organizations that the token may see."""
        return [documents.named(resource) for resource in self._list("/api/v1/organization")]

    def create_organization(self, name: str) -> Named:
        """A new organization; ApiRefusedError when the token may not or the name is not acceptable."""
        return self._create("/api/v1/organization", "organization", {"name": name})

    def workspace(self, organization: str, name: str) -> Named | None:
        """The workspace of that name, None when there is none."""
        params = {"filter[workspace]": f"name=={name}"}
        found = [documents.named(each) for each in self._list(_path(organization, "workspace"), params)]
        return next((workspace for workspace in found if workspace.name == name), None)

    def create_workspace(self, organization: str, attributes: dict[str, Any]) -> Named:
        """A new workspace with at least a `name`."""
        return self._create(_path(organization, "workspace"), "workspace", attributes)

    def upload_configuration(self, organization: str, workspace: str, archive: bytes) -> str:
        """Upload a configuration (tar.gz); its id."""
        path = _path(organization, "workspace", workspace, "configuration")
        configuration = new_id("configuration_version")
        self._send("POST", path, document=documents.document("configuration", {}, id=configuration))
        self._send("PUT", f"{path}/{configuration}/content", content=archive)
        return configuration

    def create_job(self, organization: str, workspace: str, attributes: dict[str, Any]) -> Job:
        """A new run; with the attribute `requestId` a repetition answers with the same run."""
        document = documents.document("job", attributes, workspace=workspace)
        return documents.job(self._send("POST", _path(organization, "job"), document=document).json())

    def job(self, organization: str, number: str) -> Job:
        """A run with its steps, by number or run id."""
        answer = self._send("GET", _path(organization, "job", number), params={"include": "step"})
        return documents.job(answer.json())

    def newest_job(self, organization: str, workspace: str) -> Job | None:
        """The newest run of a workspace, None when it has had none."""
        params = {"filter[job]": f"workspace.id=={workspace}", "page[size]": 1}
        resources = self._send("GET", _path(organization, "job"), params=params).json().get("data") or []
        return documents.job_of(resources[0]) if resources else None

    def plan(self, organization: str, number: str, *, raw: bool = False) -> dict[str, Any]:
        """What a run's plan changes, in terraform's words; `raw` is the whole file (an admin's token may)."""
        params = {"raw": "true"} if raw else {}
        answer: dict[str, Any] = self._send("GET", _path(organization, "job", number, "plan"), params=params).json()
        return answer

    def retry_job(self, organization: str, number: str, attributes: dict[str, Any]) -> Job:
        """A run again; with the attribute `requestId` a repetition answers with the same run."""
        path = _path(organization, "job", number, "retry")
        return documents.job(self._send("POST", path, document=documents.document("job", attributes)).json())

    def request_status(self, organization: str, number: str, status: str, *, force: bool = False) -> Job:
        """Ask for `approved`, `rejected` or `cancelled`; ApiRefusedError with status 409 when it is too late."""
        attributes: dict[str, Any] = {"status": status} | ({"force": True} if force else {})
        document = documents.document("job", attributes, id=number)
        return documents.job(self._send("PATCH", _path(organization, "job", number), document=document).json())

    def log(self, organization: str, number: str, step: str, *, offset: int, wait_seconds: int) -> LogPart:
        """The bytes of a step's log from an offset; waits that long for some when there are none yet."""
        path = f"/tfoutput/v1{_path(organization, 'job', number, 'step', step).removeprefix('/api/v1')}"
        params = {"offset": offset, "wait": wait_seconds}
        answer = self._connection.send(Request("GET", path, params=params, wait_seconds=wait_seconds))
        return LogPart(
            data=answer.content,
            following=int(answer.headers.get("X-Podform-Log-Next", offset + len(answer.content))),
            at_end=answer.headers.get("X-Podform-Log-End") == "true",
        )

    def state(self, organization: str, workspace: str) -> bytes | None:
        """The workspace's current state as it was written, None when there is none yet."""
        path = f"/tfstate/v1/organization/{quote(organization)}/workspace/{quote(workspace)}/state/terraform.tfstate"
        try:
            return self._send("GET", path).content
        except ApiRefusedError as error:
            if error.status == 404:
                return None
            raise

    def state_version(self, organization: str, workspace: str, version: str) -> bytes:
        """The state of one version as it was written."""
        place = f"organization/{quote(organization, safe='')}/workspace/{quote(workspace, safe='')}"
        return self._send("GET", f"/tfstate/v1/{place}/state/{quote(version, safe='')}.json").content

    def roll_back_state(self, organization: str, workspace: str, version: str) -> dict[str, Any]:
        """The content of a version made the newest again; repeated, it is still one new version."""
        document = documents.document("history", {"rollbackTo": version})
        path = _path(organization, "workspace", workspace, "history")
        return documents.flat(self._send("POST", path, document=document).json()["data"])

    def resources(self, organization: str, *parts: str, **params: str) -> list[dict[str, Any]]:
        """All of a list below the organization, each as its attributes with its id."""
        filters = {f"filter[{name}]": value for name, value in params.items()}
        return [documents.flat(each) for each in self._list(_path(organization, *parts), filters)]

    def newest(self, organization: str, kind: str, count: int, **filters: str) -> list[dict[str, Any]]:
        """The first `count` (at most 100) of a list that is newest first."""
        params: dict[str, str | int] = {f"filter[{name}]": value for name, value in filters.items()}
        params["page[size]"] = count
        answer = self._send("GET", _path(organization, kind), params=params).json()
        return [documents.flat(each) for each in answer.get("data") or []]

    def resource(self, organization: str, *parts: str) -> dict[str, Any]:
        """One resource below the organization: its attributes with its id."""
        return documents.flat(self._send("GET", _path(organization, *parts)).json()["data"])

    def add(
        self, organization: str, *parts: str, attributes: dict[str, Any], relationships: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """A new resource in the list at that path; repeated, it is still one."""
        document = documents.document(parts[-1], attributes, id=new_id(parts[-1]))
        document["data"] |= {"relationships": relationships} if relationships else {}
        return documents.flat(self._send("POST", _path(organization, *parts), document=document).json()["data"])

    def change(
        self, organization: str, *parts: str, attributes: dict[str, Any], relationships: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """A resource changed; the path ends with its kind and its id."""
        document = documents.document(parts[-2], attributes, id=parts[-1])
        document["data"] |= {"relationships": relationships} if relationships else {}
        return documents.flat(self._send("PATCH", _path(organization, *parts), document=document).json()["data"])

    def remove(self, organization: str, *parts: str, params: dict[str, str] | None = None) -> None:
        """A resource deleted; that it is gone already after a lost answer is as good."""
        self._delete(_path(organization, *parts), params)

    def doctor(self) -> tuple[dict[str, Any], str]:
        """The API's own report (an admin's token may) and the Date header that it came with."""
        answer = self._send("GET", "/doctor/v1")
        return answer.json(), answer.headers.get("Date", "")

    def engines(self) -> dict[str, Any]:
        """The engines that the API keeps and the mirrors it takes them from (an admin's token may)."""
        answer: dict[str, Any] = self._send("GET", "/engines/v1").json()
        return answer

    def tokens(self) -> list[dict[str, Any]]:
        """All tokens, without their texts (an admin's token may)."""
        found: list[dict[str, Any]] = []
        while True:
            params = {"page[number]": len(found) // _PAGE_SIZE + 1, "page[size]": _PAGE_SIZE}
            part = self._send("GET", "/pat/v1", params=params).json()
            found += part
            if len(part) < _PAGE_SIZE:
                return found

    def create_token(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """A new token with its text, which is answered this once."""
        answer: dict[str, Any] = self._send("POST", "/pat/v1", document=wanted).json()
        return answer

    def keys(self) -> dict[str, Any]:
        """The data keys and how far the sealing anew is (an admin's token may)."""
        known: dict[str, Any] = self._send("GET", "/keys/v1").json()
        return known

    def rotate_keys(self, active: str) -> dict[str, Any]:
        """A new data key in the place of the active one; when that is another one already, nothing is done."""
        known: dict[str, Any] = self._send("POST", "/keys/v1/rotate", document={"active": active}).json()
        return known

    def delete_token(self, token: str) -> None:
        """Revoke a token."""
        self._delete(f"/pat/v1/{quote(token, safe='')}")

    def _delete(self, path: str, params: dict[str, str] | None = None) -> None:
        try:
            self._send("DELETE", path, params=params)
        except ApiRefusedError as error:
            if not (error.repeated and error.status == 404):
                raise

    def _create(self, path: str, kind: str, attributes: dict[str, Any]) -> Named:
        document = documents.document(kind, attributes, id=new_id(kind))
        answer: dict[str, Any] = self._send("POST", path, document=document).json()
        return documents.named(answer["data"])

    def _list(self, path: str, params: dict[str, str] | None = None) -> list[dict[str, Any]]:
        """All resources of a list, page by page."""
        resources: list[dict[str, Any]] = []
        number, pages = 1, 1
        while number <= pages:
            paging = {"page[number]": number, "page[size]": _PAGE_SIZE}
            answer = self._send("GET", path, params=(params or {}) | paging).json()
            resources += answer.get("data") or []
            pages = ((answer.get("meta") or {}).get("page") or {}).get("totalPages", 1)
            number += 1
        return resources

    def _send(
        self, method: str, path: str, *, params: Any = None, document: Any = None, content: bytes | None = None
    ) -> httpx.Response:
        return self._connection.send(Request(method, path, params=params, document=document, content=content))


def _path(organization: str, *parts: str) -> str:
    return "/".join(["/api/v1/organization", *(quote(part, safe="") for part in (organization, *parts))])

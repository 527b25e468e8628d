"""Credentials for git at `…/vcs` (tokens) and `…/ssh` (keys). Decodes, calls services/git_credentials, encodes.

A token or private key is never answered and never part of an error.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field
from starlette.responses import Response

from api.domain.git_credentials import SshKey, Vcs, VcsType
from api.routes import jsonapi
from api.routes.jsonapi import Document, NullableText, Read, Text, Written
from api.routes.operations import Answer, Call, Operation
from api.routes.queries import PageQuery
from api.routes.terrakube import organization
from api.services import git_credentials

MAX_KEY_CHARACTERS = 20_000


class VcsAttributes(Written):
    """What can be written of a token."""

    name: Text = ""
    description: NullableText = ""
    vcs_type: Literal["GITHUB", "GITLAB", "BITBUCKET", "AZURE_DEVOPS", "PUBLIC"] = "PUBLIC"
    endpoint: NullableText = Field("", description="where its repositories are, when not at the type's own host")
    user_name: NullableText = Field("", description="user name beside the token; the type's own when missing")
    access_token: Text = Field("", description="never answered")

    def fields(self) -> dict[str, Any]:
        """The entity's fields."""
        given = super().fields()
        return given | ({"vcs_type": VcsType(self.vcs_type)} if "vcs_type" in given else {})


class SshAttributes(Written):
    """What can be written of a key."""

    name: Text = ""
    description: NullableText = ""
    ssh_type: Literal["rsa", "ed25519", "ecdsa"] | None = Field(None, description="read from the key when missing")
    private_key: str = Field("", max_length=MAX_KEY_CHARACTERS, description="never answered")
    known_hosts: str = Field("", max_length=MAX_KEY_CHARACTERS, description="as ssh-keyscan prints them")

    def fields(self) -> dict[str, Any]:
        """The entity's fields."""
        return {name: value for name, value in super().fields().items() if value is not None}


class NewVcs(Written):
    """The resource of a POST."""

    type: Literal["vcs"]
    id: Annotated[str, jsonapi.id_of("vcs")] | None = None
    attributes: VcsAttributes


class NewSsh(Written):
    """The resource of a POST."""

    type: Literal["ssh"]
    id: Annotated[str, jsonapi.id_of("ssh")] | None = None
    attributes: SshAttributes


class VcsRead(Read):
    """What is answered."""

    name: str
    description: str
    vcs_type: VcsType
    endpoint: str
    user_name: str
    created_at: datetime = Field(serialization_alias="createdDate")


class SshRead(Read):
    """What is answered."""

    name: str
    description: str
    ssh_type: str
    public_key: str
    known_hosts: str
    created_at: datetime = Field(serialization_alias="createdDate")


@dataclass(frozen=True, slots=True)
class _Face:
    """One of the two kinds: the same operations on another model."""

    word: str
    noun: str
    entity: Any
    read: type[Read]
    document: Any

    @property
    def path(self) -> str:
        return f"{organization.ONE}/{self.word}"

    def place(self, call: Call) -> tuple[str, str]:
        return call.organization, call.path(f"{self.word}_id")

    def encoded(self, credential: Any) -> dict[str, Any]:
        relationships = {"organization": jsonapi.related(organization.KIND, credential.organization_id)}
        path = f"{organization.PATH}/{credential.organization_id}/{self.word}/{credential.id}"
        return jsonapi.resource(self.word, credential.id, self.read.model_validate(credential), relationships, path)

    async def list(self, call: Call) -> Response:
        page = call.query(PageQuery).page
        found = await git_credentials.list_credentials(call.ports, call.principal, call.organization, self.entity, page)
        return jsonapi.many([self.encoded(item) for item in found.items], found.total, page)

    async def create(self, call: Call) -> Response:
        data = call.body(self.document).data
        created = await git_credentials.create_credential(
            call.ports, call.principal, call.organization, self.entity, data.attributes.fields(), data.id or ""
        )
        return jsonapi.one(self.encoded(created), 201)

    async def get(self, call: Call) -> Response:
        found = await git_credentials.get_credential(call.ports, call.principal, self.entity, self.place(call))
        return jsonapi.one(self.encoded(found))

    async def change(self, call: Call) -> Response:
        data = call.body(self.document).data
        place = self.place(call)
        jsonapi.check_same_id(data.id, place[1])
        changed = await git_credentials.change_credential(
            call.ports, call.principal, self.entity, place, data.attributes.fields()
        )
        return jsonapi.one(self.encoded(changed))

    async def delete(self, call: Call) -> Response:
        await git_credentials.delete_credential(call.ports, call.principal, self.entity, self.place(call))
        return jsonapi.nothing()

    def operations(self) -> tuple[Operation, ...]:
        one = f"{self.path}/{{{self.word}_id}}"
        answer = Answer(kind=self.word, attributes=self.read, description=f"The {self.noun}, without its secret")
        page = Answer(kind=self.word, attributes=self.read, many=True, description=f"A page of {self.noun}s")
        created = Answer(status=201, kind=self.word, attributes=self.read, description=f"The {self.noun}")
        gone = Answer(status=204, description="It is gone")
        return (
            Operation(
                method="GET",
                path=self.path,
                act=self.list,
                summary=f"List the organization's {self.noun}s for git",
                query=PageQuery,
                answer=page,
            ),
            Operation(
                method="POST",
                path=self.path,
                act=self.create,
                summary=f"Create a {self.noun} for git",
                body=self.document,
                answer=created,
            ),
            Operation(method="GET", path=one, act=self.get, summary=f"Read a {self.noun} for git", answer=answer),
            Operation(
                method="PATCH",
                path=one,
                act=self.change,
                summary=f"Change a {self.noun} for git",
                body=self.document,
                answer=answer,
            ),
            Operation(
                method="DELETE",
                path=one,
                act=self.delete,
                summary=f"Delete a {self.noun} that no workspace uses",
                answer=gone,
            ),
        )


OPERATIONS = (
    *_Face("vcs", "token", Vcs, VcsRead, Document[NewVcs]).operations(),
    *_Face("ssh", "key", SshKey, SshRead, Document[NewSsh]).operations(),
)

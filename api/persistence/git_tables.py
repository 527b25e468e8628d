"""The tables of credentials for git. Columns bear the names of the entities' fields (api/domain/git_credentials.py)."""

from sqlalchemy import Column, ForeignKey, String, Table, Text, UniqueConstraint

from api.domain.git_credentials import VcsType
from api.persistence.column_types import EnumText, SealedText, UtcTime
from api.persistence.tables import metadata


def _common() -> tuple[Column[str], ...]:
    return (
        Column("id", String(40), primary_key=True),
        Column("organization_id", String(40), ForeignKey("organizations.id", ondelete="CASCADE"), nullable=False),
        Column("name", String(255), nullable=False),
        Column("description", Text, nullable=False),
    )


vcs = Table(
    "vcs",
    metadata,
    *_common(),
    Column("vcs_type", EnumText(VcsType), nullable=False),
    Column("endpoint", Text, nullable=False),
    Column("user_name", Text, nullable=False),
    Column("access_token", SealedText("vcs.access_token"), nullable=False),
    Column("created_at", UtcTime, nullable=False),
    UniqueConstraint("organization_id", "name"),
)

ssh_keys = Table(
    "ssh_keys",
    metadata,
    *_common(),
    Column("ssh_type", String(20), nullable=False),
    Column("private_key", SealedText("ssh_keys.private_key"), nullable=False),
    Column("public_key", Text, nullable=False),
    Column("known_hosts", Text, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    UniqueConstraint("organization_id", "name"),
)

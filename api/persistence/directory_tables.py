"""The table of directories. Read by queries.py; workspaces (tables.py) refer to it."""

from sqlalchemy import Column, ForeignKey, Index, String, Table, Text, UniqueConstraint, text

from api.persistence.column_types import UtcTime
from api.persistence.tables import metadata

_TOP = "parent_id IS NULL"

directories = Table(
    "directories",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("organization_id", String(40), ForeignKey("organizations.id", ondelete="CASCADE"), nullable=False),
    Column("parent_id", String(40), ForeignKey("directories.id"), nullable=True),
    Column("name", String(255), nullable=False),
    Column("description", Text, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    # a NULL parent equals no other one: the top needs an index of its own
    UniqueConstraint("parent_id", "name"),
    Index(
        "uq_directories_at_the_top",
        "organization_id",
        "name",
        unique=True,
        sqlite_where=text(_TOP),
        postgresql_where=text(_TOP),
    ),
)

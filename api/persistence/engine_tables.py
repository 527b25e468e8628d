"""The table of engine archives (api/domain/engine_archive.py); their bytes lie in the artifact store."""

from sqlalchemy import BigInteger, Column, String, Table

from api.persistence.column_types import UtcTime
from api.persistence.tables import metadata

engine_archives = Table(
    "engine_archives",
    metadata,
    Column("id", String(200), primary_key=True),
    Column("name", String(20), nullable=False),
    Column("version", String(100), nullable=False),
    Column("platform", String(50), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("created_at", UtcTime, nullable=False),
)

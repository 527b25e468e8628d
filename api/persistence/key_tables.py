"""The table of data keys, beside tables.py: each is wrapped by the master key and seals contents."""

from sqlalchemy import Column, LargeBinary, String, Table

from api.persistence.column_types import UtcTime
from api.persistence.tables import metadata

#: `kind`: "data" (seals what is written), "older" (from before data keys), "codes" (claim codes and tokens).
data_keys = Table(
    "data_keys",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("kind", String(10), nullable=False),
    Column("wrapped", LargeBinary, nullable=False),  # empty once retired
    Column("created_at", UtcTime, nullable=False),
    Column("retired_at", UtcTime, nullable=True),
)

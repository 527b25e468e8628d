"""Name the node that started an attempt; keep what one node holds among several."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "leases",
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("holder", sa.String(length=40), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )
    op.add_column("attempts", sa.Column("node", sa.String(length=40), nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("attempts", "node")
    op.drop_table("leases")

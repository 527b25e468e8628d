"""Put workspaces into pools."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("workspaces", sa.Column("pool", sa.String(length=63), nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("workspaces", "pool")

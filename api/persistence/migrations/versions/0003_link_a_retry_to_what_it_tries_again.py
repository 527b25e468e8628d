"""Link a retry to what it tries again."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("runs", sa.Column("retry_of", sa.BigInteger(), nullable=True))
    op.add_column("runs", sa.Column("plan_run_id", sa.String(length=40), nullable=False, server_default=""))
    op.add_column("steps", sa.Column("taken_over_from", sa.String(length=63), nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("steps", "taken_over_from")
    op.drop_column("runs", "plan_run_id")
    op.drop_column("runs", "retry_of")

"""Keep a seal to know the key by."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "seal_checks",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("seal", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_seal_checks")),
    )


def downgrade() -> None:
    op.drop_table("seal_checks")

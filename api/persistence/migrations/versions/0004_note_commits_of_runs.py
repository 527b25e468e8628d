"""Note the commits that runs check out."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_TEXTS = ("source", "branch", "commit_author", "commit_message")


def upgrade() -> None:
    op.add_column(
        "configuration_versions", sa.Column("run_id", sa.String(length=40), nullable=False, server_default="")
    )
    for name in _TEXTS:
        op.add_column("runs", sa.Column(name, sa.Text(), nullable=False, server_default=""))
    op.add_column("runs", sa.Column("commit_id", sa.String(length=64), nullable=False, server_default=""))


def downgrade() -> None:
    for name in (*_TEXTS, "commit_id"):
        op.drop_column("runs", name)
    op.drop_column("configuration_versions", "run_id")

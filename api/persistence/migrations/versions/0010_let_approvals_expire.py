"""Let approvals expire; let a workspace have timeouts of its own."""

import sqlalchemy as sa
from alembic import op

from api.persistence.column_types import UtcTime

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_WAITING = sa.text("status = 'waiting_approval'")
_OF_WORKSPACES = ("step_timeout_seconds", "idle_timeout_seconds", "approval_expiry_seconds")


def upgrade() -> None:
    for name in _OF_WORKSPACES:
        op.add_column("workspaces", sa.Column(name, sa.Integer(), nullable=True))
    op.add_column("runs", sa.Column("approval_expiry_seconds", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("steps", sa.Column("expires_at", UtcTime(), nullable=True))
    op.create_index("ix_steps_to_expire", "steps", ["expires_at"], sqlite_where=_WAITING, postgresql_where=_WAITING)


def downgrade() -> None:
    op.drop_index("ix_steps_to_expire", "steps")
    op.drop_column("steps", "expires_at")
    op.drop_column("runs", "approval_expiry_seconds")
    for name in _OF_WORKSPACES:
        op.drop_column("workspaces", name)

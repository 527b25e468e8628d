"""Find what waits and what is canceled without reading what has ended."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_UNFINISHED = (
    "status NOT IN ('applied', 'canceled', 'discarded', 'errored', 'force_canceled', 'planned_and_finished')"
)
_CANCELED = sa.text(f"cancel IS NOT NULL AND {_UNFINISHED}")
_WAITING = sa.text("status = 'pending'")


def upgrade() -> None:
    op.create_index("ix_runs_canceled", "runs", ["id"], sqlite_where=_CANCELED, postgresql_where=_CANCELED)
    op.create_index(
        "ix_runs_waiting",
        "runs",
        ["workspace_id", "plan_only", "number"],
        sqlite_where=_WAITING,
        postgresql_where=_WAITING,
    )


def downgrade() -> None:
    op.drop_index("ix_runs_waiting", "runs")
    op.drop_index("ix_runs_canceled", "runs")

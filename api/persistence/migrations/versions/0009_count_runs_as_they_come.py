"""Count the runs of each workspace as they come, so that a page of a list need not count them all."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "run_totals",
        sa.Column("workspace_id", sa.String(40), nullable=False),
        sa.Column("organization_id", sa.String(40), nullable=False),
        sa.Column("runs", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name="fk_run_totals_workspace_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("workspace_id", name="pk_run_totals"),
    )
    op.create_index("ix_run_totals_organization_id_runs", "run_totals", ["organization_id", "runs"])
    op.execute(
        "INSERT INTO run_totals (workspace_id, organization_id, runs) "
        "SELECT workspace_id, MIN(organization_id), COUNT(*) FROM runs GROUP BY workspace_id"
    )


def downgrade() -> None:
    op.drop_table("run_totals")

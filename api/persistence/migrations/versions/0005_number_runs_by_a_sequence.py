"""Number runs by a sequence where the database has them: a counter's row would make all runs wait for each other."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("CREATE SEQUENCE run_numbers")
        op.execute("SELECT setval('run_numbers', (SELECT coalesce(max(number), 0) + 1 FROM runs), false)")


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP SEQUENCE run_numbers")

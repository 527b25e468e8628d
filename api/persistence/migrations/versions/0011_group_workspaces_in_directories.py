"""Group workspaces in directories."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_TOP = sa.text("parent_id IS NULL")


def upgrade() -> None:
    op.create_table(
        "directories",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("organization_id", sa.String(length=40), nullable=False),
        sa.Column("parent_id", sa.String(length=40), nullable=True),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name="fk_directories_organization_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["parent_id"], ["directories.id"], name="fk_directories_parent_id"),
        sa.PrimaryKeyConstraint("id", name="pk_directories"),
        sa.UniqueConstraint("parent_id", "name", name="uq_directories_parent_id_name"),
    )
    op.create_index(
        "uq_directories_at_the_top",
        "directories",
        ["organization_id", "name"],
        unique=True,
        sqlite_where=_TOP,
        postgresql_where=_TOP,
    )
    # in the column itself, for SQLite adds no constraint to a table that is there
    op.execute(
        "ALTER TABLE workspaces ADD COLUMN directory_id VARCHAR(40) "
        "CONSTRAINT fk_workspaces_directory_id REFERENCES directories (id)"
    )
    op.create_index("ix_workspaces_directory_id", "workspaces", ["directory_id"])


def downgrade() -> None:
    op.drop_index("ix_workspaces_directory_id", "workspaces")
    with op.batch_alter_table("workspaces") as batch:
        batch.drop_column("directory_id")
    op.drop_table("directories")

"""Keep credentials for git."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def _table(name: str, *columns: "sa.Column[object]") -> None:
    op.create_table(
        name,
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("organization_id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        *columns,
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{name}")),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f(f"fk_{name}_organization_id"),
            ondelete="CASCADE",
        ),
        sa.UniqueConstraint("organization_id", "name", name=op.f(f"uq_{name}_organization_id_name")),
    )


def upgrade() -> None:
    _table(
        "vcs",
        sa.Column("vcs_type", sa.String(length=40), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("user_name", sa.Text(), nullable=False),
        sa.Column("access_token", sa.LargeBinary(), nullable=False),
    )
    _table(
        "ssh_keys",
        sa.Column("ssh_type", sa.String(length=20), nullable=False),
        sa.Column("private_key", sa.LargeBinary(), nullable=False),
        sa.Column("public_key", sa.Text(), nullable=False),
        sa.Column("known_hosts", sa.Text(), nullable=False),
    )
    for name in ("vcs_id", "ssh_id"):
        op.add_column("workspaces", sa.Column(name, sa.String(length=40), nullable=False, server_default=""))


def downgrade() -> None:
    for name in ("vcs_id", "ssh_id"):
        op.drop_column("workspaces", name)
    op.drop_table("ssh_keys")
    op.drop_table("vcs")

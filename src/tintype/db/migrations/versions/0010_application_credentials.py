"""Application credentials, and what else identity clients store of users."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    """Add the table and the columns; older code works with both, and logs nobody in by a credential."""
    op.add_column("users", sa.Column("description", sa.Text))
    op.add_column("users", sa.Column("email", sa.String(255)))
    op.add_column("users", sa.Column("default_project_id", sa.String(64)))
    op.create_table(
        "application_credentials",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("user_id", sa.String(64), nullable=False),
        sa.Column("project_id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("description", sa.Text),
        sa.Column("secret_hash", sa.String(255), nullable=False),
        sa.Column("roles", sa.Text, nullable=False),
        sa.Column("unrestricted", sa.Boolean, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_application_credentials"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_application_credentials_user_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name="fk_application_credentials_project_id", ondelete="CASCADE"
        ),
    )
    op.create_index(
        "ix_application_credentials_user_id_name",
        "application_credentials",
        ["user_id", "name"],
        unique=True,
    )

"""Limits of projects, over those of the settings."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    """Add the column."""
    op.add_column("projects", sa.Column("limits", sa.Text, nullable=False, server_default="{}"))

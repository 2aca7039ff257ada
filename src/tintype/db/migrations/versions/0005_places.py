"""Where bytes are that were taken over from another service."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    """Add the column."""
    op.add_column("blobs", sa.Column("place", sa.Text))

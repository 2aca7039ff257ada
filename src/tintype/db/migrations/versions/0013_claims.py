"""Claims: which process deletes the bytes of a condemned blob."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    """Add the column; older code claims blobs by their leases alone."""
    op.add_column("blobs", sa.Column("claimed_by", sa.String(36)))

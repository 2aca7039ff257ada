"""What was taken over from another service, and where its bytes are."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    """Add the column and the table."""
    op.add_column("blobs", sa.Column("place", sa.Text))
    op.create_table(
        "takeovers",
        sa.Column("image_id", sa.String(36), nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("members", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("image_id", name="pk_takeovers"),
    )

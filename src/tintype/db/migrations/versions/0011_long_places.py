"""Places of up to 8,192 characters: PostgreSQL's B-trees take 2,704 bytes."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    """Replace the index of places with a hash; older code works with either."""
    if op.get_bind().dialect.name == "postgresql":
        op.drop_index("ix_blobs_place", "blobs")
        there = sa.text("place IS NOT NULL")
        op.create_index("ix_blobs_place", "blobs", ["place"], postgresql_using="hash", postgresql_where=there)

"""Shorter ways to an image: by its id, and by a name that many have."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    """Add a hash of ids, and replace the index of names; older code needs neither by name."""
    if op.get_bind().dialect.name == "postgresql":
        op.create_index("ix_images_id", "images", ["id"], postgresql_using="hash")
    op.create_index("ix_images_name_visibility_owner", "images", ["name", "visibility", "owner"])
    op.drop_index("ix_images_name", "images")

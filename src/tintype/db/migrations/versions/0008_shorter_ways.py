"""Shorter ways to an image: by its id, and by a name that many have."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    """Add a hash of ids, and replace the index of names; older code works with either set of indexes.

    What takes the strongest lock comes first: a build would let others lock rows, whose updates then wait for
    us while the drop waits for them.
    """
    op.drop_index("ix_images_name", "images")
    if op.get_bind().dialect.name == "postgresql":
        op.create_index("ix_images_id", "images", ["id"], postgresql_using="hash")
    op.create_index("ix_images_name_visibility_owner", "images", ["name", "visibility", "owner"])

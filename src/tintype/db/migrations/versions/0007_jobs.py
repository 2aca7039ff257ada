"""Jobs, imports, metadata of locations, and what nodes keep in front of slow stores."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None
phase = "expand"

# Whoever waits for work is told of it; on SQLite, where nothing can tell, it looks now and then.
POSTGRESQL = (
    """
    CREATE FUNCTION job_waits() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_notify('tintype_jobs', '');
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER job_waits AFTER INSERT OR UPDATE OF state ON jobs FOR EACH ROW
    WHEN (NEW.state = 'pending') EXECUTE FUNCTION job_waits()
    """,
)


def upgrade() -> None:
    """Add the columns and the tables."""
    for name in ("importing_to", "import_failed"):
        op.add_column("images", sa.Column(name, sa.Text))
    op.add_column("images", sa.Column("import_task", sa.String(36)))
    op.add_column("blobs", sa.Column("metadata", sa.Text))
    there = sa.text("place IS NOT NULL")
    op.create_index("ix_blobs_place", "blobs", ["place"], sqlite_where=there, postgresql_where=there)
    _create_jobs()
    op.create_table(
        "cached_images",
        sa.Column("node", sa.String(255), nullable=False),
        sa.Column("image_id", sa.String(36), nullable=False),
        sa.Column("digest", sa.String(160), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("hits", sa.BigInteger, nullable=False),
        sa.Column("accessed_at", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("node", "image_id", name="pk_cached_images"),
    )
    op.create_index("ix_cached_images_image_id", "cached_images", ["image_id"])
    if op.get_bind().dialect.name == "postgresql":
        for statement in POSTGRESQL:
            op.execute(statement)


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("type", sa.String(30), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("image_id", sa.String(36)),
        sa.Column("owner", sa.String(255)),
        sa.Column("user_id", sa.String(255)),
        sa.Column("request_id", sa.String(64)),
        sa.Column("input", sa.Text, nullable=False),
        sa.Column("result", sa.Text),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("caller", sa.Text, nullable=False),
        sa.Column("secret", sa.Text),
        sa.Column("bytes_done", sa.BigInteger, nullable=False),
        sa.Column("bytes_total", sa.BigInteger),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("not_before", sa.BigInteger, nullable=False),
        sa.Column("holder", sa.String(36)),
        sa.Column("held_until", sa.BigInteger, nullable=False),
        sa.Column("cancelled", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
    )
    op.create_index("ix_jobs_expires_at", "jobs", ["expires_at"])
    op.create_index("ix_jobs_image_id_created_at", "jobs", ["image_id", "created_at"])
    op.create_index("ix_jobs_created_at_id", "jobs", ["created_at", "id"])
    live = sa.text("state IN ('pending', 'processing')")
    op.create_index("ix_jobs_live", "jobs", ["created_at"], sqlite_where=live, postgresql_where=live)
    op.create_index(
        "uq_jobs_image_id", "jobs", ["image_id"], unique=True, sqlite_where=live, postgresql_where=live
    )

"""The initial schema.

It has the number 0013 because databases with the schema of that number, which thirteen steps of development
led to, have exactly these tables: they are up to date. schema.py refuses databases with earlier numbers.

The rules of an image's row are SQL alone, so that any tool may change one. Triggers keep the tables of
properties and tags, by which lists are filtered, and refuse the ids of deleted images. On SQLite, the key
of a property value is its first 256 characters; db/listing.py compares longer ones whole. Properties and
tags are kept as JSON without spaces or needless escapes, whatever wrote them, because lists search that text.
What is not a JSON object or array of strings is refused.

Constraints and indexes are named by the convention of db/tables.py, which must therefore stay as it is.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = None
branch_labels = None
depends_on = None
phase = "expand"

HAS_CHECKSUM = sa.text("checksum IS NOT NULL")
HAS_HASH = sa.text("os_hash_value IS NOT NULL")
HAS_PLACE = sa.text("place IS NOT NULL")
IS_LIVE = sa.text("state IN ('pending', 'processing')")

PROPERTIES = """
    INSERT OR IGNORE INTO image_properties (image_id, name, value_key)
        SELECT NEW.id, key, CASE WHEN type = 'text' AND typeof(key) = 'text' THEN substr(value, 1, 256)
            ELSE RAISE(ABORT, 'images.properties is a JSON object of strings') END
        FROM json_each(NEW.properties);
"""
TAGS = """
    INSERT OR IGNORE INTO image_tags (image_id, tag)
        SELECT NEW.id, CASE WHEN type = 'text' AND typeof(key) = 'integer' THEN value
            ELSE RAISE(ABORT, 'images.tags is a JSON array of strings') END
        FROM json_each(NEW.tags);
"""
NOT_NORMAL = r"""
    NEW.properties <> json(NEW.properties) OR instr(NEW.properties, '\u') OR instr(NEW.properties, '\/')
    OR NEW.tags <> json(NEW.tags) OR instr(NEW.tags, '\u') OR instr(NEW.tags, '\/')
"""
NORMALIZE = """
    UPDATE images SET
        properties = (SELECT json_group_object(key, value) FROM json_each(NEW.properties)),
        tags = (SELECT json_group_array(value) FROM json_each(NEW.tags))
    WHERE id = NEW.id;
"""
SQLITE = (
    """
    CREATE TRIGGER image_insert BEFORE INSERT ON images
    WHEN EXISTS (SELECT 1 FROM image_tombstones WHERE id = NEW.id)
    BEGIN SELECT RAISE(ABORT, 'the id was in use'); END
    """,
    # REPLACE takes a row away without running the triggers of its deletion.
    """
    CREATE TRIGGER image_replaced BEFORE INSERT ON images
    WHEN EXISTS (SELECT 1 FROM images WHERE id = NEW.id) BEGIN
        DELETE FROM image_properties WHERE image_id = NEW.id;
        DELETE FROM image_tags WHERE image_id = NEW.id;
    END
    """,
    f"CREATE TRIGGER image_inserted AFTER INSERT ON images BEGIN {PROPERTIES} {TAGS} END",
    f"""
    CREATE TRIGGER image_properties_updated AFTER UPDATE OF properties ON images
    WHEN NEW.properties <> OLD.properties BEGIN
        DELETE FROM image_properties WHERE image_id = NEW.id; {PROPERTIES}
    END
    """,
    f"""
    CREATE TRIGGER image_tags_updated AFTER UPDATE OF tags ON images
    WHEN NEW.tags <> OLD.tags BEGIN
        DELETE FROM image_tags WHERE image_id = NEW.id; {TAGS}
    END
    """,
    f"""
    CREATE TRIGGER image_text_inserted AFTER INSERT ON images
    WHEN {NOT_NORMAL} BEGIN {NORMALIZE} END
    """,
    f"""
    CREATE TRIGGER image_text_updated AFTER UPDATE OF properties, tags ON images
    WHEN (NEW.properties <> OLD.properties OR NEW.tags <> OLD.tags) AND ({NOT_NORMAL})
    BEGIN {NORMALIZE} END
    """,
    # A tool may not have foreign keys switched on, which SQLite leaves to each connection.
    """
    CREATE TRIGGER image_deleted AFTER DELETE ON images BEGIN
        DELETE FROM image_properties WHERE image_id = OLD.id;
        DELETE FROM image_tags WHERE image_id = OLD.id;
        DELETE FROM image_members WHERE image_id = OLD.id;
        DELETE FROM uploads WHERE image_id = OLD.id;
    END
    """,
)
POSTGRESQL = (
    """
    CREATE FUNCTION image_insert() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF EXISTS (SELECT 1 FROM image_tombstones WHERE id = NEW.id) THEN
            RAISE unique_violation USING MESSAGE = 'the id was in use';
        END IF;
        RETURN NULL;
    END $$
    """,
    """
    CREATE FUNCTION image_index() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'INSERT' OR NEW.properties <> OLD.properties THEN
            IF TG_OP = 'UPDATE' THEN
                DELETE FROM image_properties WHERE image_id = NEW.id;
            END IF;
            IF NEW.properties <> '{}' THEN
                INSERT INTO image_properties (image_id, name, value_key)
                    SELECT NEW.id, key, CASE WHEN length(value) <= 255 THEN value
                        ELSE 'sha256:' || encode(sha256(convert_to(value, 'UTF8')), 'hex') END
                    FROM json_each_text(NEW.properties::json);
            END IF;
        END IF;
        IF TG_OP = 'INSERT' OR NEW.tags <> OLD.tags THEN
            IF TG_OP = 'UPDATE' THEN
                DELETE FROM image_tags WHERE image_id = NEW.id;
            END IF;
            IF NEW.tags <> '[]' THEN
                INSERT INTO image_tags (image_id, tag)
                    SELECT NEW.id, value FROM json_array_elements_text(NEW.tags::json);
            END IF;
        END IF;
        RETURN NULL;
    END $$
    """,
    # After the insert, which waits for a transaction that deletes the same id: then its tombstone is seen.
    "CREATE TRIGGER image_insert AFTER INSERT ON images FOR EACH ROW EXECUTE FUNCTION image_insert()",
    "CREATE TRIGGER image_inserted AFTER INSERT ON images FOR EACH ROW EXECUTE FUNCTION image_index()",
    """
    CREATE TRIGGER image_updated AFTER UPDATE OF properties, tags ON images FOR EACH ROW
    WHEN (NEW.properties <> OLD.properties OR NEW.tags <> OLD.tags) EXECUTE FUNCTION image_index()
    """,
    # Workers wait for this notification; on SQLite, which has none, they poll.
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
    """Create the tables, then the triggers."""
    _create_images()
    _create_jobs()
    _create_metadefs()
    _create_identity()
    for statement in SQLITE if op.get_bind().dialect.name == "sqlite" else POSTGRESQL:
        op.execute(statement)


def _create_images() -> None:
    """Images, their bytes and uploads."""
    op.create_table(
        "blobs",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("store", sa.String(64), nullable=False),
        sa.Column("image_id", sa.String(36), index=True),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("size", sa.BigInteger),
        sa.Column("lease_expires_at", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("digests", sa.Text),
        sa.Column("place", sa.Text),
        sa.Column("metadata", sa.Text),
        sa.Column("claimed_by", sa.String(36)),
        sa.Index(None, "place", postgresql_using="hash", sqlite_where=HAS_PLACE, postgresql_where=HAS_PLACE),
        sa.Index(None, "state", "lease_expires_at"),
    )
    op.create_table(
        "cached_images",
        sa.Column("node", sa.String(255), primary_key=True),
        sa.Column("image_id", sa.String(36), primary_key=True, index=True),
        sa.Column("digest", sa.String(160), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("hits", sa.BigInteger, nullable=False),
        sa.Column("accessed_at", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "image_tombstones",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("deleted_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "images",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("name", sa.String(255)),
        sa.Column("owner", sa.String(255)),
        sa.Column("status", sa.String(30), nullable=False),
        sa.Column("visibility", sa.String(20), nullable=False),
        sa.Column("protected", sa.Boolean, nullable=False),
        sa.Column("os_hidden", sa.Boolean, nullable=False),
        sa.Column("disk_format", sa.String(20)),
        sa.Column("container_format", sa.String(20)),
        sa.Column("min_disk", sa.Integer, nullable=False),
        sa.Column("min_ram", sa.Integer, nullable=False),
        sa.Column("size", sa.BigInteger),
        sa.Column("virtual_size", sa.BigInteger),
        sa.Column("checksum", sa.String(32)),
        sa.Column("os_hash_algo", sa.String(64)),
        sa.Column("os_hash_value", sa.String(128)),
        sa.Column("properties", sa.Text, nullable=False),
        sa.Column("tags", sa.Text, nullable=False),
        sa.Column("stores", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("failure", sa.Text),
        sa.Column("importing_to", sa.Text),
        sa.Column("import_failed", sa.Text),
        sa.Column("import_task", sa.String(36)),
        sa.Index(None, "checksum", sqlite_where=HAS_CHECKSUM, postgresql_where=HAS_CHECKSUM),
        sa.Index(None, "created_at", "id"),
        sa.Index(None, "name", "visibility", "owner"),
        sa.Index(None, "os_hash_value", sqlite_where=HAS_HASH, postgresql_where=HAS_HASH),
        sa.Index(None, "owner", "created_at", "id"),
        sa.Index(None, "visibility", "created_at", "id"),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.create_index("ix_images_id", "images", ["id"], postgresql_using="hash")
    op.create_table(
        "takeovers",
        sa.Column("image_id", sa.String(36), primary_key=True),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("members", sa.Text, nullable=False),
    )
    op.create_table(
        "image_members",
        _parent("image_id", "images.id", 36, primary_key=True),
        sa.Column("member_id", sa.String(255), primary_key=True),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Index(None, "member_id", "status", "image_id"),
    )
    op.create_table(
        "image_properties",
        _parent("image_id", "images.id", 36, primary_key=True),
        sa.Column("name", sa.String(255), primary_key=True),
        sa.Column("value_key", sa.String(255), nullable=False),
        sa.Index(None, "name", "value_key", "image_id"),
    )
    op.create_table(
        "image_tags",
        _parent("image_id", "images.id", 36, primary_key=True),
        sa.Column("tag", sa.String(255), primary_key=True),
        sa.Index(None, "tag", "image_id"),
    )
    op.create_table(
        "uploads",
        sa.Column("id", sa.String(36), primary_key=True),
        _parent("image_id", "images.id", 36, nullable=False, index=True),
        sa.Column("length", sa.BigInteger, nullable=False),
        sa.Column("offset", sa.BigInteger, nullable=False),
        sa.Column("metadata", sa.Text, nullable=False),
        sa.Column("expected", sa.Text, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False, index=True),
        sa.Column("holder", sa.String(36)),
        sa.Column("held_until", sa.BigInteger, nullable=False),
        sa.Column("wanted", sa.Boolean, nullable=False),
    )


def _create_jobs() -> None:
    """Jobs."""
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(36), primary_key=True),
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
        sa.Column("expires_at", sa.BigInteger, index=True),
        sa.Column("lane", sa.String(10), nullable=False, server_default="web"),
        sa.Index(None, "created_at", "id"),
        sa.Index(None, "image_id", "created_at"),
        sa.Index("ix_jobs_live", "created_at", sqlite_where=IS_LIVE, postgresql_where=IS_LIVE),
        sa.Index("uq_jobs_image_id", "image_id", unique=True, sqlite_where=IS_LIVE, postgresql_where=IS_LIVE),
    )


def _create_metadefs() -> None:
    """Metadata definitions."""
    op.create_table(
        "metadef_namespaces",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("namespace", sa.String(80), nullable=False, unique=True),
        sa.Column("display_name", sa.String(80)),
        sa.Column("description", sa.Text),
        sa.Column("visibility", sa.String(20), nullable=False),
        sa.Column("protected", sa.Boolean, nullable=False),
        sa.Column("owner", sa.String(255), index=True),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("properties", sa.Text, nullable=False),
        sa.Column("objects", sa.Text, nullable=False),
        sa.Column("tags", sa.Text, nullable=False),
        sa.Column("associations", sa.Text, nullable=False),
        sa.Column("loaded", sa.String(64)),
    )
    op.create_table(
        "metadef_resource_types",
        sa.Column("name", sa.String(80), primary_key=True),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "metadef_takeovers",
        sa.Column("namespace", sa.String(80), primary_key=True),
        sa.Column("digest", sa.String(64), nullable=False),
    )
    op.create_table(
        "metadef_associations",
        _parent("namespace_id", "metadef_namespaces.id", 36, primary_key=True),
        sa.Column("resource_type", sa.String(80), primary_key=True),
        sa.Index(None, "resource_type", "namespace_id"),
    )


def _create_identity() -> None:
    """Users, projects and their credentials; secrets."""
    op.create_table(
        "failed_logins",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("not_before", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "projects",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("name", sa.String(255), nullable=False, unique=True),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("limits", sa.Text, nullable=False, server_default="{}"),
    )
    op.create_table(
        "revoked_tokens",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("expires_at", sa.BigInteger, nullable=False, index=True),
    )
    op.create_table(
        "secrets",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("name", sa.String(255), nullable=False, unique=True),
        sa.Column("password_hash", sa.String(255), nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("tokens_valid_from", sa.BigInteger, nullable=False),
        sa.Column("description", sa.Text),
        sa.Column("email", sa.String(255)),
        sa.Column("default_project_id", sa.String(64)),
    )
    op.create_table(
        "application_credentials",
        sa.Column("id", sa.String(64), primary_key=True),
        _parent("user_id", "users.id", 64, nullable=False),
        _parent("project_id", "projects.id", 64, nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("description", sa.Text),
        sa.Column("secret_hash", sa.String(255), nullable=False),
        sa.Column("roles", sa.Text, nullable=False),
        sa.Column("unrestricted", sa.Boolean, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sa.Index(None, "user_id", "name", unique=True),
    )
    op.create_table(
        "grants",
        _parent("user_id", "users.id", 64, primary_key=True),
        _parent("project_id", "projects.id", 64, primary_key=True),
        sa.Column("role", sa.String(64), primary_key=True),
    )


def _parent(name: str, target: str, length: int, **options: Any) -> sa.Column[str]:
    """Return a column with the id of another row, with which its own row is deleted."""
    return sa.Column(name, sa.String(length), sa.ForeignKey(target, ondelete="CASCADE"), **options)

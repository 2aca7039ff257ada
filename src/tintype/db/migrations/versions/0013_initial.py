"""The initial schema.

It has the number 0013 because databases with the schema of that number, which thirteen steps of development
led to, have exactly these tables: they are up to date. schema.py refuses databases with earlier numbers.

The rules of an image's row are SQL alone, so that any tool may change one. Triggers keep the tables of
properties and tags, by which lists are filtered, and refuse the ids of deleted images. On SQLite, the key
of a property value is its first 256 characters; db/listing.py compares longer ones whole. Properties and
tags are kept as JSON without spaces or needless escapes, whatever wrote them, because lists search that text.
What is not a JSON object or array of strings is refused.
"""

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
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("store", sa.String(64), nullable=False),
        sa.Column("image_id", sa.String(36)),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("size", sa.BigInteger),
        sa.Column("lease_expires_at", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("digests", sa.Text),
        sa.Column("place", sa.Text),
        sa.Column("metadata", sa.Text),
        sa.Column("claimed_by", sa.String(36)),
        sa.PrimaryKeyConstraint("id", name="pk_blobs"),
    )
    op.create_index("ix_blobs_image_id", "blobs", ["image_id"])
    op.create_index(
        "ix_blobs_place",
        "blobs",
        ["place"],
        postgresql_using="hash",
        sqlite_where=HAS_PLACE,
        postgresql_where=HAS_PLACE,
    )
    op.create_index("ix_blobs_state_lease_expires_at", "blobs", ["state", "lease_expires_at"])
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
    op.create_table(
        "image_tombstones",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("deleted_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_image_tombstones"),
    )
    op.create_table(
        "images",
        sa.Column("id", sa.String(36), nullable=False),
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
        sa.PrimaryKeyConstraint("id", name="pk_images"),
    )
    op.create_index(
        "ix_images_checksum", "images", ["checksum"], sqlite_where=HAS_CHECKSUM, postgresql_where=HAS_CHECKSUM
    )
    op.create_index("ix_images_created_at_id", "images", ["created_at", "id"])
    if op.get_bind().dialect.name == "postgresql":
        op.create_index("ix_images_id", "images", ["id"], postgresql_using="hash")
    op.create_index("ix_images_name_visibility_owner", "images", ["name", "visibility", "owner"])
    op.create_index(
        "ix_images_os_hash_value",
        "images",
        ["os_hash_value"],
        sqlite_where=HAS_HASH,
        postgresql_where=HAS_HASH,
    )
    op.create_index("ix_images_owner_created_at_id", "images", ["owner", "created_at", "id"])
    op.create_index("ix_images_visibility_created_at_id", "images", ["visibility", "created_at", "id"])
    op.create_table(
        "takeovers",
        sa.Column("image_id", sa.String(36), nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("members", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("image_id", name="pk_takeovers"),
    )
    op.create_table(
        "image_members",
        sa.Column("image_id", sa.String(36), nullable=False),
        sa.Column("member_id", sa.String(255), nullable=False),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(
            ["image_id"], ["images.id"], name="fk_image_members_image_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("image_id", "member_id", name="pk_image_members"),
    )
    op.create_index(
        "ix_image_members_member_id_status_image_id", "image_members", ["member_id", "status", "image_id"]
    )
    op.create_table(
        "image_properties",
        sa.Column("image_id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("value_key", sa.String(255), nullable=False),
        sa.ForeignKeyConstraint(
            ["image_id"], ["images.id"], name="fk_image_properties_image_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("image_id", "name", name="pk_image_properties"),
    )
    op.create_index(
        "ix_image_properties_name_value_key_image_id", "image_properties", ["name", "value_key", "image_id"]
    )
    op.create_table(
        "image_tags",
        sa.Column("image_id", sa.String(36), nullable=False),
        sa.Column("tag", sa.String(255), nullable=False),
        sa.ForeignKeyConstraint(
            ["image_id"], ["images.id"], name="fk_image_tags_image_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("image_id", "tag", name="pk_image_tags"),
    )
    op.create_index("ix_image_tags_tag_image_id", "image_tags", ["tag", "image_id"])
    op.create_table(
        "uploads",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("image_id", sa.String(36), nullable=False),
        sa.Column("length", sa.BigInteger, nullable=False),
        sa.Column("offset", sa.BigInteger, nullable=False),
        sa.Column("metadata", sa.Text, nullable=False),
        sa.Column("expected", sa.Text, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("holder", sa.String(36)),
        sa.Column("held_until", sa.BigInteger, nullable=False),
        sa.Column("wanted", sa.Boolean, nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name="fk_uploads_image_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_uploads"),
    )
    op.create_index("ix_uploads_expires_at", "uploads", ["expires_at"])
    op.create_index("ix_uploads_image_id", "uploads", ["image_id"])


def _create_jobs() -> None:
    """Jobs."""
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
        sa.Column("lane", sa.String(10), nullable=False, server_default="web"),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
    )
    op.create_index("ix_jobs_created_at_id", "jobs", ["created_at", "id"])
    op.create_index("ix_jobs_expires_at", "jobs", ["expires_at"])
    op.create_index("ix_jobs_image_id_created_at", "jobs", ["image_id", "created_at"])
    op.create_index("ix_jobs_live", "jobs", ["created_at"], sqlite_where=IS_LIVE, postgresql_where=IS_LIVE)
    op.create_index(
        "uq_jobs_image_id", "jobs", ["image_id"], unique=True, sqlite_where=IS_LIVE, postgresql_where=IS_LIVE
    )


def _create_metadefs() -> None:
    """Metadata definitions."""
    op.create_table(
        "metadef_namespaces",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("namespace", sa.String(80), nullable=False),
        sa.Column("display_name", sa.String(80)),
        sa.Column("description", sa.Text),
        sa.Column("visibility", sa.String(20), nullable=False),
        sa.Column("protected", sa.Boolean, nullable=False),
        sa.Column("owner", sa.String(255)),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("properties", sa.Text, nullable=False),
        sa.Column("objects", sa.Text, nullable=False),
        sa.Column("tags", sa.Text, nullable=False),
        sa.Column("associations", sa.Text, nullable=False),
        sa.Column("loaded", sa.String(64)),
        sa.PrimaryKeyConstraint("id", name="pk_metadef_namespaces"),
        sa.UniqueConstraint("namespace", name="uq_metadef_namespaces_namespace"),
    )
    op.create_index("ix_metadef_namespaces_owner", "metadef_namespaces", ["owner"])
    op.create_table(
        "metadef_resource_types",
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_metadef_resource_types"),
    )
    op.create_table(
        "metadef_takeovers",
        sa.Column("namespace", sa.String(80), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("namespace", name="pk_metadef_takeovers"),
    )
    op.create_table(
        "metadef_associations",
        sa.Column("namespace_id", sa.String(36), nullable=False),
        sa.Column("resource_type", sa.String(80), nullable=False),
        sa.ForeignKeyConstraint(
            ["namespace_id"],
            ["metadef_namespaces.id"],
            name="fk_metadef_associations_namespace_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("namespace_id", "resource_type", name="pk_metadef_associations"),
    )
    op.create_index(
        "ix_metadef_associations_resource_type_namespace_id",
        "metadef_associations",
        ["resource_type", "namespace_id"],
    )


def _create_identity() -> None:
    """Users, projects and their credentials; secrets."""
    op.create_table(
        "failed_logins",
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("not_before", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_failed_logins"),
    )
    op.create_table(
        "projects",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("limits", sa.Text, nullable=False, server_default="{}"),
        sa.PrimaryKeyConstraint("id", name="pk_projects"),
        sa.UniqueConstraint("name", name="uq_projects_name"),
    )
    op.create_table(
        "revoked_tokens",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_revoked_tokens"),
    )
    op.create_index("ix_revoked_tokens_expires_at", "revoked_tokens", ["expires_at"])
    op.create_table(
        "secrets",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_secrets"),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("password_hash", sa.String(255), nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("tokens_valid_from", sa.BigInteger, nullable=False),
        sa.Column("description", sa.Text),
        sa.Column("email", sa.String(255)),
        sa.Column("default_project_id", sa.String(64)),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("name", name="uq_users_name"),
    )
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
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_application_credentials_user_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name="fk_application_credentials_project_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_application_credentials"),
    )
    op.create_index(
        "ix_application_credentials_user_id_name", "application_credentials", ["user_id", "name"], unique=True
    )
    op.create_table(
        "grants",
        sa.Column("user_id", sa.String(64), nullable=False),
        sa.Column("project_id", sa.String(64), nullable=False),
        sa.Column("role", sa.String(64), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name="fk_grants_project_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_grants_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", "project_id", "role", name="pk_grants"),
    )

"""The database itself keeps the index of properties and tags, and never gives an id again.

So that creating and changing an image is one statement each, and no code can forget the index.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None
phase = "expand"

# `property_key` was a function of our connections, as SQLite has no digests; 0009 does without it.
SQLITE = (
    """
    CREATE TRIGGER image_insert BEFORE INSERT ON images
    WHEN EXISTS (SELECT 1 FROM image_tombstones WHERE id = NEW.id)
    BEGIN SELECT RAISE(ABORT, 'the id was in use'); END
    """,
    """
    CREATE TRIGGER image_inserted AFTER INSERT ON images BEGIN
        INSERT INTO image_properties (image_id, name, value_key)
            SELECT NEW.id, key, property_key(value) FROM json_each(NEW.properties);
        INSERT INTO image_tags (image_id, tag) SELECT NEW.id, value FROM json_each(NEW.tags);
    END
    """,
    """
    CREATE TRIGGER image_properties_updated AFTER UPDATE OF properties ON images
    WHEN NEW.properties <> OLD.properties BEGIN
        DELETE FROM image_properties WHERE image_id = NEW.id;
        INSERT INTO image_properties (image_id, name, value_key)
            SELECT NEW.id, key, property_key(value) FROM json_each(NEW.properties);
    END
    """,
    """
    CREATE TRIGGER image_tags_updated AFTER UPDATE OF tags ON images
    WHEN NEW.tags <> OLD.tags BEGIN
        DELETE FROM image_tags WHERE image_id = NEW.id;
        INSERT INTO image_tags (image_id, tag) SELECT NEW.id, value FROM json_each(NEW.tags);
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
    # After the insert, which waits for a transaction that deletes the same id: only then is it buried.
    "CREATE TRIGGER image_insert AFTER INSERT ON images FOR EACH ROW EXECUTE FUNCTION image_insert()",
    "CREATE TRIGGER image_inserted AFTER INSERT ON images FOR EACH ROW EXECUTE FUNCTION image_index()",
    """
    CREATE TRIGGER image_updated AFTER UPDATE OF properties, tags ON images FOR EACH ROW
    WHEN (NEW.properties <> OLD.properties OR NEW.tags <> OLD.tags) EXECUTE FUNCTION image_index()
    """,
)


def upgrade() -> None:
    """Make the triggers; what is there is indexed already."""
    for statement in SQLITE if op.get_bind().dialect.name == "sqlite" else POSTGRESQL:
        op.execute(statement)

"""The rules of an image's row on SQLite are SQL alone, so that any tool may change one.

Until now the triggers needed a function of our connections for the keys of long property values. The key of
a value is its first 256 characters now; db/listing.py compares longer ones whole. Older code works with
this, but does not find images by values of more than 255 characters until it is replaced.

Whatever wrote a row, its properties and tags are as the service writes them: strings, as JSON without
spaces or needless escapes, because lists look for them in that text. What cannot be is refused.
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None
phase = "expand"

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
OTHERWISE_WRITTEN = r"""
    NEW.properties <> json(NEW.properties) OR instr(NEW.properties, '\u') OR instr(NEW.properties, '\/')
    OR NEW.tags <> json(NEW.tags) OR instr(NEW.tags, '\u') OR instr(NEW.tags, '\/')
"""
WRITE_ANEW = """
    UPDATE images SET
        properties = (SELECT json_group_object(key, value) FROM json_each(NEW.properties)),
        tags = (SELECT json_group_array(value) FROM json_each(NEW.tags))
    WHERE id = NEW.id;
"""
SQLITE = (
    "DROP TRIGGER image_inserted",
    "DROP TRIGGER image_properties_updated",
    "DROP TRIGGER image_tags_updated",
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
    WHEN {OTHERWISE_WRITTEN} BEGIN {WRITE_ANEW} END
    """,
    f"""
    CREATE TRIGGER image_text_updated AFTER UPDATE OF properties, tags ON images
    WHEN (NEW.properties <> OLD.properties OR NEW.tags <> OLD.tags) AND ({OTHERWISE_WRITTEN})
    BEGIN {WRITE_ANEW} END
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
    """
    UPDATE image_properties SET value_key = coalesce(
        (
            SELECT substr(value, 1, 256) FROM images, json_each(images.properties)
            WHERE images.id = image_properties.image_id AND key = image_properties.name
        ),
        value_key
    )
    WHERE value_key LIKE 'sha256:%'
    """,
)


def upgrade() -> None:
    """Replace the triggers, and the keys of long values; PostgreSQL's are in SQL from the start."""
    if op.get_bind().dialect.name == "sqlite":
        for statement in SQLITE:
            op.execute(statement)

"""The database's schema: migrations and tables say the same, and a newer database is refused."""

import contextlib
import json
import sqlite3
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text

from tintype.db import schema
from tintype.db.tables import metadata
from tintype.errors import StartError


def url(folder: Path) -> str:
    return f"sqlite:///{folder / 'test.db'}"


def test_migrations_make_the_tables_of_the_code(tmp_path: Path) -> None:
    """An upgraded database differs in nothing from the tables that statements are written for."""
    schema.upgrade(url(tmp_path))
    assert schema.check(url(tmp_path)) == []


def test_what_differs_is_told(tmp_path: Path) -> None:
    """An index that is missing, and a column that nobody knows."""
    schema.upgrade(url(tmp_path))
    engine = create_engine(url(tmp_path))
    with engine.begin() as connection:
        connection.execute(text("DROP INDEX ix_images_owner_created_at_id"))
        connection.execute(text("ALTER TABLE uploads ADD COLUMN more TEXT"))
    engine.dispose()
    told = schema.check(url(tmp_path))
    assert len(told) == 2
    assert "ix_images_owner_created_at_id" in told[0] + told[1]
    assert "more" in told[0] + told[1]


def test_a_migration_that_dies_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut off after every table was made, before the version is noted: the next start begins anew."""
    real = command.upgrade

    def dies(*arguments: object) -> None:
        real(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(command, "upgrade", dies)
        with pytest.raises(KeyboardInterrupt):
            schema.upgrade(url(tmp_path))
    engine = create_engine(url(tmp_path))
    with engine.connect() as connection:
        assert inspect(connection).get_table_names() == []
    engine.dispose()
    schema.upgrade(url(tmp_path))


def test_head_is_the_newest_migration() -> None:
    """The revision that a start compares with is the last one that older code can work with."""
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    assert schema.expanded(ScriptDirectory.from_config(config)) == schema.HEAD


def test_long_values_of_an_older_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys that only our own function could make are replaced; whoever has the file can change a row then."""
    with monkeypatch.context() as patched:
        patched.setattr(schema, "expanded", lambda _script: "0008")
        schema.upgrade(url(tmp_path))
    values = {"short": "sha256:red", "long": "ü" * 300}
    columns = "id, status, visibility, protected, os_hidden, min_disk, min_ram, stores, tags, created_at"
    insert = (
        f"INSERT INTO images ({columns}, updated_at, version, properties) VALUES ('i', 'queued', 'shared', "
    )
    with contextlib.closing(sqlite3.connect(tmp_path / "test.db")) as connection:
        connection.create_function(
            "property_key", 1, lambda value: value if len(value) < 256 else "sha256:abc"
        )
        with connection:
            connection.execute(f"{insert} 0, 0, 0, 0, '[]', '[\"t\"]', 0, 0, 0, ?)", (json.dumps(values),))
    schema.upgrade(url(tmp_path))
    assert schema.check(url(tmp_path)) == []
    with contextlib.closing(sqlite3.connect(tmp_path / "test.db")) as connection, connection:
        keys = dict(connection.execute("SELECT name, value_key FROM image_properties").fetchall())
        assert keys == {"short": "sha256:red", "long": "ü" * 256}
        connection.execute("UPDATE images SET properties = json_set(properties, '$.short', 'blue')")
        keys = dict(connection.execute("SELECT name, value_key FROM image_properties").fetchall())
        assert keys == {"short": "blue", "long": "ü" * 256}


@pytest.mark.parametrize("oldest", ["9998", None])
def test_a_database_of_a_newer_version_is_refused(tmp_path: Path, oldest: str | None) -> None:
    """Old code never writes to a schema that may lack what it knows."""
    schema.upgrade(url(tmp_path))
    engine = create_engine(url(tmp_path))
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        connection.execute(text("DELETE FROM secrets"))
        if oldest is not None:
            values = {"name": schema._OLDEST, "value": oldest}
            connection.execute(text("INSERT INTO secrets (name, value) VALUES (:name, :value)"), values)
    engine.dispose()
    with pytest.raises(StartError, match="newer"):
        schema.upgrade(url(tmp_path))


def test_jobs_from_before_have_lanes(tmp_path: Path) -> None:
    """Migration 0012 sees by type and input which of them wait for servers on the web."""
    path = tmp_path / "test.db"
    engine = create_engine(url(tmp_path))
    config = Config()
    config.set_main_option("script_location", str(schema.SCRIPTS))
    jobs = {
        "download": (
            "api_image_import",
            '{"import_req":{"method":{"name":"web-download","uri":"http://x"}}}',
        ),
        "staged": ("api_image_import", '{"import_req":{"method":{"name":"glance-direct"}}}'),
        "copy": ("api_image_import", '{"import_req":{"method":{"name":"copy-image"}}}'),
        "legacy": ("import", '{"import_from":"http://x"}'),
        "web": ("location_import", '{"loc_url":"https://x"}'),
        "pool": ("location_import", '{"loc_url":"rbd://x"}'),
    }
    with engine.begin() as connection:
        config.attributes.update(connection=connection, metadata=metadata)
        command.upgrade(config, "0011")
        for number, (name, (kind, given)) in enumerate(jobs.items()):
            row = {"id": name, "type": kind, "input": given, "image": str(number)}
            connection.execute(
                text(
                    "INSERT INTO jobs (id, type, state, image_id, input, message, caller, bytes_done, "
                    "attempts, not_before, held_until, cancelled, created_at, updated_at) "
                    "VALUES (:id, :type, 'pending', :image, :input, '', '{}', 0, 0, 0, 0, false, 0, 0)"
                ),
                row,
            )
        command.upgrade(config, "0012")
    engine.dispose()
    with contextlib.closing(sqlite3.connect(path)) as opened:
        lanes = dict(opened.execute("SELECT id, lane FROM jobs").fetchall())
    local = {name for name, lane in lanes.items() if lane == "local"}
    assert (local, len(lanes)) == ({"staged", "copy", "pool"}, len(jobs))

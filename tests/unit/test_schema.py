"""The database's schema: migrations and tables say the same, and a newer database is refused."""

from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text

import migrations
from tintype.db import schema
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

    def dies(*arguments: Any) -> None:
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


@pytest.mark.parametrize("revision", ["0001", "0012"])
def test_a_database_from_before_the_initial_revision(tmp_path: Path, revision: str) -> None:
    """Its migrations are gone: the error names the version that still has them. Nothing is changed."""
    schema.upgrade(url(tmp_path))
    engine = create_engine(url(tmp_path))
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE alembic_version SET version_num = '{revision}'"))
    engine.dispose()
    with pytest.raises(StartError, match=r"tests/previous .*0\.1\.0"):
        schema.upgrade(url(tmp_path))
    found = schema.state(url(tmp_path))
    assert (found.revision, found.behind, f"schema {revision}" in found.refusal) == (revision, False, True)


def test_the_next_migration_is_applied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database with the initial revision is brought to the next one."""
    schema.upgrade(url(tmp_path))
    scripts = migrations.copied(tmp_path)
    migrations.add(scripts, migrations.NEXT, schema.HEAD, "CREATE TABLE more (id INTEGER)")
    migrations.use(scripts, monkeypatch)
    assert schema.state(url(tmp_path)).behind
    schema.upgrade(url(tmp_path))
    assert schema.state(url(tmp_path)).revision == migrations.NEXT


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

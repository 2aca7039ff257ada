"""A dry run shows the result, also before the first start, and changes nothing."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pytest
from sqlalchemy import create_engine

import migrations
from inprocess import make_settings
from postgres import Cluster
from tintype import data_folder
from tintype.blobs.base import BlobStore
from tintype.cli.rehearsal import rehearse
from tintype.db import metadefs, schema
from tintype.db.engine import Database
from tintype.errors import StartError, Unavailable
from tintype.settings import DatabaseSettings
from tintype.wiring import service as wiring


def everything(folder: Path) -> dict[str, str]:
    """Return a digest of each file below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in folder.rglob("*")
    }


async def look(database: Database, stores: Mapping[str, BlobStore]) -> tuple[bool, list[int | str | None]]:
    """Say whether the catalogue is loaded, and what each store says of an image that is not there."""
    async with database.read() as tx:
        loaded = await metadefs.was_loaded(tx)
    sizes: list[int | str | None] = []
    for store in stores.values():
        try:
            sizes.append(await store.size("glance-image"))
        except Unavailable as error:
            sizes.append(error.message)
    return loaded, sizes


def test_before_the_first_start(tmp_path: Path) -> None:
    """No folder, no database: it works, and makes neither."""
    settings = make_settings(tmp_path / "data")
    assert rehearse(settings, look) == (True, ["The folder of the store 'local' is missing or not mounted."])
    assert everything(tmp_path) == {}
    (tmp_path / "data" / "images").mkdir(parents=True)
    assert rehearse(settings, look) == (True, [None])
    assert everything(tmp_path) == {"data": "", "data/images": ""}


def test_after_the_first_start(tmp_path: Path) -> None:
    """It is the service's own database that is looked at, byte by byte the same afterwards."""
    settings = make_settings(tmp_path / "data")
    data_folder.prepare(wiring.Service(settings), "http://testserver")
    before = everything(tmp_path)
    assert rehearse(settings, look) == (True, [None])
    assert everything(tmp_path) == before


def test_with_an_older_schema(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is told, and what is seen is what the next start would see."""
    settings = make_settings(tmp_path / "data")
    settings.data_dir.mkdir()
    schema.upgrade(f"sqlite:///{settings.data_dir / 'tintype.db'}")
    revision = schema.HEAD
    scripts = migrations.copied(tmp_path / "next")
    migrations.add(scripts, migrations.NEXT, revision, "CREATE TABLE more (id INTEGER)")
    migrations.use(scripts, monkeypatch)
    before = everything(settings.data_dir)
    assert rehearse(settings, look)[0]
    assert f"schema {revision}" in capsys.readouterr().out
    assert everything(settings.data_dir) == before


@pytest.mark.needs("postgresql")
def test_with_an_empty_postgresql(tmp_path: Path, cluster: Cluster) -> None:
    """No table is made in it."""
    name = cluster.create()
    settings = make_settings(tmp_path / "data", database=DatabaseSettings(url=cluster.url(name)))
    assert rehearse(settings, look)[0]
    assert cluster.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", name) == "0"
    assert everything(tmp_path) == {}


@pytest.mark.parametrize("revision", ["0000", "abc", "0003x", "9999"])
def test_with_a_schema_that_no_version_has(tmp_path: Path, revision: str) -> None:
    """Neither a dry run nor a start takes it for its own, or for a newer one's."""
    settings = make_settings(tmp_path / "data")
    data_folder.prepare(wiring.Service(settings), "http://testserver")
    engine = create_engine(f"sqlite:///{settings.data_dir / 'tintype.db'}")
    with engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{revision}'")
        if revision == "9999":
            connection.exec_driver_sql("UPDATE secrets SET value = '9999' WHERE name LIKE 'oldest schema%'")
    engine.dispose()
    with pytest.raises(StartError, match=revision):
        rehearse(settings, look)
    with pytest.raises(StartError, match=revision):
        data_folder.prepare(wiring.Service(settings), "http://testserver")

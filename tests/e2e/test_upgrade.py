"""Going from one release to the next while the service runs: old code works on new tables."""

import asyncio
import hashlib
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from typer import Exit

import migrations
from inprocess import Prepared
from postgres import Cluster
from processes import Api, started
from tintype.cli import database as commands
from tintype.db import schema
from tintype.errors import StartError

PREVIOUS = next((Path(__file__).parents[1] / "previous").glob("*.whl"))
RAW = {"disk_format": "raw", "container_format": "bare"}
PATCH = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
TUS = {"Tus-Resumable": "1.0.0"}

pytestmark = pytest.mark.e2e


@pytest.fixture
def previous(tmp_path: Path) -> Path:
    """Give a folder with the code of the release before this one."""
    with zipfile.ZipFile(PREVIOUS) as wheel:
        wheel.extractall(tmp_path / "previous")
    return tmp_path / "previous"


def use(api: Api, data: bytes) -> str:
    """Do what clients do with one image; give its path."""
    made = api.http.post("/v2/images", json={**RAW, "name": "n", "colour": "red", "tags": ["t"]})
    assert made.status_code == 201, made.text
    image = f"/v2/images/{made.json()['id']}"
    assert api.put(image, data).status_code == 204
    change = [{"op": "replace", "path": "/name", "value": "m"}, {"op": "remove", "path": "/colour"}]
    assert api.http.patch(image, json=change, headers=PATCH).status_code == 200
    assert api.http.post(f"{image}/members", json={"member": "somebody"}).status_code in {200, 403}
    check(api, image, data)
    assert image.rpartition("/")[2] in api.http.get("/v2/images?tag=t&limit=1000&name=m").text
    second = api.image()
    begun = api.http.post(f"{second}/uploads", headers={**TUS, "Upload-Length": str(len(data))})
    piece = {**TUS, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    path = begun.headers["location"].removeprefix(api.server.url)
    assert api.http.patch(path, content=data, headers=piece).status_code == 204
    check(api, second, data)
    assert api.http.delete(second).status_code == 204
    return image


def check(api: Api, image: str, data: bytes) -> None:
    shown = api.show(image)
    assert (shown["status"], shown["os_hash_value"]) == ("active", hashlib.sha512(data).hexdigest())
    assert api.http.get(f"{image}/file").content == data


@pytest.mark.parametrize(
    "kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgresql"))]
)
def test_the_last_release_on_the_new_tables(
    kind: str, previous: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """It goes on while the tables are brought up to date beneath it; then the new release takes over."""
    folder = tmp_path / "data"
    environment: dict[str, Any] = {}
    url = f"sqlite:///{folder / 'tintype.db'}"
    if kind == "postgresql":
        cluster: Cluster = request.getfixturevalue("cluster")
        url = environment["TINTYPE_DATABASE_URL"] = cluster.url(cluster.create())
    old_code: dict[str, Any] = {**environment, "PYTHONPATH": str(previous)}
    command = [sys.executable, "-c", "from tintype.db import schema; print(schema.__file__)"]
    imported = subprocess.check_output(command, text=True, env={**os.environ, **old_code})
    assert Path(imported).is_relative_to(previous)
    with started(folder, **old_code) as running:
        old = Api(running)
        before = use(old, b"before" * 1000)
        schema.upgrade(url)
        assert schema.state(url).revision == schema.HEAD
        check(old, before, b"before" * 1000)
        after = use(old, b"after" * 1000)
        assert use(old, b"again" * 1000)
        old.http.close()
    with started(folder, **environment) as running:
        new = Api(running)
        check(new, before, b"before" * 1000)
        check(new, after, b"after" * 1000)
        use(new, b"new" * 1000)
        new.http.close()
        assert not schema.check(url)


TAKE_AWAY = "ALTER TABLE projects DROP COLUMN limits"


def test_the_last_release_starts_again(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside the next one, after a crash or back from it: tables that were only added to are no obstacle."""
    database = prepared.copy(tmp_path / "data")
    url = database.url or f"sqlite:///{tmp_path / 'data' / 'tintype.db'}"
    scripts = migrations.copied(tmp_path)
    migrations.add(scripts, migrations.NEXT, schema.HEAD, "CREATE TABLE more (id INTEGER)")
    with monkeypatch.context() as newer:
        migrations.use(scripts, newer)
        schema.upgrade(url)
    schema.upgrade(url)
    assert (schema.state(url).revision, schema.state(url).refusal) == (migrations.NEXT, "")
    migrations.add(scripts, "9999", migrations.NEXT, TAKE_AWAY, phase="contract")
    with monkeypatch.context() as newer:
        migrations.use(scripts, newer)
        schema.upgrade(url, contract=True)
    with pytest.raises(StartError, match="newer"):
        schema.upgrade(url)


def test_what_takes_away_waits(prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start leaves contractions alone; an operator applies them, and later starts accept that."""
    scripts = migrations.copied(tmp_path)
    migrations.add(scripts, "9999", schema.HEAD, TAKE_AWAY, phase="contract")
    monkeypatch.setattr(schema, "SCRIPTS", scripts)
    database = prepared.copy(tmp_path / "data")
    url = database.url or f"sqlite:///{tmp_path / 'data' / 'tintype.db'}"
    schema.upgrade(url)
    assert schema.state(url) == schema.State(schema.HEAD, schema.HEAD, ("9999",))
    schema.upgrade(url, contract=True)
    assert schema.state(url) == schema.State("9999", schema.HEAD, ())
    schema.upgrade(url)
    assert schema.state(url).revision == "9999"
    assert [line for line in schema.check(url) if "limits" in line]


@pytest.mark.needs("postgresql")
def test_the_tables_change_beside_a_change_under_way(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has locked an image and then writes it is waited for: neither of both is ended by a deadlock.

    The migration begins with what takes the strongest lock.
    """
    url = cluster.url(cluster.create())
    schema.upgrade(url)
    scripts = migrations.copied(tmp_path)
    statements = ("DROP INDEX ix_images_checksum", "CREATE INDEX ix_images_checksum ON images (checksum)")
    migrations.add(scripts, migrations.NEXT, schema.HEAD, *statements)
    migrations.use(scripts, monkeypatch)
    assert asyncio.run(_change_an_image_beside(url, lambda: schema.upgrade(url))) == "UPDATE 1"
    assert schema.state(url).revision == migrations.NEXT


async def _change_an_image_beside(url: str, upgrade: Callable[[], None]) -> str:
    service = await asyncpg.connect(url)
    await service.execute(
        "INSERT INTO images (id, status, visibility, protected, os_hidden, min_disk, min_ram, properties, "
        "tags, stores, created_at, updated_at, version) "
        "VALUES ('i', 'queued', 'shared', false, false, 0, 0, '{}', '[]', '[]', 0, 0, 0)"
    )
    await service.execute("BEGIN")
    await service.execute("SELECT id FROM images WHERE id = 'i' FOR UPDATE")
    upgrading = asyncio.ensure_future(asyncio.to_thread(upgrade))
    while not await service.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
        assert not upgrading.done(), "it waits for us"
        await asyncio.sleep(0.02)
    told: str = await service.execute("UPDATE images SET name = 'n' WHERE id = 'i'")
    await service.execute("COMMIT")
    await upgrading
    await service.close()
    return told


def test_the_command_line(prepared: Prepared, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`tintype db` tells where the tables are, and finds what is not as it should be."""
    settings = prepared.copy(tmp_path / "data")
    if settings.url is not None:
        (tmp_path / "data" / "tintype.toml").write_text(f"[database]\nurl = '{settings.url}'\n")
    commands.status(data_dir=tmp_path / "data")
    assert f"schema\t{schema.HEAD}" in capsys.readouterr().out
    commands.upgrade(contract=False, data_dir=tmp_path / "data")
    commands.check(data_dir=tmp_path / "data")
    if prepared.cluster is not None:
        prepared.cluster.sql(
            "DROP INDEX ix_images_name_visibility_owner", str(settings.url).split("/")[3].split("?")[0]
        )
        with pytest.raises(Exit):
            commands.check(data_dir=tmp_path / "data")
        assert "ix_images_name_visibility_owner" in capsys.readouterr().out
        prepared.cluster.sql("DROP INDEX ix_images_id", str(settings.url).split("/")[3].split("?")[0])
        with pytest.raises(Exit):
            commands.check(data_dir=tmp_path / "data")
        assert "ix_images_id" in capsys.readouterr().out

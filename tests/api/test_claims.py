"""A store's claim on its folder: refusals, safe moves, and no partial claims."""

import asyncio
import shutil
from pathlib import Path

import pytest
import pytest_asyncio

from inprocess import Prepared, make_settings, running
from tintype import data_folder
from tintype.cli.claims import claim
from tintype.configuration import load
from tintype.errors import StartError
from tintype.folders import recognise_folders
from tintype.settings.stores import FileStore
from tintype.wiring import service as wiring

BINARY = {"Content-Type": "application/octet-stream"}
RAW = {"disk_format": "raw", "container_format": "bare"}
MARK = ".tintype-store"


@pytest_asyncio.fixture
async def folder(prepared: Prepared, tmp_path: Path) -> Path:
    """Return the data folder of a service that has ended, with three images."""
    async with running(prepared, tmp_path) as service:
        for number in range(3):
            image = (await service.call("alice", "POST", "/v2/images", json=RAW)).json()["id"]
            path, data = f"/v2/images/{image}/file", f"image {number}".encode()
            put = await service.call("alice", "PUT", path, content=data, headers=BINARY)
            assert put.status_code == 204
        url = service.database_url
    if url is not None:
        (tmp_path / "data" / "tintype.toml").write_text(f"[database]\nurl = '{url}'\n")
    return tmp_path / "data"


def copy_images(folder: Path, *, but: int = 0) -> Path:
    """Copy the images of a data folder as a hasty person does: without hidden files; name the new folder."""
    new = folder.parent / "new"
    files = sorted(path for path in (folder / "images").glob("??/*"))
    new.mkdir()
    for path in files[but:]:
        (new / path.parent.name).mkdir(exist_ok=True)
        shutil.copy(path, new / path.parent.name)
    with (folder / "tintype.toml").open("a") as file:
        file.write(f"[stores.local]\ntype = 'file'\nfolder = '{new}'\n")
    return new


def sampled(folder: Path) -> int:
    """Return how many blobs are sampled: one for each beginning of an id, which several may have."""
    return len(list((folder / "images").glob("??")))


async def start(folder: Path) -> None:
    """Do what a start does before it serves."""
    await asyncio.to_thread(data_folder.prepare, wiring.Service(load(folder, {})), "http://testserver")


async def claimed(folder: Path, *, force: bool = False) -> None:
    """Run the command."""
    await asyncio.to_thread(claim, folder, "local", force=force)


async def test_a_folder_that_was_moved_is_claimed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The start that refuses it names the command; after that it starts, and the old folder is refused."""
    new = copy_images(folder)
    with pytest.raises(StartError, match="tintype store claim local"):
        await start(folder)
    assert not (new / MARK).exists()
    await claimed(folder)
    count = sampled(folder)
    assert f"{count} of {count} sampled blobs were found" in capsys.readouterr().out
    await start(folder)
    text = (folder / "tintype.toml").read_text()
    (folder / "tintype.toml").write_text(text.partition("[stores.local]")[0])
    with pytest.raises(StartError, match="is not the one"):
        await start(folder)


async def test_a_folder_without_the_images_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where bytes are missing nothing changes, unless the operator insists."""
    new = copy_images(folder, but=1)
    with pytest.raises(StartError, match="1 are not in"):
        await claimed(folder)
    assert not (new / MARK).exists()
    await claimed(folder, force=True)
    count = sampled(folder)
    assert f"{count - 1} of {count} sampled blobs were found" in capsys.readouterr().out
    await start(folder)


async def test_a_folder_with_images_of_others_is_refused(folder: Path) -> None:
    """Files that this database does not know are another service's: it would lose them."""
    new = copy_images(folder)
    (new / MARK).write_text("of-another-tintype\n")
    (new / "ab").mkdir(exist_ok=True)
    (new / "ab" / "abcdef00-0000-4000-8000-000000000000").write_text("theirs")
    with pytest.raises(StartError, match="not in this database: at least 1"):
        await claimed(folder)
    assert (new / MARK).read_text() == "of-another-tintype\n"
    await claimed(folder, force=True)
    assert (new / MARK).read_text() != "of-another-tintype\n"


async def test_nothing_is_claimed_while_a_service_runs(folder: Path) -> None:
    """A server holds its data folder, a worker too."""
    copy_images(folder)
    with data_folder.lock_data_folder(folder), pytest.raises(StartError, match="serves the data folder"):
        await claimed(folder)


@pytest.mark.parametrize("prepared", ["postgresql"], indirect=True)
@pytest.mark.needs("postgresql")
async def test_nothing_is_claimed_while_another_host_is_connected(prepared: Prepared, tmp_path: Path) -> None:
    """A server elsewhere has another data folder, but the same database."""
    async with running(prepared, tmp_path) as service:
        assert (await service.call("alice", "GET", "/v2/images")).status_code == 200
        other = tmp_path / "other host"
        other.mkdir()
        (other / "tintype.toml").write_text(f"[database]\nurl = '{service.database_url}'\n")
        with pytest.raises(StartError, match="stop every server"):
            await claimed(other)


@pytest.mark.parametrize(
    ("store", "says"), [("none", "There is no store 'none'"), ("web", "only folders are claimed")]
)
async def test_what_has_no_folder(folder: Path, store: str, says: str) -> None:
    """A name that is wrong, and a store of another type."""
    with (folder / "tintype.toml").open("a") as file:
        file.write("[stores.local]\ntype = 'file'\n[stores.web]\ntype = 'http'\n")
    with pytest.raises(StartError, match=says):
        await asyncio.to_thread(claim, folder, store, force=False)


async def test_a_start_that_fails_claims_nothing(prepared: Prepared, tmp_path: Path) -> None:
    """Of two folders the second is refused: the first is not claimed either, and may be another next time."""
    database = prepared.copy(tmp_path / "data")
    (tmp_path / "theirs" / "ab").mkdir(parents=True)
    (tmp_path / "theirs" / "ab" / "abc").write_text("x")
    (tmp_path / "theirs" / MARK).write_text("of-another-tintype\n")

    async def recognise(first: str, second: str) -> None:
        stores = {
            "one": FileStore(folder=str(tmp_path / first)),
            "two": FileStore(folder=str(tmp_path / second)),
        }
        service = wiring.Service(make_settings(tmp_path / "data", database=database, stores=stores))
        try:
            await recognise_folders(service.database, service.settings)
        finally:
            await service.close()

    with pytest.raises(StartError, match="another Tintype"):
        await recognise("first", "theirs")
    assert not (tmp_path / "first").exists()
    await recognise("other", "second")
    assert (tmp_path / "other" / MARK).exists()

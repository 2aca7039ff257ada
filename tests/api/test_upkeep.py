"""gc finds and deletes unknown data; scrub reports changed data and keeps it."""

import os
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import update

from inprocess import Prepared, Service, make_settings, running
from tintype.blobs.filesystem import FilesystemStore
from tintype.blobs.marks import MARK
from tintype.db.tables import blobs, images
from tintype.errors import Unavailable
from tintype.settings.stores import FileStore, MemoryStore, S3Store
from tintype.wiring import service as wiring

MIB = 1 << 20
BINARY = {"Content-Type": "application/octet-stream"}


async def filled(service: Service, data: bytes) -> str:
    body = {"disk_format": "raw", "container_format": "bare"}
    image = str((await service.call("alice", "POST", "/v2/images", json=body)).json()["id"])
    path = f"/v2/images/{image}/file"
    assert (await service.call("alice", "PUT", path, content=data, headers=BINARY)).status_code == 204
    return image


def files(service: Service) -> dict[str, Path]:
    return {path.name: path for path in (service.folder / "images").glob("*/*") if path.is_file()}


async def blob_of(service: Service, image: str) -> Path:
    findings = [finding async for finding in service.parts.upkeep.scrub({image})]
    return files(service)[findings[0].blob_id]


async def test_what_nobody_knows_of_is_found(service: Service) -> None:
    """Complete or half-written; not what images and uploads have, nor what is not named as ours."""
    await filled(service, b"abc")
    image = (
        await service.call(
            "alice", "POST", "/v2/images", json={"disk_format": "raw", "container_format": "bare"}
        )
    ).json()["id"]
    tus = {"Tus-Resumable": "1.0.0", "Upload-Length": "10"}
    piece = {**tus, "Content-Type": "application/offset+octet-stream"}
    path = f"/v2/images/{image}/uploads"
    assert (await service.call("alice", "POST", path, headers=piece, content=b"abc")).status_code == 201
    known = set(files(service))
    lost = [str(uuid.uuid4()) for _ in range(150)]
    for key in lost:
        folder = service.folder / "images" / ("partial" if key[0] in "0123" else key[:2])
        folder.mkdir(exist_ok=True)
        (folder / key).write_bytes(b"?")
    (service.folder / "images" / "partial" / "notes.txt").write_text("somebody else's")
    found = [each async for each in service.parts.upkeep.collect(dry_run=True)]
    assert {each.key for each in found} == set(lost)
    assert set(files(service)) == known | set(lost) | {"notes.txt"}  # to look changes nothing
    collected = [each async for each in service.parts.upkeep.collect()]
    assert {(each.key, each.reason) for each in collected} == {(key, "") for key in lost}
    assert set(files(service)) == known | {"notes.txt"}


async def test_damage_is_told_and_left_alone(service: Service) -> None:
    """One flipped bit, a cut file, a missing one: each is told with its image; the whole ones are ok."""
    whole, flipped, cut, gone = [await filled(service, os.urandom(5 * MIB)) for _ in range(4)]
    path = await blob_of(service, flipped)
    data = bytearray(path.read_bytes())
    data[3 * MIB] ^= 1
    path.write_bytes(data)
    os.truncate(await blob_of(service, cut), 1000)
    (await blob_of(service, gone)).unlink()
    before = {name: path.stat().st_mtime_ns for name, path in files(service).items()}
    findings = {finding.image_id: finding async for finding in service.parts.upkeep.scrub()}
    states = {image: findings[image].state for image in (whole, flipped, cut, gone)}
    assert states == {whole: "ok", flipped: "damaged", cut: "damaged", gone: "missing"}
    assert "1000 bytes of" in findings[cut].detail
    assert {name: path.stat().st_mtime_ns for name, path in files(service).items()} == before


async def test_many_blobs_are_all_looked_at(service: Service) -> None:
    """More than one batch of rows, none twice."""
    made = {await filled(service, os.urandom(10)) for _ in range(120)}
    seen = [finding.image_id async for finding in service.parts.upkeep.scrub()]
    assert sorted(seen) == sorted(made)


async def test_a_store_that_fails_does_not_keep_others_waiting(prepared: Prepared, tmp_path: Path) -> None:
    """What can be deleted is; the failed store is told of."""
    stores = {
        "gone": FileStore(folder="gone", weight=2),
        "broken": S3Store(
            bucket="b", endpoint="http://127.0.0.1:1", access_key="a", secret_key="s", timeout=1
        ),
        "well": FileStore(folder="well"),
    }
    async with running(prepared, tmp_path, stores=stores) as service:
        (service.folder / "gone" / MARK).unlink()
        key = str(uuid.uuid4())
        (service.folder / "well" / key[:2]).mkdir()
        (service.folder / "well" / key[:2] / key).write_bytes(b"?")
        for dry_run in (True, False):
            collected = [each async for each in service.parts.upkeep.collect(dry_run=dry_run)]
            found = {(each.store, each.key): each.reason for each in collected}
            assert set(found) == {("gone", ""), ("broken", ""), ("well", key)}
            assert "missing or not mounted" in found["gone", ""]
            assert "The store 'broken' cannot be used" in found["broken", ""]
            assert found["well", key] == ""
            assert (service.folder / "well" / key[:2] / key).exists() == dry_run


async def test_what_a_store_still_lists_is_not_deleted(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that only says so is not believed."""

    async def idle(self: FilesystemStore, key: str) -> None:
        """Delete nothing."""

    key = str(uuid.uuid4())
    (service.folder / "images" / key[:2]).mkdir(exist_ok=True)
    (service.folder / "images" / key[:2] / key).write_bytes(b"?")
    with monkeypatch.context() as patched:
        patched.setattr(FilesystemStore, "delete", idle)
        (left,) = [each async for each in service.parts.upkeep.collect()]
    assert (left.key, left.reason) == (key, "The store still lists it.")


async def test_a_store_that_fails_after_deletions_confirms_none(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be listed once more may still be there."""
    key = str(uuid.uuid4())
    path = service.folder / "images" / key[:2] / key
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"?")
    listed = FilesystemStore.keys
    times = 0

    async def once(self: FilesystemStore) -> AsyncIterator[str]:
        nonlocal times
        times += 1
        if times > 1:
            raise Unavailable("The disk is gone.")
        async for each in listed(self):
            yield each

    monkeypatch.setattr(FilesystemStore, "keys", once)
    outcomes = [(each.key, each.reason) async for each in service.parts.upkeep.collect()]
    assert outcomes == [("", "The disk is gone."), (key, "The store failed before it could be listed again.")]


async def test_an_orphan_that_cannot_be_deleted_keeps_its_reason(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are deleted all the same."""
    keys = sorted(str(uuid.uuid4()) for _ in range(2))
    for key in keys:
        (service.folder / "images" / key[:2]).mkdir(exist_ok=True)
        (service.folder / "images" / key[:2] / key).write_bytes(b"?")
    delete = FilesystemStore.delete

    async def refuse(self: FilesystemStore, key: str) -> None:
        if key == keys[0]:
            raise Unavailable("The disk is read-only.")
        await delete(self, key)

    monkeypatch.setattr(FilesystemStore, "delete", refuse)
    outcomes = {each.key: each.reason async for each in service.parts.upkeep.collect()}
    assert outcomes == {keys[0]: "The disk is read-only.", keys[1]: ""}
    assert set(files(service)) == {keys[0]}


async def test_what_scrub_cannot_compare_is_unknown(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No digests, a store that is not in the settings, and one that does not answer; the others are ok."""
    undigested, whole = await filled(service, b"abc"), await filled(service, b"def")
    async with service.parts.database.write() as tx:
        await tx.execute(update(blobs).where(blobs.c.image_id == undigested), {"digests": None})
        await tx.execute(update(images).where(images.c.id == undigested), {"os_hash_value": None})
    found = {each.image_id: each async for each in service.parts.upkeep.scrub()}
    assert (found[undigested].state, found[undigested].detail) == ("unknown", "its digests were never noted")
    assert (found[whole].state, found[whole].detail) == ("ok", "")
    async with service.parts.database.write() as tx:
        await tx.execute(update(blobs).where(blobs.c.image_id == undigested), {"store": "former"})
    (former,) = [each async for each in service.parts.upkeep.scrub({undigested})]
    assert (former.state, former.store) == ("unknown", "former")
    assert former.detail == "there is no such store in the settings"

    async def fail(self: FilesystemStore, key: str) -> int:
        raise Unavailable("The disk does not answer.")

    monkeypatch.setattr(FilesystemStore, "size", fail)
    (silent,) = [each async for each in service.parts.upkeep.scrub({whole})]
    assert (silent.state, silent.detail) == ("unknown", "The disk does not answer.")


async def test_digests_of_the_image_are_compared_where_the_blob_has_none(service: Service) -> None:
    """As for bytes that another service has written."""
    image = await filled(service, b"abc")
    async with service.parts.database.write() as tx:
        await tx.execute(update(blobs).where(blobs.c.image_id == image), {"digests": None})
    (found,) = [each async for each in service.parts.upkeep.scrub()]
    assert found.state == "ok"
    (await blob_of(service, image)).write_bytes(b"abd")
    (found,) = [each async for each in service.parts.upkeep.scrub()]
    assert found.state == "damaged"


async def test_bytes_in_memory_are_left_to_the_server(prepared: Prepared, tmp_path: Path) -> None:
    """A command beside the server sees none of them, and does not call them missing."""
    stores = {"fast": MemoryStore(limit=1 << 20)}
    async with running(prepared, tmp_path, stores=stores) as service:
        image = await filled(service, b"abc")
        database = service.parts.settings.database
        beside = wiring.Service(make_settings(service.folder, stores=stores, database=database))
        (found,) = [each async for each in beside.upkeep.scrub()]
        await beside.close()
    assert (found.image_id, found.state) == (image, "unknown")
    assert found.detail == "only the server's own process sees this store"

"""gc finds and deletes unknown data; scrub reports changed data and keeps it."""

import os
import uuid
from pathlib import Path

import pytest

from inprocess import Prepared, Service, running
from tintype.blobs.filesystem import FilesystemStore
from tintype.blobs.marks import MARK
from tintype.settings.stores import FileStore, S3Store

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

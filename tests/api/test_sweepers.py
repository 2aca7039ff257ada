"""Several sweepers on one database: each condemned blob is deleted by one of them, then forgotten."""

import asyncio
from pathlib import Path

import pytest

from inprocess import Prepared, Service, make_settings, running
from tintype.blobs.filesystem import FilesystemStore
from tintype.errors import Conflict
from tintype.wiring import service as wiring

BINARY = {"Content-Type": "application/octet-stream"}
IMAGES = 10


async def deleted(service: Service) -> None:
    """Make images and delete them; their bytes wait for a sweeper."""
    body = {"disk_format": "raw", "container_format": "bare"}
    for _ in range(IMAGES):
        image = (await service.call("alice", "POST", "/v2/images", json=body)).json()
        path = f"/v2/images/{image['id']}"
        await service.call("alice", "PUT", f"{path}/file", content=b"abc", headers=BINARY)
        assert (await service.call("alice", "DELETE", path)).status_code == 204


def node_of(service: Service) -> wiring.Service:
    database = service.parts.settings.database
    return wiring.Service(make_settings(service.folder, database=database))


def files(service: Service) -> list[str]:
    return [path.name for path in (service.folder / "images").glob("*/*") if path.is_file()]


async def test_each_blob_is_deleted_by_one_sweeper(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four at once ask the store once for each blob, however long it takes to delete one."""
    deletions: list[str] = []
    delete = FilesystemStore.delete

    async def slow(self: FilesystemStore, key: str) -> None:
        deletions.append(key)
        await asyncio.sleep(0.02)
        await delete(self, key)

    monkeypatch.setattr(FilesystemStore, "delete", slow)
    async with running(prepared, tmp_path) as service:
        await deleted(service)
        nodes = [node_of(service) for _ in range(4)]
        await asyncio.gather(*(node.sweeper.sweep() for node in nodes))
        for node in nodes:
            await node.close()
        print(f"{IMAGES} blobs, {len(deletions)} deletions")
        assert sorted(deletions) == sorted(set(deletions))
        assert len(deletions) == IMAGES
        assert files(service) == []


async def test_what_a_store_keeps_is_not_forgotten(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that cannot delete yet is asked again at the next sweep, and others are not kept waiting."""
    await deleted(service)
    delete = FilesystemStore.delete
    refused: list[str] = []

    async def refusing(self: FilesystemStore, key: str) -> None:
        if not refused or key == refused[0]:
            refused.append(key)
            raise Conflict("The image is in use in its store.")
        await delete(self, key)

    with monkeypatch.context() as patched:
        patched.setattr(FilesystemStore, "delete", refusing)
        await service.parts.sweeper.sweep()
        assert files(service) == [refused[0]]
        await service.parts.sweeper.sweep()
        assert refused == [refused[0]] * 2
    await service.parts.sweeper.sweep()
    assert files(service) == []
    collected = [each async for each in service.parts.upkeep.collect()]
    assert collected == []

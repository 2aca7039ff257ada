"""Nothing stays in a Ceph pool without a row: many sweepers at once, and removals that are killed."""

import asyncio
import contextlib
import json
import os
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio
from removing import TIMEOUT_SECONDS, Killer, left_in

import ceph as cluster
from ceph import Ceph
from inprocess import Prepared, Service, make_settings, running
from tintype.blobs.rbd import RbdStore
from tintype.errors import Conflict, Unavailable
from tintype.settings import stores as store_settings
from tintype.testing.stores import by_writing, keys, read
from tintype.wiring import service as wiring

pytestmark = [
    pytest.mark.needs("ceph"),
    pytest.mark.xdist_group("ceph"),
]
MIB = 1 << 20
BINARY = {"Content-Type": "application/octet-stream"}
IMAGES = int(os.environ.get("DELETED_IMAGES", "12"))
"""The long form has 1,000, and KILLS=50."""
KILLS = int(os.environ.get("KILLS", "10"))


@pytest_asyncio.fixture
async def rbd(ceph: Ceph) -> AsyncIterator[RbdStore]:
    """Give a store in a pool of which nothing is left but what every pool has."""
    store = opened(ceph)
    yield store
    await store.close()
    assert left_in(ceph) == []


def opened(ceph: Ceph, pool: str = cluster.POOL) -> RbdStore:
    return RbdStore("rbd", pool=pool, user="admin", conf=str(ceph.conf), timeout=TIMEOUT_SECONDS)


async def deleted_by_all(store: RbdStore, left: Sequence[str]) -> None:
    """Delete everything; a client that was killed watches its image for half a minute."""
    deadline = time.monotonic() + 120
    while left:
        still = []
        for key in left:
            try:
                await store.delete(key)
            except Conflict:
                still.append(key)
        left = still
        assert time.monotonic() < deadline, f"{len(left)} images cannot be deleted"
        await asyncio.sleep(1 if left else 0)


@pytest.mark.timeout(300 + 20 * KILLS)
async def test_a_removal_that_was_killed_is_finished(ceph: Ceph, rbd: RbdStore) -> None:
    """Wherever it was: the snapshot in the trash, the image in the trash, half of its objects gone."""
    made = [str(uuid.uuid4()) for _ in range(KILLS + 1)]
    for key in made:
        await by_writing(rbd)(key, bytes(32 * MIB))
    started = time.monotonic()
    await rbd.delete(made.pop())
    took = time.monotonic() - started
    killer = Killer(ceph, 18)
    for key in made:
        await asyncio.to_thread(killer.remove, [key], took * 1.2)
    await deleted_by_all(rbd, made)
    print(f"{killer.kills} removals killed within {took:.2f} s, objects left: {len(left_in(ceph))}")
    assert killer.kills > 0
    assert left_in(ceph) == []
    assert await keys(rbd) == set()


@pytest.mark.parametrize("form", ["snapshot", "directory", "id", "trash"])
async def test_each_form_that_a_removal_leaves(ceph: Ceph, rbd: RbdStore, form: str) -> None:
    """The states that kills were seen to leave, made on purpose."""
    key = str(uuid.uuid4())
    name, kept = f"tintype-{key}", str(ceph.folder / "kept")
    await by_writing(rbd)(key, bytes(MIB))
    if form == "snapshot":
        spec = f"{cluster.POOL}/{name}"
        ceph.run("rbd", "snap", "unprotect", f"{spec}@snap")
        ceph.run("rbd", "clone", "--rbd-default-clone-format", "2", f"{spec}@snap", f"{cluster.POOL}/child")
        ceph.run("rbd", "snap", "rm", "--no-progress", f"{spec}@snap")  # a clone keeps it in the trash
        with pytest.raises(Conflict):
            await rbd.delete(key)
        ceph.run("rbd", "rm", "--no-progress", f"{cluster.POOL}/child")
    elif form == "directory":
        ceph.run("rbd", "snap", "unprotect", f"{cluster.POOL}/{name}@snap")
        ceph.run("rados", "-p", cluster.POOL, "get", f"rbd_id.{name}", kept)
        ceph.run("rados", "-p", cluster.POOL, "rm", f"rbd_id.{name}")
        with pytest.raises(Conflict):  # its snapshot is still there
            await rbd.delete(key)
        ceph.run("rados", "-p", cluster.POOL, "put", f"rbd_id.{name}", kept)
        ceph.run("rbd", "snap", "rm", "--no-progress", f"{cluster.POOL}/{name}@snap")
        ceph.run("rados", "-p", cluster.POOL, "rm", f"rbd_id.{name}")
    elif form == "id":
        ceph.run("rados", "-p", cluster.POOL, "get", f"rbd_id.{name}", kept)
        await rbd.delete(key)
        ceph.run("rados", "-p", cluster.POOL, "put", f"rbd_id.{name}", kept)
    else:
        ceph.run("rbd", "snap", "unprotect", f"{cluster.POOL}/{name}@snap")
        ceph.run("rbd", "snap", "rm", "--no-progress", f"{cluster.POOL}/{name}@snap")
        ceph.run("rbd", "trash", "mv", "--expires-at", "1 hour", f"{cluster.POOL}/{name}")
        assert await keys(rbd) == {key}
        with pytest.raises(Conflict, match="kept in the trash"):
            await rbd.delete(key)
        image_id = ceph.run("rbd", "trash", "ls", cluster.POOL).split()[0]
        ceph.run("rbd", "trash", "restore", f"{cluster.POOL}/{image_id}")
        ceph.run("rbd", "trash", "mv", f"{cluster.POOL}/{name}")
    await rbd.delete(key)
    assert left_in(ceph) == []


@pytest.mark.timeout(300 + 10 * IMAGES)
async def test_many_sweepers_leave_nothing(
    prepared: Prepared, tmp_path: Path, ceph: Ceph, rbd: RbdStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two nodes of two workers each: every image is deleted by one of them, and is gone."""
    deletions: list[str] = []
    delete = RbdStore.delete

    async def counted(self: RbdStore, key: str) -> None:
        deletions.append(key)
        await delete(self, key)

    monkeypatch.setattr(RbdStore, "delete", counted)
    stores = {"rbd": store_settings.RbdStore(user="admin", conf=str(ceph.conf), timeout=TIMEOUT_SECONDS)}
    async with running(prepared, tmp_path, stores=stores) as service:
        for each in [await filled(service) for _ in range(IMAGES)]:
            assert (await service.call("alice", "DELETE", each)).status_code == 204
        settings = make_settings(service.folder, stores=stores, database=service.parts.settings.database)
        nodes = [wiring.Service(settings) for _ in range(4)]
        await asyncio.gather(*(node.sweeper.sweep() for node in nodes))
        for node in (*nodes, service.parts):
            await node.stores["rbd"].close()
        for node in nodes:
            await node.database.close()
    print(f"{IMAGES} images, {len(deletions)} deletions, objects left: {len(left_in(ceph))}")
    assert left_in(ceph) == []
    assert len(deletions) == IMAGES


async def test_a_pool_that_is_gone_is_not_an_empty_one(ceph: Ceph) -> None:
    """Images in it are neither missing nor deleted: it is the store that does not work, until it is back."""
    ceph.run("ceph", "config", "set", "mon", "mon_allow_pool_delete", "true")
    with pool_of(ceph, "gone"):
        store, key = opened(ceph, "gone"), str(uuid.uuid4())
        await by_writing(store)(key, b"abc")
    for work in (store.check(), store.size(key), store.delete(key), keys(store), read(store, key, 0, 1)):
        with pytest.raises(Unavailable, match="has no pool 'gone'"):
            await work
    with pool_of(ceph, "gone"):
        with pytest.raises(Unavailable, match="created anew"):
            await store.check()
        await by_writing(store)(key, b"abc")
        assert await read(store, key, 0, 3) == b"abc"
    await store.close()


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
async def test_a_download_from_a_pool_that_is_gone(prepared: Prepared, tmp_path: Path, ceph: Ceph) -> None:
    """503, not 404; operators see it in the service's health, and nothing is forgotten of what is deleted."""
    ceph.run("ceph", "config", "set", "mon", "mon_allow_pool_delete", "true")
    stores = {
        "rbd": store_settings.RbdStore(
            pool="gone", user="admin", conf=str(ceph.conf), timeout=TIMEOUT_SECONDS
        )
    }
    async with running(prepared, tmp_path, stores=stores) as service:
        with pool_of(ceph, "gone"):
            image = await filled(service)
        answer = await service.call("alice", "GET", f"{image}/file")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        detail = (await service.call("admin", "GET", "/healthcheck/detail")).json()
        assert "has no pool 'gone'" in json.dumps(detail)
        collected = [each async for each in service.parts.upkeep.collect()]
        assert [(each.key, "has no pool" in each.reason) for each in collected] == [("", True)]
        await service.parts.stores["rbd"].close()


@contextlib.contextmanager
def pool_of(ceph: Ceph, name: str) -> Iterator[None]:
    ceph.run("ceph", "osd", "pool", "create", name, "1")
    ceph.run("rbd", "pool", "init", name)
    yield
    ceph.run("ceph", "osd", "pool", "rm", name, name, "--yes-i-really-really-mean-it")


async def filled(service: Service) -> str:
    body = {"disk_format": "raw", "container_format": "bare"}
    image = (await service.call("alice", "POST", "/v2/images", json=body)).json()
    path = f"/v2/images/{image['id']}"
    answer = await service.call("alice", "PUT", f"{path}/file", content=bytes(3 * MIB), headers=BINARY)
    assert answer.status_code == 204
    return path

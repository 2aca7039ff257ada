"""Stores in a real Ceph: objects behind its S3 gateway, images in an RBD pool."""

import asyncio
import hashlib
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import msgspec
import pytest
import pytest_asyncio

import ceph as cluster
from ceph import Ceph
from inprocess import Prepared, Service, running
from tintype.blobs import conformance
from tintype.blobs.base import Clonable, Resumable
from tintype.blobs.conformance import Check, by_writing
from tintype.blobs.rbd import RbdStore
from tintype.blobs.s3 import S3Store
from tintype.errors import Unavailable
from tintype.openers import own_settings
from tintype.settings import stores as store_settings

pytestmark = [
    pytest.mark.needs("ceph"),
    pytest.mark.xdist_group("ceph"),
]
MIB = 1 << 20
BINARY = {"Content-Type": "application/octet-stream"}
ANY = store_settings.S3Store(bucket="b", endpoint="http://localhost", access_key="a", secret_key="s")
ALL = conformance.checks_of(S3Store("s3", **own_settings(ANY)))


def s3_settings(ceph: Ceph, timeout: int = 30) -> store_settings.S3Store:
    return store_settings.S3Store(
        bucket=cluster.BUCKET,
        endpoint=ceph.endpoint,
        access_key=cluster.KEY,
        secret_key=cluster.SECRET,
        timeout=timeout,
    )


@pytest_asyncio.fixture
async def s3(ceph: Ceph) -> AsyncIterator[S3Store]:
    """Give a store in a bucket that is empty before and after."""
    chosen = s3_settings(ceph)
    store = S3Store("s3", **own_settings(chosen))
    await store.call("create_bucket")
    yield store
    assert "Contents" not in await store.call("list_objects_v2")
    assert [found async for found in store.uploads("")] == []
    await store.close()


@pytest_asyncio.fixture
async def rbd(ceph: Ceph) -> AsyncIterator[RbdStore]:
    """Give a store in a pool that is empty before and after."""
    store = RbdStore("rbd", pool=cluster.POOL, user="admin", conf=str(ceph.conf), timeout=5)
    yield store
    await store.close()
    assert ceph.run("rbd", "ls", cluster.POOL) == ""


@pytest.mark.parametrize("check", ALL, ids=lambda check: check.__name__)
async def test_s3(s3: S3Store, check: Check) -> None:
    """A bucket does what a store must, and no object or part is left in it."""
    assert isinstance(s3, Resumable)
    await check(s3, by_writing(s3))


@pytest.mark.parametrize("check", ALL, ids=lambda check: check.__name__)
async def test_rbd(rbd: RbdStore, check: Check) -> None:
    """A pool does what a store must, and no image is left in it."""
    assert isinstance(rbd, Resumable)
    await check(rbd, by_writing(rbd))


async def test_a_signed_address_is_good_for_anybody(s3: S3Store) -> None:
    """Without credentials, for a while."""
    await by_writing(s3)("signed", b"abc")
    address = await s3.signed_url("signed", 60)
    async with httpx2.AsyncClient(trust_env=False) as client:
        assert (await client.get(address)).content == b"abc"
        assert (await client.get(address.partition("?")[0])).status_code == 403
    await s3.delete("signed")


async def test_a_wrong_secret_is_told_without_it(ceph: Ceph) -> None:
    """The failure is 503 for the caller, and says nothing of credentials."""
    chosen = msgspec.structs.replace(s3_settings(ceph), secret_key="hidden-and-wrong")
    store = S3Store("s3", **own_settings(chosen))
    for work in (store.size("x"), store.delete("x"), by_writing(store)("x", b"abc")):
        with pytest.raises(Unavailable) as failure:
            await work
        assert "hidden" not in failure.value.message
    await store.close()


async def test_a_part_that_is_not_taken_is_not_forgotten(ceph: Ceph) -> None:
    """With the gateway away a flush fails too: nothing is promised that is only in memory."""
    chosen = msgspec.structs.replace(s3_settings(ceph, timeout=1), endpoint="http://127.0.0.1:1")
    store = S3Store("s3", **own_settings(chosen))
    writer = await store.create("x", 100 * MIB)
    with pytest.raises(Unavailable):
        await writer.write(memoryview(os.urandom(20 * MIB)))
    with pytest.raises(Unavailable):
        await writer.flush()
    await store.close()


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
async def test_what_was_cloned_stays(prepared: Prepared, tmp_path: Path, ceph: Ceph, rbd: RbdStore) -> None:
    """An image that a volume was cloned from is not deleted: 409; afterwards it can be."""
    stores = {"rbd": store_settings.RbdStore(user="admin", conf=str(ceph.conf), timeout=5)}
    async with running(prepared, tmp_path, stores=stores) as service:
        data = os.urandom(3 * MIB + 5)
        image = await make(service)
        assert (
            await service.call("alice", "PUT", f"{image}/file", content=data, headers=BINARY)
        ).status_code == 204
        assert (await service.call("alice", "GET", f"{image}/file")).content == data
        (key,) = [found async for found in rbd.keys()]
        assert isinstance(rbd, Clonable)
        ceph.run("rbd", "clone", f"{cluster.POOL}/tintype-{key}@snap", f"{cluster.POOL}/volume")
        assert (await service.call("alice", "DELETE", image)).status_code == 409
        ceph.run("rbd", "rm", "--no-progress", f"{cluster.POOL}/volume")
        assert (await service.call("alice", "DELETE", image)).status_code == 204
        await service.parts.sweeper.sweep()
        await service.parts.intake.stores["rbd"].close()


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
@pytest.mark.parametrize("kind", ["s3", "rbd"])
async def test_a_store_that_dies_in_the_middle(
    prepared: Prepared, tmp_path: Path, ceph: Ceph, s3: S3Store, rbd: RbdStore, kind: str
) -> None:
    """The upload is 503, the image queued with the reason; when the store is back, nothing is left of it."""
    stores = {
        "s3": {"s3": s3_settings(ceph, timeout=3)},
        "rbd": {"rbd": store_settings.RbdStore(user="admin", conf=str(ceph.conf), timeout=5)},
    }[kind]
    async with running(prepared, tmp_path, stores=stores) as service:
        store = service.parts.intake.store(None)
        image = await make(service)

        async def dies_in_the_middle() -> AsyncIterator[bytes]:
            yield os.urandom(20 * MIB)
            ceph.signal("osd.0", signal.SIGSTOP)
            yield os.urandom(20 * MIB)

        try:
            answer = await service.call(
                "alice", "PUT", f"{image}/file", content=dies_in_the_middle(), headers=BINARY
            )
            assert answer.status_code == 503, answer.text
            shown = (await service.call("alice", "GET", image)).json()
            assert shown["status"] == "queued"
            assert "cannot be used: no answer in time" in shown["os_glance_failed_reason"]
        finally:
            ceph.signal("osd.0", signal.SIGCONT)
        data = os.urandom(MIB)
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:  # the cluster takes its time to come back
            answer = await service.call("alice", "PUT", f"{image}/file", content=data, headers=BINARY)
            if answer.status_code == 204:
                break
        assert answer.status_code == 204, answer.text
        assert (await service.call("alice", "GET", f"{image}/file")).content == data
        shown = (await service.call("alice", "GET", image)).json()
        assert shown["os_hash_value"] == hashlib.sha512(data).hexdigest()
        await service.call("alice", "DELETE", image)
        while [found async for found in store.keys()] and time.monotonic() < deadline:
            await service.parts.sweeper.sweep()
            await asyncio.sleep(0.2)
        await store.close()


async def make(service: Service) -> str:
    body = {"disk_format": "raw", "container_format": "bare"}
    image = (await service.call("alice", "POST", "/v2/images", json=body)).json()
    return f"/v2/images/{image['id']}"

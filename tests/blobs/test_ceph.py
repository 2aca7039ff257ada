"""Stores in a real Ceph: objects behind its S3 gateway, images in an RBD pool."""

import asyncio
import hashlib
import os
import re
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

import ceph as cluster
from ceph import Ceph
from inprocess import Prepared, Service, running
from tintype.blobs.base import Clonable, Resumable
from tintype.blobs.rbd import RbdStore
from tintype.blobs.s3 import S3Store
from tintype.errors import StartError, Unavailable
from tintype.observability.failures import reason_of
from tintype.settings import LocationSettings
from tintype.settings import stores as store_settings
from tintype.testing import stores as conformance
from tintype.testing.stores import Check, by_writing
from tintype.wiring.stores import own_settings

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
    store = RbdStore("rbd", pool=cluster.POOL, user="admin", conf=str(ceph.conf), timeout=30)
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


async def test_a_wrong_secret_is_told_without_it(ceph: Ceph) -> None:
    """The failure is 503 for the caller, and says nothing of credentials."""
    chosen = msgspec.structs.replace(s3_settings(ceph), secret_key="hidden-and-wrong")
    store = S3Store("s3", **own_settings(chosen))
    for work in (store.size("x"), store.delete("x"), by_writing(store)("x", b"abc")):
        with pytest.raises(Unavailable) as failure:
            await work
        assert "hidden" not in failure.value.message
    await store.close()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"bucket": "no-such-bucket"}, "The bucket of the store 's3' does not exist."),
        ({"access_key": "nobody"}, "the setting access_key names no user"),
        ({"secret_key": "hidden-and-wrong"}, "the setting secret_key is wrong"),
        ({"endpoint": "http://127.0.0.1:1"}, "The store 's3' cannot be used"),
    ],
)
async def test_a_bucket_that_cannot_be_used(ceph: Ceph, change: dict[str, str], says: str) -> None:
    """Its check says what is wrong; no verb takes it for a bucket without the object."""
    chosen = msgspec.structs.replace(s3_settings(ceph, timeout=2), **change)
    store = S3Store("s3", **own_settings(chosen))
    await conformance.says_what_is_wrong(store)
    for work in (store.check(), store.size("x"), store.delete("x"), conformance.read(store, "x", 0, 1)):
        with pytest.raises(Unavailable) as failure:
            await work
        assert "hidden" not in reason_of(failure.value)
    with pytest.raises(Unavailable) as failure:
        await store.check()
    assert says in reason_of(failure.value)
    await store.close()


@pytest.fixture
def users_of_ceph(ceph: Ceph, tmp_path: Path) -> Callable[[str], str]:
    """Return how a configuration with another keyring is made: of a user as the cluster knows it, or not."""

    def conf(keyring: str) -> str:
        path = tmp_path / "keyring"
        path.write_text(keyring)
        changed = re.sub("keyring = .*", f"keyring = {path}", ceph.conf.read_text())
        (tmp_path / "ceph.conf").write_text(changed)
        return str(tmp_path / "ceph.conf")

    return conf


@pytest.mark.parametrize(
    ("pool", "keyring", "says"),
    [
        ("no-such-pool", "known", "has no pool 'no-such-pool' in its cluster"),
        (cluster.POOL, "", "finds no key of the Ceph user client.other in its keyring"),
        (
            cluster.POOL,
            "[client.other]\n\tkey = AQBhT0VmAAAAABAAq3VmZ3ZmZ3ZmZ3ZmZ3ZmZw==\n",
            "the cluster has no Ceph user client.other with this key",
        ),
        (cluster.POOL, "nonsense\n", "cannot read the keyring of the Ceph user client.other"),
        (cluster.POOL, "known", "ceph auth caps client.other mon 'profile rbd' osd 'profile rbd'"),
    ],
)
async def test_a_pool_that_cannot_be_used(
    ceph: Ceph, users_of_ceph: Callable[[str], str], pool: str, keyring: str, says: str
) -> None:
    """Each fault of a user, its keyring, its rights or the pool has words of its own."""
    ceph.run("ceph", "auth", "rm", "client.other")
    if keyring == "known":
        keyring = ceph.run("ceph", "auth", "get-or-create", "client.other", "mon", "allow r")
    store = RbdStore("rbd", pool=pool, user="other", conf=users_of_ceph(keyring), timeout=5)
    await conformance.says_what_is_wrong(store)
    with pytest.raises(Unavailable) as failure:
        await store.check()
    await store.close()
    assert says in reason_of(failure.value)


def test_a_configuration_of_ceph_that_is_missing(tmp_path: Path) -> None:
    """It can never work: the start ends with its path."""
    with pytest.raises(StartError, match=r"none\.conf"):
        RbdStore("rbd", pool="p", user="u", conf=str(tmp_path / "none.conf"), timeout=5)


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
    stores = {"rbd": store_settings.RbdStore(user="admin", conf=str(ceph.conf), timeout=30)}
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
        await service.parts.ingest.stores["rbd"].close()


NOVA = """\
import sys, urllib.parse
import rados, rbd
conf, url, disk = sys.argv[1:]
assert url.startswith("rbd://")
fsid, pool, image, snapshot = map(urllib.parse.unquote, url[len("rbd://"):].split("/"))
cluster = rados.Rados(rados_id="admin", conffile=conf)
cluster.connect()
assert cluster.get_fsid() == fsid, "the image is in another cluster"
ioctx = cluster.open_ioctx(pool)
rbd.Image(ioctx, image, snapshot=snapshot, read_only=True).close()
rbd.RBD().clone(ioctx, image, snapshot, ioctx, disk, features=rbd.RBD_FEATURE_LAYERING)
"""
"""What Nova does to boot from an image (`is_cloneable` and `clone` of its `nova.storage.rbd_utils`)."""


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
async def test_others_boot_from_an_image_without_a_copy(
    prepared: Prepared, tmp_path: Path, ceph: Ceph, rbd: RbdStore
) -> None:
    """Nova reads `direct_url` with the token of its user, of another project, and clones what is there."""
    stores = {"rbd": store_settings.RbdStore(user="admin", conf=str(ceph.conf), timeout=30)}
    shown_to_all = LocationSettings(show_direct_url=True)
    async with running(prepared, tmp_path, stores=stores, locations=shown_to_all) as service:
        data = os.urandom(MIB)
        body = {"disk_format": "raw", "container_format": "bare", "visibility": "public"}
        made = (await service.call("admin", "POST", "/v2/images", json=body)).json()
        image = f"/v2/images/{made['id']}"
        await service.call("admin", "PUT", f"{image}/file", content=data, headers=BINARY)
        url = (await service.call("bob", "GET", image)).json()["direct_url"]
        nova = ["/usr/bin/python3", "-c", NOVA, ceph.conf, url, "disk"]  # Ceph's bindings are Debian's
        done = await asyncio.to_thread(subprocess.run, nova, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        (key,) = [found async for found in rbd.keys()]
        assert f"parent: {cluster.POOL}/tintype-{key}@snap" in ceph.run("rbd", "info", f"{cluster.POOL}/disk")
        ceph.run("rbd", "export", "--no-progress", f"{cluster.POOL}/disk", tmp_path / "disk")
        assert (tmp_path / "disk").read_bytes() == data
        ceph.run("rbd", "rm", "--no-progress", f"{cluster.POOL}/disk")
        assert (await service.call("admin", "DELETE", image)).status_code == 204
        await service.parts.sweeper.sweep()
        await service.parts.ingest.stores["rbd"].close()


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
        store = service.parts.ingest.store(None)
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

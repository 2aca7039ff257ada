"""kill -9 in the middle of uploads and deletions in a real Ceph: nothing is lost, nothing left in the store.

The store is asked directly: objects and multipart uploads of the bucket; images, snapshots and the trash of
the pool. CRASH_ROUNDS and CRASH_SEED are those of test_crashes; without them there are a few kills.
"""

import asyncio
import hashlib
import json
import os
import random
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
from test_crashes import SEED, Known, Tables, at_work, crowd, kill, trim

import ceph as a_ceph
from ceph import Ceph
from postgres import Cluster
from processes import Server, started
from tintype.blobs.s3 import S3Store
from tintype.settings import stores as store_settings
from tintype.wiring.stores import own_settings

SHORT = 3
ROUNDS = int(os.environ.get("CRASH_ROUNDS", str(SHORT)))
WITHIN = 120
"""Seconds after a restart for the sweep to end: Ceph has to notice that a client died."""

pytestmark = [
    pytest.mark.needs("ceph"),
    pytest.mark.needs("postgresql"),
    pytest.mark.xdist_group("ceph"),
    pytest.mark.timeout(600 + ROUNDS * 90),
]


class Bucket:
    """A bucket behind the S3 gateway."""

    def __init__(self, ceph: Ceph) -> None:
        bucket = "crashes"
        self._settings = store_settings.S3Store(
            bucket=bucket, endpoint=ceph.endpoint, access_key=a_ceph.KEY, secret_key=a_ceph.SECRET
        )
        self.environment: dict[str, Any] = {
            "TINTYPE_STORES_LOCAL_TYPE": "s3",
            "TINTYPE_STORES_LOCAL_BUCKET": bucket,
            "TINTYPE_STORES_LOCAL_ENDPOINT": ceph.endpoint,
            "TINTYPE_STORES_LOCAL_ACCESS_KEY": a_ceph.KEY,
            "TINTYPE_STORES_LOCAL_SECRET_KEY": a_ceph.SECRET,
        }
        asyncio.run(self._create())

    def names(self) -> set[str]:
        """Give what the bucket holds: the last part of each object's and multipart upload's name."""
        return asyncio.run(self._names())

    async def _create(self) -> None:
        store = S3Store("s3", **own_settings(self._settings))
        await store.call("create_bucket")
        await store.close()

    async def _names(self) -> set[str]:
        store = S3Store("s3", **own_settings(self._settings))
        try:
            listed = (await store.call("list_objects_v2")).get("Contents", [])
            parts = (await store.call("list_multipart_uploads")).get("Uploads", [])
        finally:
            await store.close()
        return {_id_in(str(each["Key"])) for each in (*listed, *parts)}


class Pool:
    """A pool of RBD images."""

    def __init__(self, ceph: Ceph) -> None:
        self._ceph = ceph
        self.environment: dict[str, Any] = {
            "TINTYPE_STORES_LOCAL_TYPE": "rbd",
            "TINTYPE_STORES_LOCAL_POOL": a_ceph.POOL,
            "TINTYPE_STORES_LOCAL_USER": "admin",
            "TINTYPE_STORES_LOCAL_CONF": str(ceph.conf),
        }

    def names(self) -> set[str]:
        """Give what the pool holds: images, the trash, and snapshots that nobody can use."""
        run, pool = self._ceph.run, a_ceph.POOL
        found = set(json.loads(run("rbd", "ls", pool, "--format", "json")))
        for name in sorted(found):
            try:
                listed = run("rbd", "snap", "ls", "--all", f"{pool}/{name}", "--format", "json")
            except AssertionError:  # half removed: it is listed, and cannot be opened
                continue
            for snapshot in json.loads(listed):
                if (kind := snapshot.get("namespace", {}).get("type", "user")) != "user":
                    found.add(f"{name}@{snapshot['name']} ({kind})")
        trash = json.loads(run("rbd", "trash", "ls", "--all", pool, "--format", "json"))
        found |= {f"{each['name']} (trash)" for each in trash}
        return {name.removeprefix("tintype-") for name in found}


def _id_in(key: str) -> str:
    """Give the id of a blob in the name of an object, which may have an ending while it is unfinished."""
    name = key.rpartition("/")[2]
    return name.partition(".rest-")[0]


@pytest.mark.parametrize("kind", [Bucket, Pool], ids=["s3", "rbd"])
def test_nothing_is_left_in_the_store(
    tmp_path: Path, ceph: Ceph, cluster: Cluster, kind: type[Bucket] | type[Pool]
) -> None:
    """After each kill and restart the store has what the rows say, and nothing besides."""
    chance = random.Random(SEED)
    print(f"CRASH_SEED={SEED} CRASH_ROUNDS={ROUNDS}")
    known, folder, store = Known(), tmp_path / "data", kind(ceph)
    tables = Tables(folder, cluster)
    environment: dict[str, Any] = {**tables.environment, **store.environment}
    for number in range(ROUNDS):
        with started(folder, "--workers", "2", **environment) as server:
            token = server.log_in()
            check(server, tables, known, token, store)
            trim(server, known, token)
            with at_work(crowd(server.url, token, chance, known, disturbed=ROUNDS > SHORT)):
                time.sleep(chance.uniform(0.2, 3))
                kill(server)
        tables.let_leases_pass()
        print(f"{number + 1} kills, {len(known.active)} images active", flush=True)
    with started(folder, "--workers", "2", **environment) as server:
        token = server.log_in()
        check(server, tables, known, token, store)
        remove_all(server, token)
        wait_for_sweep(tables)
        assert store.names() == set(), "an empty service leaves bytes in its store"


def check(server: Server, tables: Tables, known: Known, token: str, store: Bucket | Pool) -> None:
    """Hold database, store and answers against each other and against what was acknowledged."""
    wait_for_sweep(tables)
    images = dict(tables.rows("id, status FROM images"))
    assert set(images.values()) <= {"queued", "active", "uploading"}, "an image is stuck"
    blobs = tables.rows("id, image_id, state, digests FROM blobs")
    names = store.names()
    unknown = names - {blob for blob, *_ in blobs}
    assert not unknown, f"the store holds what nobody knows of: {unknown}"
    missing = {blob for blob, _, state, _ in blobs if state in {"ready", "staged"}} - names
    assert not missing, f"the store does not hold what is known: {missing}"
    complete = {image: json.loads(digests) for _, image, state, digests in blobs if state == "ready"}
    for image, digest in list(known.active.items()):
        assert complete[image]["os_hash_value"] == digest, "an acknowledged upload is gone"
    headers = {"X-Auth-Token": token}
    for image in random.sample(sorted(known.active), min(3, len(known.active))):
        content = download(server, f"/v2/images/{image}/file", headers)
        assert hashlib.sha512(content).hexdigest() == known.active[image]
    assert not known.deleted & set(images), "an acknowledged deletion is undone"


def download(server: Server, path: str, headers: dict[str, str]) -> bytes:
    """Return the bytes of an image.

    Right after a kill the store may cut an answer, as the log explains; the bytes must be there all the same.
    """
    for _ in range(3):
        try:
            return httpx2.get(f"{server.url}{path}", headers=headers, timeout=60).content
        except httpx2.TransportError as error:
            log = server.folder.with_name(f"{server.folder.name}.log").read_text().splitlines()
            print(f"{error}; the server's last lines:", *log[-8:], sep="\n")
            time.sleep(1)
    raise AssertionError(f"{path} is not answered whole in three tries")


def wait_for_sweep(tables: Tables) -> None:
    """Wait until nothing is being written or deleted any more."""
    deadline = time.monotonic() + WITHIN
    while tables.rows("id FROM blobs WHERE state IN ('writing', 'condemned')"):
        assert time.monotonic() < deadline, "the sweep does not end"
        tables.let_leases_pass()
        time.sleep(1)


def remove_all(server: Server, token: str) -> None:
    """Delete every image."""
    headers = {"X-Auth-Token": token}
    with httpx2.Client(base_url=server.url, headers=headers, timeout=60, trust_env=False) as http:
        for image in http.get("/v2/images?limit=1000").json()["images"]:
            assert http.delete(f"/v2/images/{image['id']}").status_code in {204, 404}

"""Every import method by the official clients: into files, S3 and RBD, and from other regions."""

import hashlib
import json
import os
import pty
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

import ceph as cluster
import glance
import web
from ceph import Ceph
from keystone import PASSWORD, Keystone
from processes import BINARY, Server, eventually, started

DATA = os.urandom(3_000_000)
FORMATS = ("--disk-format", "raw", "--container-format", "bare")


def slow(request: web.Request) -> None:
    """Give the bytes in a few seconds, so that one can see how far it is."""
    if request.path != "/slow":
        request.ranged(DATA)
        return
    request.send_response(200)
    request.send_header("Content-Length", str(len(DATA)))
    request.end_headers()
    for at in range(0, len(DATA), 300_000):
        request.wfile.write(DATA[at : at + 300_000])
        request.wfile.flush()
        time.sleep(0.8)


@pytest.fixture(scope="module")
def source() -> Iterator[web.Server]:
    with web.serving(slow) as server:
        yield server


@pytest.fixture(scope="module")
def cloud(source: web.Server, ceph: Ceph, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give a server with files, a bucket and a pool, a cache, and a source to download from."""
    pool = {"POOL": cluster.POOL, "USER": "admin", "CONF": str(ceph.conf)}
    bucket = {
        "BUCKET": cluster.BUCKET,
        "ENDPOINT": ceph.endpoint,
        "ACCESS_KEY": cluster.KEY,
        "SECRET_KEY": cluster.SECRET,
    }
    make_bucket(ceph)
    environment: dict[str, Any] = {
        "TINTYPE_STORES_FILES_TYPE": "file",
        "TINTYPE_STORES_BUCKET_TYPE": "s3",
        "TINTYPE_STORES_POOL_TYPE": "rbd",
        **{f"TINTYPE_STORES_BUCKET_{name}": value for name, value in bucket.items()},
        **{f"TINTYPE_STORES_POOL_{name}": value for name, value in pool.items()},
        "TINTYPE_IMPORTS_ALLOWED_NETWORKS": "127.0.0.0/8",
        "TINTYPE_IMPORTS_PORTS": str(source.server_port),
        "TINTYPE_CACHE_FOLDER": "cache",
    }
    with started(tmp_path_factory.mktemp("cloud") / "data", **environment) as server:
        yield server


def make_bucket(ceph: Ceph) -> None:
    from aiobotocore.session import get_session

    async def make() -> None:
        client = get_session().create_client(
            "s3",
            region_name="us-east-1",
            endpoint_url=ceph.endpoint,
            aws_access_key_id=cluster.KEY,
            aws_secret_access_key=cluster.SECRET,
        )
        async with client as s3:
            await s3.create_bucket(Bucket=cluster.BUCKET)

    import asyncio

    asyncio.run(make())


def openstack(server: Server, *arguments: str) -> Any:
    done = server.run("openstack", *arguments, "-f", "json")
    return json.loads(done.stdout) if done.stdout.strip() else None


def new_image(server: Server, name: str) -> str:
    """Make a record; `openstack image create` takes a pipe on standard input for the data."""
    body = {"name": name, "disk_format": "raw", "container_format": "bare"}
    headers = {"X-Auth-Token": server.log_in()}
    return str(httpx2.post(f"{server.url}/v2/images", json=body, headers=headers).json()["id"])


def by_glance(server: Server, *arguments: str) -> str:
    """Run `glance`, which knows no clouds.yaml, at a terminal: it takes anything else for the data."""
    auth = yaml.safe_load(server.clouds.read_text())["clouds"]["tintype"]["auth"]
    names: dict[str, Any] = {f"OS_{name.upper()}": str(value) for name, value in auth.items()}
    ours, its = pty.openpty()
    try:
        return server.run("glance", *arguments, stdin=its, OS_IDENTITY_API_VERSION="3", **names).stdout
    finally:
        os.close(ours)
        os.close(its)


def ready(server: Server, image: str, stores: set[str]) -> dict[str, Any]:
    """Wait until an image is active in these stores, and hold what is there against what was sent."""
    headers = {"X-Auth-Token": server.log_in()}
    path = f"{server.url}/v2/images/{image}"
    eventually(lambda: httpx2.get(path, headers=headers).json()["status"] == "active", 60)
    eventually(lambda: set(httpx2.get(path, headers=headers).json()["stores"].split(",")) == stores, 60)
    for store in stores:
        answer = httpx2.get(f"{path}/file?prefer={store}", headers=headers, timeout=60)
        assert (answer.status_code, answer.content == DATA) == (200, True), store
    return dict(httpx2.get(path, headers=headers).json())


ALL = {"files", "bucket", "pool"}


@pytest.mark.needs("ceph")
@pytest.mark.xdist_group("ceph")
def test_openstack_image_import(cloud: Server, source: web.Server, tmp_path: Path) -> None:
    """`openstack image stage` and `image import`, each method."""
    disk = tmp_path / "disk"
    disk.write_bytes(DATA)
    made = new_image(cloud, "direct")
    cloud.run("openstack", "image", "stage", made, "--file", str(disk))
    cloud.run("openstack", "image", "import", made, "--method", "glance-direct", "--all-stores", "--wait")
    ready(cloud, made, ALL)
    made = new_image(cloud, "web")
    method = ("--method", "web-download", "--uri", f"{source.url}/disk")
    cloud.run("openstack", "image", "import", made, *method, "--store", "bucket", "--wait")
    ready(cloud, made, {"bucket"})
    cloud.run("openstack", "image", "import", made, "--method", "copy-image", "--all-stores", "--wait")
    ready(cloud, made, ALL)
    tasks = openstack(cloud, "image", "task", "list")
    assert [task["Status"] for task in tasks] == ["success"] * 3
    assert openstack(cloud, "image", "task", "show", tasks[0]["ID"])["status"] == "success"
    methods = cloud.run("openstack", "image", "import", "info").stdout
    assert "web-download" in methods
    stores = openstack(cloud, "image", "stores", "list")
    assert {store["ID"] for store in stores} == ALL
    copy = new_image(cloud, "copy")
    remote = ("--remote-image", made, "--remote-region", "RegionOne", "--remote-service-interface", "public")
    cloud.run("openstack", "image", "import", copy, "--method", "glance-download", *remote, "--wait")
    ready(cloud, copy, {"files"})


@pytest.mark.needs("ceph")
@pytest.mark.xdist_group("ceph")
def test_glance_via_import(cloud: Server, source: web.Server, tmp_path: Path) -> None:
    """`glance image-create-via-import` and what is around it."""
    disk = tmp_path / "disk"
    disk.write_bytes(DATA)
    common = (*FORMATS, "--name", "by glance")

    def made(*arguments: str) -> str:
        shown = by_glance(cloud, "image-create-via-import", *common, *arguments).splitlines()
        return next(line.split("|")[2].strip() for line in shown if line.startswith("| id "))

    direct = made("--import-method", "glance-direct", "--file", str(disk), "--stores", "pool,files")
    ready(cloud, direct, {"pool", "files"})
    fetched = made("--import-method", "web-download", "--uri", f"{source.url}/disk", "--all-stores", "True")
    ready(cloud, fetched, ALL)
    by_glance(cloud, "stores-delete", "--store", "bucket", fetched)
    ready(cloud, fetched, {"files", "pool"})
    by_glance(cloud, "image-import", fetched, "--import-method", "copy-image", "--stores", "bucket")
    ready(cloud, fetched, ALL)
    assert "success" in by_glance(cloud, "image-tasks", fetched)
    for command in ("import-info", "stores-info", "task-list"):
        assert by_glance(cloud, command)
    assert by_glance(cloud, "stores-info", "--detail")
    by_glance(cloud, "cache-queue", fetched)
    eventually(lambda: fetched in by_glance(cloud, "cache-list"), 30)
    for command in ("cache-nodes-list", "cache-delete"):
        by_glance(cloud, command, fetched)
    for command in ("cache-clean", "cache-prune", "cache-clear"):
        by_glance(cloud, command)


@pytest.mark.needs("ceph")
@pytest.mark.xdist_group("ceph")
def test_the_sdk(cloud: Server, source: web.Server, disk: Path) -> None:
    """openstacksdk: stage, import, tasks, stores and cache."""
    script = f"""
import io, time, openstack
images = openstack.connect(cloud="tintype").image
data = open({str(disk)!r}, "rb").read()
one = images.create_image("sdk", disk_format="raw", container_format="bare")
images.stage_image(one, data=io.BytesIO(data))
images.import_image(one, method="glance-direct", stores=["files", "pool"], all_stores_must_succeed=True)
two = images.create_image("sdk too", disk_format="raw", container_format="bare")
images.import_image(two, method="web-download", uri={f"{source.url}/disk"!r}, store="bucket")
for image in (one, two):
    for _ in range(600):
        if images.get_image(image.id).status == "active":
            break
        time.sleep(0.1)
    assert images.get_image(image.id).status == "active", images.get_image(image.id)
    assert b"".join(images.download_image(image.id, stream=True).iter_content(1 << 20)) == data
images.import_image(two, method="copy-image", all_stores=True)
for _ in range(200):
    if not images.get_image(two.id).to_dict().get("os_glance_importing_to_stores", ""):
        break
    time.sleep(0.1)
assert [task.status for task in images.image_tasks(one)] == ["success"]
assert {{one.id, two.id}} <= {{task.input["image_id"] for task in map(images.get_task, images.tasks())}}
assert len(list(images.stores())) == 3
assert len(list(images.stores(details=True))) == 3
"""
    cloud.run(sys.executable, "-c", script)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """Give a file of the same bytes for scripts to read."""
    path = tmp_path / "source.raw"
    path.write_bytes(DATA)
    return path


@pytest.mark.needs("ceph")
@pytest.mark.xdist_group("ceph")
def test_progress_is_seen(cloud: Server, source: web.Server) -> None:
    """While an import works its task tells how many bytes of how many it has brought."""
    headers = {"X-Auth-Token": cloud.log_in()}
    with httpx2.Client(base_url=cloud.url, headers=headers, timeout=30) as http:
        image = http.post("/v2/images", json={"disk_format": "raw", "container_format": "bare"}).json()["id"]
        method = {"name": "web-download", "uri": f"{source.url}/slow"}
        assert http.post(f"/v2/images/{image}/import", json={"method": method}).status_code == 202
        seen = []
        while (task := http.get(f"/v2/images/{image}/tasks").json()["tasks"][0])["status"] != "success":
            assert task["status"] != "failure", task
            if task["result"]:
                seen.append(task["result"]["bytes"])
                assert task["result"]["bytes_total"] == len(DATA)
                assert task["message"].startswith("Copied")
            time.sleep(0.2)
    assert seen == sorted(seen)
    assert len(set(seen)) >= 2


@pytest.mark.needs("keystone")
@pytest.mark.needs("glance")
def test_from_other_regions(tmp_path: Path) -> None:
    """glance-download from a real Glance and from a second Tintype, by Keystone's catalogue."""
    keystone = Keystone(_made(tmp_path / "keystone"))
    database = f"sqlite:///{tmp_path}/glance.db"
    url = keystone.url.removesuffix("/v3")
    peer = glance.with_keystone(_made(tmp_path / "glance"), database, url, PASSWORD)
    environment: dict[str, Any] = {
        "TINTYPE_KEYSTONE_AUTH_URL": keystone.url,
        "TINTYPE_KEYSTONE_PASSWORD": PASSWORD,
    }
    try:
        with (
            started(tmp_path / "here", **environment) as here,
            started(tmp_path / "there", **environment) as there,
        ):
            keystone.offer_in("north", peer.url)
            keystone.offer_in("south", there.url)
            for region, url in (("north", peer.url), ("south", there.url)):
                _bring(keystone, here.url, region, url)
            _refused(keystone, here.url, there.url)
    finally:
        peer.stop()
        keystone.stop()


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _bring(keystone: Keystone, here: str, region: str, url: str) -> None:
    token = {"X-Auth-Token": keystone.log_in("alice", "alpha")}
    body = {"disk_format": "raw", "container_format": "bare", "hw_disk_bus": "scsi", "other": "x"}
    made = httpx2.post(f"{url}/v2/images", json=body, headers=token, timeout=60)
    assert made.status_code == 201, (made.status_code, made.text)
    source = made.json()["id"]
    put = httpx2.put(f"{url}/v2/images/{source}/file", content=DATA, headers={**token, **BINARY}, timeout=60)
    assert put.status_code == 204, put.text
    body = {"disk_format": "iso", "container_format": "ovf"}
    image = httpx2.post(f"{here}/v2/images", json=body, headers=token, timeout=60).json()["id"]
    method = {"name": "glance-download", "glance_region": region, "glance_image_id": source}
    begun = httpx2.post(f"{here}/v2/images/{image}/import", json={"method": method}, headers=token)
    assert begun.status_code == 202, begun.text
    task = _ended(keystone, here, image)
    assert task["status"] == "success", task["message"]
    shown = httpx2.get(f"{here}/v2/images/{image}", headers=token).json()
    assert (shown["status"], shown["disk_format"], shown["hw_disk_bus"]) == ("active", "raw", "scsi")
    assert shown["os_hash_value"] == hashlib.sha512(DATA).hexdigest()
    assert "other" not in shown
    assert token["X-Auth-Token"] not in json.dumps(task)


def _refused(keystone: Keystone, here: str, there: str) -> None:
    """Hold that bob does not get here what he may not read there."""
    token = {"X-Auth-Token": keystone.log_in("alice", "alpha")}
    formats = {"disk_format": "raw", "container_format": "bare"}
    source = httpx2.post(f"{there}/v2/images", json=formats, headers=token, timeout=60).json()["id"]
    httpx2.put(f"{there}/v2/images/{source}/file", content=b"x", headers={**token, **BINARY}, timeout=60)
    token = {"X-Auth-Token": keystone.log_in("bob", "beta")}
    for region, reason in (("south", "was not found in region 'south'"), ("nowhere", "no image service")):
        image = httpx2.post(f"{here}/v2/images", json=formats, headers=token, timeout=60).json()["id"]
        method = {"name": "glance-download", "glance_region": region, "glance_image_id": source}
        begun = httpx2.post(f"{here}/v2/images/{image}/import", json={"method": method}, headers=token)
        assert begun.status_code == 202, begun.text
        task = _ended(keystone, here, image)
        assert (task["status"], reason in task["message"]) == ("failure", True), task


def _ended(keystone: Keystone, here: str, image: str) -> dict[str, Any]:
    deadline = time.monotonic() + 40
    while True:
        token = {"X-Auth-Token": keystone.log_in("admin", "admin")}
        task = httpx2.get(f"{here}/v2/images/{image}/tasks", headers=token).json()["tasks"][0]
        if task["status"] in {"success", "failure"}:
            return dict(task)
        assert time.monotonic() < deadline, task
        time.sleep(0.3)

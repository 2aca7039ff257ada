"""Imports: each method, into one store and several, what they refuse, and how they end."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio

import web
from inprocess import Prepared, Service, make_settings, running
from tintype.settings import DatabaseSettings, ImportSettings, LocationSettings
from tintype.settings.stores import FileStore
from tintype.wiring import service as wiring

BINARY = {"Content-Type": "application/octet-stream"}
BARE = {"disk_format": "raw", "container_format": "bare"}
DATA = bytes(range(256)) * 5000
STORES = {
    "local": FileStore(),
    "near": FileStore(folder="near", weight=5),
    "other": FileStore(folder="other", description="of others"),
}


@contextlib.asynccontextmanager
async def working(service: Service) -> AsyncIterator[None]:
    """Have a worker and a sweeper at work."""
    at_work = [asyncio.create_task(each.run()) for each in (service.parts.worker, service.parts.sweeper)]
    try:
        yield
    finally:
        for task in at_work:
            task.cancel()
        await asyncio.wait(at_work)


def loopback(server: web.Server, **more: Any) -> ImportSettings:
    """Let downloads come from a server of ours."""
    return ImportSettings(allowed_networks=("127.0.0.0/8",), ports=(server.server_port,), **more)


@pytest_asyncio.fixture
async def stores(prepared: Prepared, tmp_path: Path) -> AsyncIterator[Service]:
    """Give a service with three stores, at work."""
    with web.serving(lambda request: request.ranged(DATA)) as server:
        async with running(prepared, tmp_path, stores=STORES, imports=loopback(server)) as service:
            service.web = server
            async with working(service):
                yield service


async def new_image(service: Service, who: str = "alice", **attributes: Any) -> str:
    answer = await service.call(who, "POST", "/v2/images", json={**BARE, **attributes})
    assert answer.status_code == 201, answer.text
    return f"/v2/images/{answer.json()['id']}"


async def staged(service: Service, data: bytes = DATA, **attributes: Any) -> str:
    image = await new_image(service, **attributes)
    answer = await service.call("alice", "PUT", f"{image}/stage", content=data, headers=BINARY)
    assert answer.status_code == 204, answer.text
    return image


async def begin(
    service: Service, image: str, method: dict[str, Any] | str, who: str = "alice", **more: Any
) -> httpx2.Response:
    named = {"name": method} if isinstance(method, str) else method
    return await service.call(who, "POST", f"{image}/import", json={"method": named, **more})


async def ended(service: Service, image: str, seconds: float = 20) -> dict[str, Any]:
    """Give the newest task of an image once it has ended."""
    async with asyncio.timeout(seconds):
        while True:
            tasks = (await service.call("admin", "GET", f"{image}/tasks")).json()["tasks"]
            if tasks and tasks[-1]["status"] in {"success", "failure"}:
                return dict(tasks[-1])
            await asyncio.sleep(0.02)


async def show(service: Service, image: str, who: str = "alice") -> dict[str, Any]:
    return dict((await service.call(who, "GET", image)).json())


def files(service: Service, store: str) -> list[Path]:
    folder = service.folder / ("images" if store == "local" else store)
    return [path for path in folder.glob("??/*") if path.is_file()]


async def test_staged_bytes_become_the_image_where_they_are(stores: Service) -> None:
    """glance-direct into the store that has the staged bytes moves none of them."""
    image = await staged(stores)
    before = files(stores, "local")
    answer = await begin(stores, image, "glance-direct")
    assert (answer.status_code, answer.content) == (202, b"")
    task = await ended(stores, image)
    assert (task["status"], task["type"], task["request_id"]) == (
        "success",
        "api_image_import",
        answer.headers["x-openstack-request-id"],
    )
    assert task["input"]["import_req"] == {"method": {"name": "glance-direct"}}
    assert task["result"] == {"image_id": image.rpartition("/")[2]}
    shown = await show(stores, image)
    assert (shown["status"], shown["stores"], shown["size"]) == ("active", "local", len(DATA))
    assert shown["checksum"] == hashlib.md5(DATA, usedforsecurity=False).hexdigest()
    assert shown["os_hash_value"] == hashlib.sha512(DATA).hexdigest()
    assert (shown["os_glance_importing_to_stores"], shown["os_glance_failed_import"]) == ("", "")
    assert "os_glance_import_task" not in shown
    assert files(stores, "local") == before
    assert (await stores.call("alice", "GET", f"{image}/file")).content == DATA


async def test_to_several_stores(stores: Service) -> None:
    """Named stores are filled with the same bytes; the heaviest is shown and read first."""
    image = await staged(stores)
    assert (await begin(stores, image, "glance-direct", stores=["other", "near"])).status_code == 202
    assert (await ended(stores, image))["status"] == "success"
    assert (await show(stores, image))["stores"] == "near,other"
    await gone(stores, "local")
    for store in ("near", "other"):
        assert [path.read_bytes() for path in files(stores, store)] == [DATA]


async def gone(service: Service, store: str) -> None:
    for _ in range(200):
        if not files(service, store):
            return
        await asyncio.sleep(0.05)
    pytest.fail(f"the bytes stay in {store}")


async def test_to_all_stores(stores: Service) -> None:
    """The staged bytes are one of the copies."""
    image = await staged(stores)
    assert (await begin(stores, image, "glance-direct", all_stores=True)).status_code == 202
    assert (await ended(stores, image))["status"] == "success"
    assert (await show(stores, image))["stores"] == "near,local,other"


async def test_from_the_web(stores: Service) -> None:
    """web-download, with an expected digest that holds."""
    image = await new_image(stores)
    method = {
        "name": "web-download",
        "uri": f"{stores.web.url}/disk.raw",
        "expected_hash": {"algo": "sha256", "value": hashlib.sha256(DATA).hexdigest().upper()},
    }
    assert (await begin(stores, image, method, stores=["near"])).status_code == 202
    assert (await ended(stores, image))["status"] == "success"
    shown = await show(stores, image)
    assert (shown["status"], shown["stores"]) == ("active", "near")
    assert (await stores.call("alice", "GET", f"{image}/file")).content == DATA
    assert all("X-Auth-Token" not in headers for _, _, headers in stores.web.seen)


async def test_from_a_url_of_8192_characters(stores: Service) -> None:
    """Presigned URLs with session tokens work as they are; one more character is refused."""
    uri = f"{stores.web.url}/x?X-Amz-Security-Token=".ljust(8192, "x")
    image = await new_image(stores)
    assert (await begin(stores, image, {"name": "web-download", "uri": uri})).status_code == 202
    assert (await ended(stores, image))["status"] == "success"
    assert (await ended(stores, image))["message"] == "Copied 1.2 MiB to local."
    assert stores.web.seen[-1][1] == uri.removeprefix(stores.web.url)
    refused = await begin(stores, await new_image(stores), {"name": "web-download", "uri": f"{uri}x"})
    assert (refused.status_code, "8192" in refused.text) == (400, True)


async def test_a_wrong_digest_stores_nothing(stores: Service) -> None:
    """What is not what was expected leaves the image queued, with the reason."""
    image = await new_image(stores)
    expected = {"algo": "sha256", "value": "0" * 64}
    method = {"name": "web-download", "uri": f"{stores.web.url}/x", "expected_hash": expected}
    assert (await begin(stores, image, method)).status_code == 202
    task = await ended(stores, image)
    assert (task["status"], "sha256" in task["message"]) == ("failure", True)
    shown = await show(stores, image)
    assert (shown["status"], shown["os_glance_failed_import"], shown["size"]) == ("queued", "local", None)
    assert "sha256" in shown["os_glance_failed_reason"]
    await gone(stores, "local")
    expected["value"] = hashlib.sha256(DATA).hexdigest()
    assert (await begin(stores, image, method)).status_code == 202
    assert (await ended(stores, image))["status"] == "success"
    assert "os_glance_failed_reason" not in await show(stores, image)


async def test_copies(stores: Service) -> None:
    """copy-image is the admin's; it copies to what is named, or to where there is none yet."""
    image = await new_image(stores)
    await stores.call("alice", "PUT", f"{image}/file", content=DATA, headers=BINARY)
    assert (await begin(stores, image, "copy-image", stores=["near"])).status_code == 403
    assert (await begin(stores, image, "copy-image", "admin", stores=["near"])).status_code == 202
    assert (await ended(stores, image))["status"] == "success"
    shown = await show(stores, image)
    assert (shown["status"], shown["stores"]) == ("active", "near,local")
    assert (await begin(stores, image, "copy-image", "admin", stores=["near"])).status_code == 400
    assert (await begin(stores, image, "copy-image", "admin", all_stores=True)).status_code == 202
    assert (await ended(stores, image))["status"] == "success"
    assert (await show(stores, image))["stores"] == "near,local,other"
    count = len((await stores.call("admin", "GET", f"{image}/tasks")).json()["tasks"])
    assert (await begin(stores, image, "copy-image", "admin", all_stores=True)).status_code == 202
    assert len((await stores.call("admin", "GET", f"{image}/tasks")).json()["tasks"]) == count


async def test_stores_are_ordered_by_the_weights_of_now(stores: Service) -> None:
    """An image's stores, and which copy its address is of, follow the settings that are in force."""
    image = await new_image(stores)
    await stores.call("alice", "PUT", f"{image}/file", content=DATA, headers=BINARY)
    assert (await begin(stores, image, "copy-image", "admin", stores=["near"])).status_code == 202
    assert (await ended(stores, image))["status"] == "success"
    assert (await show(stores, image))["stores"] == "near,local"
    settings = make_settings(
        stores.folder,
        database=DatabaseSettings(url=stores.database_url),
        stores={**STORES, "local": FileStore(weight=9)},
        locations=LocationSettings(show_direct_url=True),
    )
    later = wiring.Service(settings)
    transport = httpx2.ASGITransport(app=later.app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client:
        headers = {"X-Auth-Token": stores.tokens["alice"]}
        shown = (await client.get(image, headers=headers)).json()
        listed = (await client.get("/v2/images", headers=headers)).json()["images"][0]
    await later.close()
    assert shown["stores"] == listed["stores"] == "local,near"
    assert "/images/" in shown["direct_url"]


async def test_from_the_own_region(stores: Service) -> None:
    """glance-download takes over formats and some properties with the bytes, and only what may be read."""
    source = await new_image(stores, hw_cpu_cores="5", os_distro="rhel", speed="88mph")
    await stores.call("alice", "PUT", f"{source}/file", content=DATA, headers=BINARY)
    image = await new_image(
        stores, disk_format="iso", container_format="ovf", os_distro="windows", kept="mine"
    )
    method = {
        "name": "glance-download",
        "glance_image_id": source.rpartition("/")[2],
        "glance_region": "RegionOne",
    }
    assert (await begin(stores, image, method)).status_code == 202
    assert (await ended(stores, image))["status"] == "success"
    shown = await show(stores, image)
    assert (shown["disk_format"], shown["container_format"]) == ("raw", "bare")
    assert (shown["hw_cpu_cores"], shown["os_distro"], shown["kept"]) == ("5", "rhel", "mine")
    assert "speed" not in shown
    foreign = await new_image(stores, "bob")
    assert (await begin(stores, foreign, method, "bob")).status_code == 202
    task = await ended(stores, foreign)
    assert (task["status"], "No image found" in task["message"]) == ("failure", True)
    assert (await show(stores, foreign, "bob"))["status"] == "queued"
    method["glance_region"] = "elsewhere"
    assert (await begin(stores, foreign, method, "bob")).status_code == 202
    assert "no image service" in (await ended(stores, foreign))["message"]


async def test_a_store_that_fails(stores: Service) -> None:
    """One of several stores that fails ends the import, or is only left out where that is wished."""
    image = await staged(stores)
    broken = stores.folder / "near"
    broken.rename(stores.folder / "away")
    answer = await begin(stores, image, "glance-direct", all_stores=True, all_stores_must_succeed=False)
    assert answer.status_code == 202
    assert (await ended(stores, image))["status"] == "success"
    shown = await show(stores, image)
    assert (shown["stores"], shown["os_glance_failed_import"]) == ("local,other", "near")
    assert shown["status"] == "active"
    (stores.folder / "away").rename(broken)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"method": None}, 400),
        ({"method": {"name": "nonsense"}}, 400),
        ({"method": {"name": ["glance-direct"]}}, 400),
        ({"all_stores": "yes"}, 400),
        ({"all_stores_must_succeed": 1}, 400),
        ({"stores": "near"}, 400),
        ({"stores": []}, 400),
        ({"stores": ["near"], "all_stores": True}, 400),
        ({"stores": ["nowhere"]}, 409),
        ({"method": {"name": "web-download"}}, 409),
        ({"method": {"name": "copy-image"}}, 409),
        ({"method": {"name": "glance-direct", "uri": 5}}, 400),
    ],
)
async def test_what_is_refused(stores: Service, change: dict[str, Any], status: int) -> None:
    """A request that makes no sense, or not now, changes nothing."""
    image = await staged(stores)
    before = await show(stores, image)
    body = {"method": {"name": "glance-direct"}, **change}
    answer = await stores.call("alice", "POST", f"{image}/import", json=body)
    assert answer.status_code == status, answer.text
    assert await show(stores, image) == before
    assert (await stores.call("alice", "GET", f"{image}/tasks")).json() == {"tasks": []}


async def test_who_may(stores: Service) -> None:
    """Others do not know the image; who may only read is refused."""
    image = await staged(stores)
    assert (await begin(stores, image, "glance-direct", "bob")).status_code == 404
    assert (await begin(stores, image, "glance-direct", "carol")).status_code == 403
    assert (await stores.call("bob", "GET", f"{image}/tasks")).status_code == 404
    assert (await stores.call("alice", "GET", "/v2/tasks")).status_code == 403


async def test_only_one_at_a_time(prepared: Prepared, tmp_path: Path) -> None:
    """While an import waits or works, the next one is refused, and names the task."""
    async with running(prepared, tmp_path) as service:
        image = await new_image(service)
        method = {
            "name": "glance-download",
            "glance_region": "x",
            "glance_image_id": "0" * 8 + "-0000" * 3 + "-" + "0" * 12,
        }
        assert (await begin(service, image, method)).status_code == 202
        shown = await show(service, image)
        assert (shown["status"], shown["os_glance_importing_to_stores"]) == ("importing", "local")
        second = await begin(service, image, method)
        assert (second.status_code, shown["os_glance_import_task"] in second.text) == (409, True)
        for path, status in ((f"{image}/file", 409), (f"{image}/stage", 409)):
            answer = await service.call("alice", "PUT", path, content=b"x", headers=BINARY)
            assert answer.status_code == status


async def test_cancelling(prepared: Prepared, tmp_path: Path) -> None:
    """A task that waits or works is ended by who may change its image; the image is queued again."""
    with web.serving(lambda request: request.drip(b"x" * 10_000, 0.05, 10_000)) as server:
        async with running(prepared, tmp_path, imports=loopback(server)) as service, working(service):
            image = await new_image(service)
            method = {"name": "web-download", "uri": f"{server.url}/slow"}
            assert (await begin(service, image, method)).status_code == 202
            task = (await show(service, image))["os_glance_import_task"]
            path = f"/v2/tasks/{task}/actions/cancel"
            assert (await service.call("bob", "POST", path)).status_code == 404
            assert (await service.call("carol", "POST", path)).status_code == 403
            assert (await service.call("alice", "POST", path)).status_code == 202
            found = await ended(service, image)
            assert (found["status"], found["message"]) == ("failure", "The task was cancelled.")
            assert (await show(service, image))["status"] == "queued"
            assert (await service.call("alice", "POST", path)).status_code == 409


async def test_deleting_the_image_ends_its_import(prepared: Prepared, tmp_path: Path) -> None:
    """The work stops, the bytes go, and the task says why."""
    with web.serving(lambda request: request.drip(b"x" * 10_000, 0.05, 10_000)) as server:
        async with running(prepared, tmp_path, imports=loopback(server)) as service, working(service):
            image = await new_image(service)
            method = {"name": "web-download", "uri": f"{server.url}/slow"}
            assert (await begin(service, image, method)).status_code == 202
            task = (await show(service, image))["os_glance_import_task"]
            await asyncio.sleep(0.5)
            assert (await service.call("alice", "DELETE", image)).status_code == 204
            async with asyncio.timeout(10):
                while True:
                    found = (await service.call("admin", "GET", f"/v2/tasks/{task}")).json()
                    if found["status"] == "failure":
                        break
                    await asyncio.sleep(0.1)
            assert "deleted" in found["message"]
            assert [
                path for path in service.folder.rglob("*") if path.is_file() and "partial" in path.parts
            ] == []


async def test_tasks_are_listed(stores: Service) -> None:
    """An admin sees every task, by state and type, page by page; each has its links."""
    images = [await staged(stores) for _ in range(3)]
    for image in images:
        await begin(stores, image, "glance-direct")
        await ended(stores, image)
    page = (await stores.call("admin", "GET", "/v2/tasks?limit=2&status=success")).json()
    assert (len(page["tasks"]), page["schema"]) == (2, "/v2/schemas/tasks")
    rest = (await stores.call("admin", "GET", page["next"])).json()
    assert len(rest["tasks"]) == 1
    assert (await stores.call("admin", "GET", "/v2/tasks?status=failure")).json()["tasks"] == []
    assert (await stores.call("admin", "GET", "/v2/tasks?type=import")).json()["tasks"] == []
    one = (await stores.call("admin", "GET", page["tasks"][0]["self"])).json()
    assert (one["status"], one["image_id"] in images[2], one["message"]) == ("success", True, "")
    for wrong in ("status=x", "type=x", "sort_key=x", "sort_dir=x", "limit=-1", "marker=x"):
        assert (await stores.call("admin", "GET", f"/v2/tasks?{wrong}")).status_code == 400
    answer = await stores.call("admin", "DELETE", page["tasks"][0]["self"])
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


async def test_an_import_asked_for_as_a_task(stores: Service) -> None:
    """A task of type import makes an image of its own, from the web."""
    given = {
        "import_from": f"{stores.web.url}/disk.raw",
        "import_from_format": "raw",
        "image_properties": {"name": "by task", **BARE, "visibility": "public"},
    }
    body = {"type": "import", "input": given}
    assert (await stores.call("alice", "POST", "/v2/tasks", json=body)).status_code == 403
    made = await stores.call("admin", "POST", "/v2/tasks", json=body)
    assert made.status_code == 201, made.text
    assert made.headers["location"] == f"http://testserver{made.json()['self']}"
    image = f"/v2/images/{made.json()['image_id']}"
    task = await ended(stores, image)
    assert (task["status"], task["type"]) == ("success", "import")
    shown = await show(stores, image, "admin")
    assert (shown["status"], shown["name"], shown["size"]) == ("active", "by task", len(DATA))
    given["import_from"] = "http://no-such-name.invalid/x"
    assert (await stores.call("admin", "POST", "/v2/tasks", json=body)).status_code == 400


async def test_a_copy_is_taken_away(stores: Service) -> None:
    """The last copy stays; who may not do it is refused."""
    image = await staged(stores)
    await begin(stores, image, "glance-direct", all_stores=True)
    await ended(stores, image)
    key = image.rpartition("/")[2]
    assert (await stores.call("alice", "DELETE", f"/v2/stores/near/{key}")).status_code == 403
    assert (await stores.call("bob", "DELETE", f"/v2/stores/near/{key}")).status_code == 404
    assert (await stores.call("admin", "DELETE", f"/v2/stores/nowhere/{key}")).status_code == 409
    before = (await show(stores, image))["updated_at"]
    await asyncio.sleep(1)  # as fine as the times that are shown
    for store, left in (("near", "local,other"), ("local", "other")):
        assert (await stores.call("admin", "DELETE", f"/v2/stores/{store}/{key}")).status_code == 204
        assert (await show(stores, image))["stores"] == left
        await gone(stores, store)
        if store == "near":
            assert (await stores.call("admin", "DELETE", f"/v2/stores/near/{key}")).status_code == 404
    assert (await show(stores, image))["updated_at"] > before
    assert (await stores.call("admin", "DELETE", f"/v2/stores/other/{key}")).status_code == 403
    assert (await stores.call("alice", "GET", f"{image}/file")).content == DATA


async def test_a_copy_whose_store_is_down_is_passed_over(stores: Service) -> None:
    """The next copy is read; a preference is a wish, and only for stores that there are."""
    image = await staged(stores)
    await begin(stores, image, "glance-direct", all_stores=True)
    await ended(stores, image)
    for path in files(stores, "near"):
        path.unlink()
    answer = await stores.call("alice", "GET", f"{image}/file")
    assert (answer.status_code, answer.content) == (200, DATA)
    for wish, status in (("other", 200), ("near,other", 200), ("nowhere", 400)):
        answer = await stores.call("alice", "GET", f"{image}/file?prefer={wish}")
        assert answer.status_code == status
        assert status != 200 or answer.content == DATA


async def test_discovery_tells_what_is_served(stores: Service) -> None:
    """Methods, stores and versions are those that work here."""
    info = (await stores.call("alice", "GET", "/v2/info/import")).json()["import-methods"]["value"]
    assert info == ["glance-direct", "web-download", "copy-image", "glance-download"]
    found = (await stores.call("alice", "GET", "/v2/info/stores")).json()["stores"]
    assert found == [
        {"id": "local", "default": "true"},
        {"id": "near"},
        {"id": "other", "description": "of others"},
    ]
    detail = (await stores.call("admin", "GET", "/v2/info/stores/detail")).json()["stores"]
    assert [(store["type"], store["weight"]) for store in detail] == [("file", 0), ("file", 5), ("file", 0)]
    folder = stores.folder.absolute()
    assert [store["properties"] for store in detail] == [
        {"data_dir": str(folder / name), "chunk_size": 1 << 20, "thin_provisioning": False}
        for name in ("images", "near", "other")
    ]
    versions = (await stores.call(None, "GET", "/versions")).json()["versions"]
    assert [version["id"] for version in versions][:4] == ["v2.17", "v2.15", "v2.13", "v2.12"]
    made = await stores.call("alice", "POST", "/v2/images", json=BARE)
    assert made.headers["openstack-image-import-methods"] == ",".join(info)
    assert made.headers["openstack-image-store-ids"] == "local,near,other"

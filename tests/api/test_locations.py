"""Locations: what services and users can add, the order of checks, and who sees them."""

import hashlib
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from test_import_plugins import backing_file
from test_imports import BARE, BINARY, DATA, ended, loopback, new_image, show, working

import web
from inprocess import Prepared, Service, running
from tintype.settings import ImageSettings, LocationSettings
from tintype.settings.stores import FileStore, HttpStore

SHA512 = hashlib.sha512(DATA).hexdigest()
MD5 = hashlib.md5(DATA, usedforsecurity=False).hexdigest()
MOVED = {
    "/moved/inside": "http://10.0.0.1/disk",
    "/moved/metadata": "http://169.254.169.254/latest/meta-data/",
    "/moved/port": "http://8.8.8.8:22/disk",
    "/moved/scheme": "ftp://8.8.8.8/disk",
    "/moved/file": "file:///etc/passwd",
    "/moved/credentials": "http://user:secret@8.8.8.8/disk",
    "/moved/nonsense": "http://[::1/disk",
    "/moved/nobody": "http://nobody.invalid/disk",
    "/moved/loop": "/moved/loop",
    "/moved/letters": "http://8.8.8.8/\u00fc",
}
OLD = "application/openstack-images-v2.1-json-patch"


def answer(request: web.Request) -> None:
    if request.path == "/hostile":
        request.ranged(backing_file())
    elif request.path == "/absent":
        request.give(b"", status=404)
    elif request.path.startswith("/moved/"):
        request.redirect(MOVED[request.path])
    elif request.path.startswith("/later/") and request.command == "GET":
        request.redirect(MOVED[request.path.replace("later", "moved")])
    else:
        request.ranged(DATA)


@pytest_asyncio.fixture
async def located(prepared: Prepared, tmp_path: Path) -> AsyncIterator[Service]:
    """Give a service whose images may be on the web, which tells everything of it, at work."""
    with web.serving(answer) as server:
        async with running(
            prepared,
            tmp_path,
            stores={"local": FileStore(), "web": HttpStore()},
            imports=loopback(server),
            locations=LocationSettings(show_multiple=True, show_direct_url=True),
            images=ImageSettings(location_limit=2),
        ) as service:
            service.web = server
            async with working(service):
                yield service


async def add(service: Service, image: str, path: str, who: str = "alice", **more: Any) -> httpx2.Response:
    body = {"url": f"{service.web.url}{path}", **more}
    return await service.call(who, "POST", f"{image}/locations", json=body)


async def test_bytes_on_the_web_become_an_image(located: Service) -> None:
    """They are read and hashed first; downloads come from there, ranges too; nothing is deleted with it."""
    image = await new_image(located)
    assert (await add(located, image, "/disk")).status_code == 202
    task = await ended(located, image)
    assert (task["status"], task["type"]) == ("success", "location_import")
    shown = await show(located, image)
    assert (shown["status"], shown["stores"], shown["size"]) == ("active", "web", len(DATA))
    assert (shown["os_hash_algo"], shown["os_hash_value"], shown["checksum"]) == ("sha512", SHA512, MD5)
    assert shown["locations"] == [{"url": f"{located.web.url}/disk", "metadata": {"store": "web"}}]
    assert shown["direct_url"] == f"{located.web.url}/disk"
    assert (await located.call("alice", "GET", f"{image}/file")).content == DATA
    part = await located.call("alice", "GET", f"{image}/file", headers={"Range": "bytes=5-9"})
    assert (part.status_code, part.content) == (206, DATA[5:10])
    assert (await located.call("alice", "DELETE", image)).status_code == 204


async def test_a_location_of_8192_characters(located: Service) -> None:
    """Presigned URLs with session tokens are that long; two images may have the same one."""
    path = "/disk?token=" + secrets.token_urlsafe(8192)
    path = path[: 8192 - len(located.web.url)]
    for _ in range(2):
        image = await new_image(located)
        assert (await add(located, image, path)).status_code == 202
        assert (await ended(located, image))["status"] == "success"
        told = (await located.call("alice", "GET", image)).json()
        assert told["direct_url"] == f"{located.web.url}{path}"
    assert (await add(located, await new_image(located), f"{path}x")).status_code == 400


async def test_digests_that_are_declared(located: Service) -> None:
    """They are held against the bytes; a wrong one leaves the image queued."""
    sha256 = hashlib.sha256(DATA).hexdigest()
    image = await new_image(located)
    known = {"os_hash_algo": "sha256", "os_hash_value": sha256, "checksum": MD5}
    assert (await add(located, image, "/disk", validation_data=known)).status_code == 202
    assert (await ended(located, image))["status"] == "success"
    shown = await show(located, image)
    assert (shown["os_hash_algo"], shown["os_hash_value"], shown["checksum"]) == ("sha256", sha256, MD5)
    image = await new_image(located)
    wrong = {"os_hash_algo": "sha512", "os_hash_value": "beefdead" * 16}
    assert (await add(located, image, "/disk", validation_data=wrong)).status_code == 202
    assert (await ended(located, image))["status"] == "failure"
    shown = await show(located, image)
    assert (shown["status"], shown["checksum"], shown["locations"]) == ("queued", None, [])
    assert not {"direct_url", "os_glance_import_task"} & set(shown)
    assert shown["stores"] == "web", "as in Glance: the bytes are there still"
    assert "sha512" in shown["os_glance_failed_reason"]
    await located.call("alice", "PUT", f"{image}/file", content=DATA, headers=BINARY)
    assert (await show(located, image))["stores"] == "local"


async def test_hostile_bytes_are_refused_here_too(located: Service) -> None:
    """A disk that names other files does not become an image by being somewhere else."""
    image = await new_image(located, disk_format="qcow2")
    assert (await add(located, image, "/hostile")).status_code == 202
    task = await ended(located, image)
    assert (task["status"], "backing_file" in task["message"]) == ("failure", True), task
    assert (await show(located, image))["status"] == "queued"


@pytest.mark.parametrize("when", ["moved", "later"])
async def test_a_redirect_that_is_refused_ends_the_job(located: Service, when: str) -> None:
    """Wherever it leads, and whether the size or the bytes are asked for: queued, with the reason."""
    for path in MOVED:
        image = await new_image(located)
        assert (await add(located, image, path.replace("moved", when))).status_code == 202
        task = await ended(located, image)
        shown = await show(located, image)
        assert (task["status"], shown["status"]) == ("failure", "queued"), path
        assert shown["os_glance_failed_reason"] == task["message"] != "", path
        assert "secret" not in task["message"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"url": 5}, 400),
        ({"url": ""}, 400),
        ({"url": "http://10.0.0.1/x"}, 400),
        ({"url": "file:///etc/passwd"}, 403),
        ({"url": "rbd://fsid/pool/image/snap"}, 403),
        ({"url": "http://8.8.8.8/" + "x" * 8178}, 400),
        ({"url": "http://8.8.8.8/", "validation_data": {"os_hash_value": SHA512}}, 400),
        (
            {
                "url": "http://8.8.8.8/",
                "validation_data": {"os_hash_algo": "sha123", "os_hash_value": SHA512},
            },
            400,
        ),
        (
            {
                "url": "http://8.8.8.8/",
                "validation_data": {"os_hash_algo": "sha256", "os_hash_value": SHA512},
            },
            400,
        ),
        ({"url": "http://8.8.8.8/", "validation_data": {"os_hash_algo": 1, "os_hash_value": 2}}, 400),
        ({"url": "http://8.8.8.8/", "other": 1}, 400),
        ([], 400),
    ],
)
async def test_what_is_refused(located: Service, body: Any, status: int) -> None:
    """A location that makes no sense, or leads inside, changes nothing."""
    image = await new_image(located)
    found = await located.call("alice", "POST", f"{image}/locations", json=body)
    assert found.status_code == status, found.text
    assert (await show(located, image))["status"] == "queued"


async def test_who_may(located: Service) -> None:
    """Owners and services add; services alone are told; nobody adds to an image that has bytes."""
    image = await new_image(located)
    assert (await add(located, image, "/disk", "bob")).status_code == 404
    assert (await add(located, image, "/disk", "carol")).status_code == 403
    assert (await located.call("alice", "GET", f"{image}/locations")).status_code == 403
    assert (await located.call("admin", "GET", f"{image}/locations")).json() == []
    assert (await add(located, image, "/absent")).status_code == 202
    assert (await ended(located, image))["message"] == f"Nothing was found at {located.web.url}/absent."
    assert (await add(located, image, "/disk")).status_code == 202
    await ended(located, image)
    assert (await add(located, image, "/disk")).status_code == 409
    told = (await located.call("admin", "GET", f"{image}/locations")).json()
    assert told == [{"url": f"{located.web.url}/disk", "metadata": {"store": "web"}}]


async def test_everybody_who_sees_an_image_sees_where_it_is(located: Service) -> None:
    """Nova clones public and shared images with the token of their user; of closed ones nobody is told."""
    public = await new_image(located, "admin", visibility="public")
    shared = await new_image(located)
    binary = {"content": DATA, "headers": BINARY}
    for who, image in (("admin", public), ("alice", shared)):
        assert (await located.call(who, "PUT", f"{image}/file", **binary)).status_code == 204
    member = {"json": {"member": located.projects["bob"]}}
    assert (await located.call("alice", "POST", f"{shared}/members", **member)).status_code == 200
    for image in (public, shared):
        shown = (await located.call("bob", "GET", image)).json()
        assert shown["direct_url"].startswith("file://")
        assert shown["locations"] == [{"url": shown["direct_url"], "metadata": {"store": "local"}}]
    listed = (await located.call("bob", "GET", "/v2/images")).json()["images"]
    assert [image["locations"] for image in listed] == [
        (await located.call("bob", "GET", public)).json()["locations"]
    ]
    await located.call("admin", "POST", f"{public}/actions/deactivate")
    closed = (await located.call("bob", "GET", public)).json()
    assert (closed["locations"], "direct_url" in closed, "stores" in closed) == ([], False, False)
    assert (await located.call("admin", "GET", public)).json()["locations"] != []


async def test_a_service_without_other_roles_is_told(located: Service) -> None:
    """Cinder asks with its own user, whose only role is `service`: it cannot see the image itself."""
    await located.parts.identity.users.create("cinder", "secret", project="services", role="service")
    token = await located.parts.identity.login(
        user_id=None, user_name="cinder", password="secret", project={"name": "services"}, address="test"
    )
    located.tokens["cinder"] = token.value
    public = await new_image(located, "admin", visibility="public")
    await located.call("admin", "PUT", f"{public}/file", content=DATA, headers=BINARY)
    told = await located.call("cinder", "GET", f"{public}/locations")
    assert (told.status_code, len(told.json())) == (200, 1)
    assert (await located.call("cinder", "GET", public)).status_code == 404
    private = await new_image(located)
    assert (await located.call("cinder", "GET", f"{private}/locations")).status_code == 404
    await located.call("admin", "POST", f"{public}/actions/deactivate")
    assert (await located.call("cinder", "GET", f"{public}/locations")).json() == []


async def test_an_image_is_queued_until_its_location_is_read(prepared: Prepared, tmp_path: Path) -> None:
    """It says which task is at work, takes no other bytes meanwhile, and is as it was where that fails."""
    with web.serving(answer) as server:
        settings = {"stores": {"local": FileStore(), "web": HttpStore()}, "imports": loopback(server)}
        async with running(prepared, tmp_path, **settings) as service:
            service.web = server
            image = await new_image(service)
            assert (await add(service, image, "/absent")).status_code == 202
            shown = await show(service, image)
            assert (shown["status"], "stores" in shown) == ("queued", False)
            assert shown["os_glance_import_task"]
            for path in ("file", "stage"):
                refused = await service.call("alice", "PUT", f"{image}/{path}", content=DATA, headers=BINARY)
                assert refused.status_code == 409, refused.text
            assert (await add(service, image, "/disk")).status_code == 409
            async with working(service):
                assert (await ended(service, image))["status"] == "failure"
            shown = await show(service, image)
            assert (shown["status"], "Nothing was found" in shown["os_glance_failed_reason"]) == (
                "queued",
                True,
            )
            assert not {"stores", "os_glance_import_task"} & set(shown)
            put = await service.call("alice", "PUT", f"{image}/file", content=DATA, headers=BINARY)
            assert put.status_code == 204


async def test_the_older_form(located: Service) -> None:
    """PATCH adds a location at once, changes metadata, and takes all but the last one away."""
    image = await new_image(located)
    assert (await show(located, image))["locations"] == []

    async def patch(who: str = "alice", **change: Any) -> httpx2.Response:
        return await located.call(who, "PATCH", image, json=[change], headers={"Content-Type": OLD})

    first = {"url": f"{located.web.url}/disk", "metadata": {"foo": "bar"}}
    added = await patch(op="add", path="/locations/-", value=first)
    assert added.status_code == 200, added.text
    shown = added.json()
    assert (shown["status"], shown["os_hash_value"]) == ("active", None)
    assert shown["locations"] == [{"url": first["url"], "metadata": {"foo": "bar", "store": "web"}}]
    second = {"url": f"{located.web.url}/disk#new", "metadata": {}}
    assert len((await patch(op="add", path="/locations/-", value=second)).json()["locations"]) == 2
    assert (await patch(op="add", path="/locations/-", value=second)).status_code == 400
    third = {"url": f"{located.web.url}/disk#third", "metadata": {}}
    full = await patch(op="add", path="/locations/-", value=third)
    assert (full.status_code, "may have 2 locations" in full.text) == (413, True)
    locations = (await show(located, image))["locations"]
    locations[0]["metadata"]["date"] = "today"
    changed = await patch(op="replace", path="/locations", value=locations)
    assert changed.json()["locations"] == locations
    for wrong in ([locations[0]], [locations[0], {"url": f"{located.web.url}/x", "metadata": {}}], "x"):
        assert (await patch(op="replace", path="/locations", value=wrong)).status_code == 400
    assert (await patch(op="remove", path="/locations/0")).status_code == 403
    assert (await patch("admin", op="remove", path="/locations/7")).status_code == 400
    left = await patch("admin", op="remove", path="/locations/0")
    assert left.json()["locations"] == [locations[1]]
    assert (await patch("admin", op="remove", path="/locations/0")).status_code == 403
    for path in ("/locations", "/locations/x", "/locations/-/y", "/locationsx"):
        assert (await patch(op="add", path=path, value=first)).status_code in {400, 403}
    both = [
        {"op": "replace", "path": "/name", "value": "x"},
        {"op": "remove", "path": "/locations/0"},
    ]
    refused = await located.call("admin", "PATCH", image, json=both, headers={"Content-Type": OLD})
    assert (refused.status_code, "one operation" in refused.text) == (400, True)


async def test_the_older_form_is_off_by_default(service: Service) -> None:
    """Nobody exchanges data by PATCH who was not let to; places are not shown."""
    image = (await service.call("alice", "POST", "/v2/images", json=BARE)).json()
    assert not {"locations", "direct_url"} & set(image)
    change = {"op": "add", "path": "/locations/-", "value": {"url": "http://8.8.8.8/", "metadata": {}}}
    refused = await service.call(
        "alice", "PATCH", f"/v2/images/{image['id']}", json=[change], headers={"Content-Type": OLD}
    )
    assert refused.status_code == 403
    await service.call("alice", "PUT", f"/v2/images/{image['id']}/file", content=b"x", headers=BINARY)
    assert not {"locations", "direct_url"} & set(await show(service, f"/v2/images/{image['id']}"))
    web_only = await service.call(
        "alice", "POST", f"/v2/images/{image['id']}/locations", json={"url": "http://8.8.8.8/"}
    )
    assert web_only.status_code == 409


async def test_files_show_where_they_are_and_take_no_path(located: Service) -> None:
    """What is stored here has an address to be seen, and none that a client could name."""
    image = await new_image(located)
    await located.call("alice", "PUT", f"{image}/file", content=DATA, headers=BINARY)
    url = (await show(located, image))["locations"][0]["url"]
    assert Path(url.removeprefix("file://")).read_bytes() == DATA
    other = await new_image(located)
    for who in ("alice", "admin"):
        found = await located.call(who, "POST", f"{other}/locations", json={"url": url})
        assert found.status_code == 403

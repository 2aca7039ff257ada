"""What Horizon's REST has not, in its style: members, tags, stores, imports, tasks, events, definitions."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from browsing import AJAX, Browser, browser
from inprocess import Prepared, Service, running
from tintype.dashboard.tasks import DashboardTasks
from tintype.domain.callers import Caller
from tintype.settings import CacheSettings, ImportSettings
from tintype.settings.stores import FileStore
from web import serving

BINARY = {"Content-Type": "application/octet-stream"}


@pytest_asyncio.fixture
async def rich(prepared: Prepared, tmp_path: Path) -> AsyncIterator[Service]:
    """Give a service with two stores, a cache, and a worker that may fetch from loopback."""
    loopback = ImportSettings(allowed_networks=("127.0.0.0/8",), ports=tuple(range(1024, 65536)))
    stores = {"fast": FileStore(folder="fast"), "archive": FileStore(folder="archive")}
    cache = CacheSettings(folder="cache")
    async with running(prepared, tmp_path, imports=loopback, stores=stores, cache=cache) as service:
        worker = asyncio.create_task(service.parts.worker.run())
        yield service
        worker.cancel()
        await asyncio.wait([worker])


async def active(service: Service, person: Browser, name: str = "alice") -> str:
    """Make an image with bytes."""
    image = str((await person.make(visibility="shared"))["id"])
    answer = await service.call(name, "PUT", f"/v2/images/{image}/file", content=b"bytes", headers=BINARY)
    assert answer.status_code == 204
    return image


async def until(person: Browser, path: str, wanted: Any) -> Any:
    for _ in range(200):
        found = await person.get(path)
        if wanted(found):
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(found)


async def test_members(service: Service) -> None:
    """Shared by the name of a project or its id; each side does its part."""
    alice, bob = await browser(service, "alice"), await browser(service, "bob")
    image = (await alice.make(visibility="shared"))["id"]
    path, beta = f"images/{image}/members/", service.projects["beta"]
    answer = await alice.send("POST", path, json={"member": "beta"})
    assert (answer.status_code, answer.json()["member_id"]) == (201, beta)
    assert answer.headers["location"] == f"/api/glance/{path}{beta}/"
    assert (await alice.send("POST", path, json={"member": beta})).status_code == 409
    assert [each["status"] for each in (await bob.get(path))["items"]] == ["pending"]
    found = await bob.get("images/?visibility=shared&member_status=pending")
    assert [each["id"] for each in found["items"]] == [image]
    assert (await alice.send("PUT", f"{path}{beta}/", json={"status": "accepted"})).status_code == 403
    assert (await bob.send("PUT", f"{path}{beta}/", json={"status": "maybe"})).status_code == 400
    assert (await bob.send("PUT", f"{path}{beta}/", json={"status": "accepted"})).status_code == 204
    assert [each["id"] for each in (await bob.get("images/"))["items"]] == [image]
    assert (await bob.send("DELETE", f"{path}{beta}/")).status_code in {403, 404}
    assert (await alice.send("DELETE", f"{path}{beta}/")).status_code == 204
    assert (await bob.send("GET", path)).status_code == 404
    for wrong in ({"member": ""}, {"member": 5}, {"other": 1}, {"member": "nowhere"}):
        assert (await alice.send("POST", path, json=wrong)).status_code == 400


async def test_tags(service: Service) -> None:
    """One at a time."""
    alice = await browser(service, "alice")
    image = (await alice.make())["id"]
    assert (await alice.send("PUT", f"images/{image}/tags/a%20b/")).status_code == 204
    assert (await alice.get(f"images/{image}/"))["properties"]["tags"] == ["a b"]
    assert (await alice.send("DELETE", f"images/{image}/tags/a%20b/")).status_code == 204
    assert (await alice.send("DELETE", f"images/{image}/tags/a%20b/")).status_code == 404
    assert (await alice.send("PUT", f"images/{image}/tags/{'x' * 300}/")).status_code == 400


async def test_stores_and_copies(rich: Service) -> None:
    """Named, copied to, and taken from; a task tells how it goes."""
    admin = await browser(rich, "admin")
    rich.tokens["admin"] = str(admin.http.cookies["tintype_session"])
    image = await active(rich, admin, "admin")
    assert [store["id"] for store in (await admin.get("stores/"))["items"]] == ["fast", "archive"]
    assert (
        await admin.send("POST", f"images/{image}/copies/", json={"stores": ["archive"]})
    ).status_code == 204
    both = await until(admin, f"images/{image}/", lambda found: "archive" in found["properties"]["stores"])
    assert set(both["properties"]["stores"].split(",")) == {"fast", "archive"}
    tasks = (await admin.get(f"images/{image}/tasks/"))["items"]
    assert [(task["type"], task["image_id"]) for task in tasks] == [("api_image_import", image)]
    assert "self" not in tasks[0]
    await until(admin, f"tasks/{tasks[0]['id']}/", lambda task: task["status"] == "success")
    assert (await admin.send("DELETE", f"images/{image}/copies/archive/")).status_code == 204
    assert (await admin.send("DELETE", f"images/{image}/copies/fast/")).status_code == 403
    assert (await admin.send("DELETE", f"images/{image}/copies/nowhere/")).status_code == 409
    wrong: Any
    for wrong in ({"stores": ["nowhere"]}, {"stores": []}, {"stores": "fast"}, {"all_stores": "yes"}):
        assert (await admin.send("POST", f"images/{image}/copies/", json=wrong)).status_code in {400, 409}


async def test_imports_are_told_of_as_they_go_on(rich: Service) -> None:
    """Begun in the words of the API, listed with their bytes, and ended by who began them."""
    alice, bob = await browser(rich, "alice"), await browser(rich, "bob")
    image = (await alice.make())["id"]
    with serving(lambda request: request.drip(b"x" * 100_000, 0.001, 100_000)) as server:
        method = {"name": "web-download", "uri": f"{server.url}/disk"}
        answer = await alice.send("POST", f"images/{image}/import/", json={"method": method})
        assert (answer.status_code, answer.content) == (204, b"")
        task = (await alice.get("tasks/"))["items"][0]
        assert (task["image_id"], task["status"] in {"pending", "processing"}) == (image, True)
        assert (await bob.get("tasks/"))["items"] == []
        assert (await bob.send("GET", f"tasks/{task['id']}/")).status_code == 404
        assert (await bob.send("POST", f"tasks/{task['id']}/actions/cancel/")).status_code == 404
        ended = await alice.send("POST", f"tasks/{task['id']}/actions/cancel/")
        assert ended.status_code == 200
        await until(alice, f"images/{image}/", lambda found: found["status"] == "queued")
        late = await alice.send("POST", f"tasks/{task['id']}/actions/cancel/")
        assert late.status_code == 409
    wrong: Any
    for wrong in ({"method": {}}, {"method": {"name": "nothing"}}, {"x": 1}):
        assert (await alice.send("POST", f"images/{image}/import/", json=wrong)).status_code == 400


async def _events(service: Service) -> Any:
    """Give who tells of events, from behind its guard."""
    endpoint = service.parts.routes["/api/glance/events"].methods["GET"]
    return next(
        cell.cell_contents.__self__
        for cell in endpoint.__closure__ or ()
        if isinstance(getattr(cell.cell_contents, "__self__", None), DashboardTasks)
    )


async def test_events_tell_what_changes(rich: Service) -> None:
    """The newest tasks at once, then whenever one of them changes; others' tasks never."""
    alice = await browser(rich, "alice")
    told: list[list[dict[str, Any]]] = []
    events = await _events(rich)
    caller = Caller("", "", rich.projects["alpha"])
    stopping = asyncio.Event()

    async def listen() -> None:
        async for piece in events._task_events(
            caller, "::1", str(alice.http.cookies["tintype_session"]), stopping
        ):
            for said in piece.split(b"data: ")[1:]:
                told.append(json.loads(said))  # noqa: PERF401 (they are looked at while more come)

    listener = asyncio.create_task(listen())
    with serving(lambda request: request.ranged(b"x" * 1000)) as server:
        made = await alice.make(image_url=f"{server.url}/disk", import_data=True)
        await until(alice, f"images/{made['id']}/", lambda found: found["status"] == "active")
    for _ in range(100):
        if told and told[-1] and told[-1][0]["status"] == "success":
            break
        await asyncio.sleep(0.05)
    stopping.set()
    await asyncio.wait_for(listener, 5)
    assert told[0] == [] or told[0][0]["image_id"] == made["id"]
    assert [task["status"] for task in told[-1]] == ["success"]
    assert not events._streams


async def test_events_end_with_the_session(rich: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has logged out hears no more: the session is looked at every few seconds, not only at first."""
    monkeypatch.setattr("tintype.dashboard.tasks._TRUSTED_SECONDS", 0.0)
    monkeypatch.setattr("tintype.dashboard.tasks._EVERY_SECONDS", 0.02)
    alice = await browser(rich, "alice")
    events, session = await _events(rich), str(alice.http.cookies["tintype_session"])
    caller = Caller("", "", rich.projects["alpha"])
    stream = events._task_events(caller, "::1", session, asyncio.Event())
    heard = [await anext(stream), await anext(stream)]
    assert heard == [b"retry: 2000\n\n", b"event: tasks\ndata: []\n\n"]
    waiting = asyncio.ensure_future(anext(stream))
    done, _ = await asyncio.wait([waiting], timeout=0.3)
    assert not done, "a session that holds is served on"
    script = {**AJAX, "X-CSRFToken": alice.session["csrf_token"]}
    assert (await alice.http.delete("/api/session/", headers=script)).status_code == 204
    with pytest.raises(StopAsyncIteration):
        await asyncio.wait_for(waiting, 5)
    assert not events._streams


async def test_one_person_cannot_take_all_streams(rich: Service) -> None:
    """Twenty pages are many; the next one asks for the list."""
    alice = await browser(rich, "alice")
    events = await _events(rich)
    events._streams[alice.session["user"]["id"]] = 20
    answer = await alice.send("GET", "events/")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")


async def test_usage(service: Service) -> None:
    """What the image API tells, by name."""
    alice = await browser(service, "alice")
    await alice.make()
    found = await alice.get("usage/")
    assert found["image_count_total"] == {"usage": 1, "limit": -1}


async def test_the_cache(rich: Service) -> None:
    """For operators: what is kept, and how it goes."""
    admin, alice = await browser(rich, "admin"), await browser(rich, "alice")
    image = await active(rich, alice)
    assert (await alice.send("GET", "cache/")).status_code == 403
    assert (await admin.send("PUT", f"cache/{image}/")).status_code == 202
    found = await admin.get("cache/")
    assert image in found["queued_images"] or image in {each["image_id"] for each in found["cached_images"]}
    assert (await admin.send("DELETE", f"cache/{image}/")).status_code == 204
    assert (await admin.send("DELETE", "cache/")).status_code == 204
    assert admin.session["service"]["cache"] is True


async def test_no_cache_no_paths(service: Service) -> None:
    """Where nothing is kept there is nothing to ask."""
    admin = await browser(service, "admin")
    assert (await admin.send("GET", "cache/")).status_code == 404
    assert admin.session["service"]["cache"] is False


async def test_namespaces(service: Service) -> None:
    """Made of a document, with what an export says besides; changed in part; deleted unless protected."""
    admin, alice = await browser(service, "admin"), await browser(service, "alice")
    whole = await admin.get("metadefs/namespaces/OS::Compute::Hypervisor/")
    whole |= {"namespace": "My::Own", "protected": False, "visibility": "private"}
    answer = await admin.send("POST", "metadefs/namespaces/", json=_written(whole))
    assert (answer.status_code, answer.headers["location"]) == (
        201,
        "/api/glance/metadefs/namespaces/My%3A%3AOwn/",
    )
    assert answer.json()["properties"].keys() == whole["properties"].keys()
    path = "metadefs/namespaces/My::Own/"
    assert (await alice.send("GET", path)).status_code == 404
    assert (await alice.send("POST", "metadefs/namespaces/", json={"namespace": "x"})).status_code == 403
    assert (
        await admin.send("PATCH", path, json={"visibility": "public", "protected": True})
    ).status_code == 204
    seen = await alice.get(path)
    assert (seen["visibility"], seen["protected"], seen["description"]) == (
        "public",
        True,
        whole["description"],
    )
    assert (await admin.send("DELETE", path)).status_code == 403
    types = "metadefs/namespaces/My::Own/resource_types/"
    assert (await admin.send("PATCH", path, json={"protected": False})).status_code == 204
    wanted = [{"name": "OS::Glance::Image", "prefix": "my_"}, {"name": "OS::Nova::Flavor"}]
    for _ in range(2):
        assert (await admin.send("PUT", types, json={"items": wanted})).status_code == 204
        found = (await alice.get(types))["items"]
        assert {each["name"]: each.get("prefix") for each in found} == {
            "OS::Glance::Image": "my_",
            "OS::Nova::Flavor": None,
        }
    on_image = await alice.get(f"{path}?resource_type=OS::Glance::Image")
    assert all(name.startswith("my_") for name in on_image["properties"])
    twice = {"items": [{"name": "OS::Nova::Flavor"}] * 2}
    wrong: Any
    for wrong in (twice, {"items": {}}, {"items": [5]}, {"items": [{"name": ""}]}, {"x": 1}):
        assert (await admin.send("PUT", types, json=wrong)).status_code == 400
    for wrong in ({"properties": {}}, {"visibility": "x"}, {"protected": "x"}):
        assert (await admin.send("PATCH", path, json=wrong)).status_code == 400
    assert (await admin.send("DELETE", path)).status_code == 204
    assert (await admin.send("DELETE", path)).status_code == 404


def _written(whole: dict[str, Any]) -> dict[str, Any]:
    """Give a namespace as somebody writes it who has exported it."""
    kept = [{"name": each["name"]} for each in whole.get("resource_type_associations", [])]
    return {**whole, "resource_type_associations": kept, "objects": []}


async def test_uploads_that_go_on(service: Service) -> None:
    """The tus endpoint of the API behind the session: the page never sees a token."""
    alice = await browser(service, "alice")
    image = (await alice.make())["id"]
    tus = {"Tus-Resumable": "1.0.0"}
    path = f"images/{image}/uploads"
    begun = await alice.send("POST", path, headers={**tus, "Upload-Length": "10"})
    assert begun.status_code == 201
    assert begun.headers["location"].startswith(f"http://testserver/api/glance/{path}/")
    upload = f"{path}/{begun.headers['location'].rsplit('/', 1)[1]}"
    piece = {**tus, "Content-Type": "application/offset+octet-stream"}
    first = await alice.send("PATCH", upload, headers={**piece, "Upload-Offset": "0"}, content=b"12345")
    assert (first.status_code, first.headers["upload-offset"]) == (204, "5")
    wrong = await alice.send("PATCH", upload, headers={**piece, "Upload-Offset": "7"}, content=b"12345")
    assert (wrong.status_code, type(wrong.json())) == (409, str)
    seen = await alice.send("HEAD", upload, headers=tus)
    assert seen.headers["upload-offset"] == "5"
    last = await alice.send("PATCH", upload, headers={**piece, "Upload-Offset": "5"}, content=b"67890")
    assert last.status_code == 204
    assert (await alice.get(f"images/{image}/"))["status"] == "active"
    assert (await alice.send("POST", path, headers={"Upload-Length": "10"})).status_code == 412


@pytest.mark.parametrize("path", ["images", "images/x", "session", "events", "metadefs/namespaces/x"])
async def test_other_methods_are_refused(service: Service, path: str) -> None:
    """405, with what is allowed."""
    prefix = "/api/" if path == "session" else "/api/glance/"
    answer: httpx2.Response = await service.client.request("REPORT", f"{prefix}{path}")
    assert (answer.status_code, "GET" in answer.headers["allow"]) == (405, True)

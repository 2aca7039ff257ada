"""Imports, locations and the cache: what went wrong once, each as it must not be again."""

import asyncio
import contextlib
import gzip
import io
import socket
import threading
import time
import zipfile
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update
from test_import_plugins import qcow2, settings, unpacked
from test_imports import BINARY, DATA, STORES, begin, ended, loopback, new_image, show, staged, working

import web
from inprocess import Prepared, Service, make_settings, running
from tintype.blobs import network
from tintype.blobs.cache import CHUNK_BYTES
from tintype.blobs.downloads import Download
from tintype.blobs.network import resolve, resolve_for_proxy
from tintype.blobs.web import Web
from tintype.db import blobs as blob_rows
from tintype.db.engine import now
from tintype.db.tables import blobs, images, jobs
from tintype.domain.addresses import WebRules, networks
from tintype.domain.blobs import Blob
from tintype.domain.proxies import Proxy, ProxyRules
from tintype.errors import Conflict, Invalid, StartError, TintypeError, Unavailable
from tintype.folders import check_folders, make_folders
from tintype.services.leases import heartbeat
from tintype.settings import CacheSettings, ImportSettings, Settings
from tintype.settings.stores import FileStore, HttpStore, MemoryStore


async def test_the_cache_keeps_images_apart(prepared: Prepared, tmp_path: Path) -> None:
    """Where a store spoils somebody's bytes, nobody else's image with the same digest is spoilt by that."""
    good, evil = bytes(2 * CHUNK_BYTES), b"evil" * (CHUNK_BYTES // 2)
    stores = {"slow": MemoryStore(limit=100 << 20)}
    async with running(prepared, tmp_path, stores=stores, cache=CacheSettings(folder="cache")) as service:
        images, slow = {}, service.memory("slow")
        for who in ("bob", "alice"):
            images[who] = await new_image(service, who)
            answer = await service.call(who, "PUT", f"{images[who]}/file", content=good, headers=BINARY)
            assert answer.status_code == 204
            if who == "bob":
                (key,) = slow.ready
        slow.ready[key] = evil
        part = {"Range": f"bytes=0-{CHUNK_BYTES}"}
        his = await service.call("bob", "GET", f"{images['bob']}/file", headers=part)
        assert his.content == evil[: CHUNK_BYTES + 1]
        hers = await service.call("alice", "GET", f"{images['alice']}/file")
        assert hers.content == good


def zip_of(data: bytes, method: int, members: int = 1) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        for number in range(members):
            archive.writestr(f"{number}{'x' * 60}", data)
    return made.getvalue()


@pytest.mark.parametrize(
    ("archive", "says"),
    [
        (zip_of(bytes(100 << 20), zipfile.ZIP_BZIP2), "stored or deflated"),
        (zip_of(bytes(1 << 20), zipfile.ZIP_LZMA), "stored or deflated"),
        (zip_of(b"", zipfile.ZIP_STORED, members=1000), "one file"),
        (zip_of(b"x", zipfile.ZIP_STORED)[:-22], "its zip data is damaged"),
    ],
    ids=["bzip2", "lzma", "a large table", "no table"],
)
async def test_archives_that_would_take_memory(archive: bytes, says: str, tmp_path: Path) -> None:
    """Methods whose blocks come out whole, and tables of many files, are refused unread."""
    with pytest.raises(TintypeError, match=says):
        await unpacked(archive, tmp_path)


async def test_zeros_behind_a_packed_image(tmp_path: Path) -> None:
    """Padding is no further stream, in whichever chunk it comes."""
    packed = gzip.compress(b"disk" * 10_000)
    for padding in (10, 5_000, 200_000):
        assert await unpacked(packed + bytes(padding), tmp_path, 1000) == b"disk" * 10_000


async def test_nothing_stays_of_an_image_that_was_deleted(prepared: Prepared, tmp_path: Path) -> None:
    """Not even what a source still sends after the sweep."""
    go_on = asyncio.Event()

    def answer(request: web.Request) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(8 << 20))
        request.end_headers()
        request.wfile.write(bytes(4 << 20))
        while not go_on.is_set():
            threading_sleep()
        request.wfile.write(bytes(4 << 20))

    with web.serving(answer) as server:
        async with running(prepared, tmp_path, imports=loopback(server)) as service, working(service):
            image = await new_image(service)
            await begin(service, image, {"name": "web-download", "uri": f"{server.url}/x"})
            for _ in range(100):
                if list(service.folder.glob("images/partial/*")):
                    break
                await asyncio.sleep(0.05)
            assert (await service.call("alice", "DELETE", image)).status_code == 204
            await asyncio.sleep(0.5)
            go_on.set()
            await asyncio.sleep(4)
            left = [path for path in service.folder.glob("images/**/*") if path.is_file()]
            assert [path for path in left if path.name != ".tintype-store"] == []


def threading_sleep() -> None:
    import time

    time.sleep(0.02)


async def test_tasks_are_their_projects_own(service: Service) -> None:
    """Who may see an image of the community's does not see where it was imported from."""
    image = await new_image(service, visibility="community")
    method = {"name": "glance-download", "glance_region": "x", "glance_image_id": image.rpartition("/")[2]}
    assert (await begin(service, image, method)).status_code == 202
    assert len((await service.call("alice", "GET", f"{image}/tasks")).json()["tasks"]) == 1
    assert (await service.call("bob", "GET", image)).status_code == 200
    assert (await service.call("bob", "GET", f"{image}/tasks")).json() == {"tasks": []}


async def test_a_head_that_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that only promises to answer is given up, however often it promises."""
    monkeypatch.setattr("tintype.blobs.web._HEAD_SECONDS", 0.5)

    def answer(request: web.Request) -> None:
        for _ in range(200):
            request.wfile.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
            request.wfile.flush()
            threading_sleep()

    with web.serving(answer) as server:
        way = Web(WebRules(networks(["127.0.0.0/8"]), ports=frozenset({server.server_port})))
        async with asyncio.timeout(15):
            failing = Download(way, f"{server.url}/", limit=100, seconds=2).begin()
            with pytest.raises(TintypeError, match=r"not be read within 2 s|no answer within"):
                await failing
        await way.close()


async def test_a_range_that_was_not_asked_for() -> None:
    """Bytes from elsewhere are not taken for the ones that were wanted."""
    with web.serving(
        lambda request: request.give(b"x" * 10, status=206, Content_Range="bytes 0-9/100")
    ) as server:
        way = Web(WebRules(networks(["127.0.0.0/8"]), ports=frozenset({server.server_port})))
        store = HttpStoreOf(way, server.url)
        with pytest.raises(TintypeError, match="different range"):
            await store.some(50, 60)
        await way.close()


class HttpStoreOf:
    """A store below one address, read at once."""

    def __init__(self, way: Web, url: str) -> None:
        from tintype.blobs.http import HttpStore as Store

        self._store = Store("web", url, way)

    async def some(self, start: int, stop: int) -> bytes:
        return b"".join([chunk async for chunk in self._store.read("key", start, stop)])


async def test_what_waits_is_cancelled_at_once(service: Service) -> None:
    """Where no worker has the job, nobody is waited for: the image is free."""
    image = await new_image(service)
    method = {"name": "glance-download", "glance_region": "x", "glance_image_id": image.rpartition("/")[2]}
    assert (await begin(service, image, method)).status_code == 202
    task = (await show(service, image))["os_glance_import_task"]
    answer = await service.call("alice", "POST", f"/v2/tasks/{task}/actions/cancel")
    assert (answer.status_code, answer.json()["status"]) == (202, "failure")
    shown = await show(service, image)
    assert (shown["status"], "os_glance_import_task" in shown) == ("queued", False)
    put = await service.call("alice", "PUT", f"{image}/file", content=b"x", headers=BINARY)
    assert put.status_code == 204


async def test_a_copy_that_is_there_counts(prepared: Prepared, tmp_path: Path) -> None:
    """Where failures are allowed, the staged bytes in place are a success by themselves."""
    stores = {**STORES, "full": MemoryStore(limit=10)}
    async with running(prepared, tmp_path, stores=stores) as service, working(service):
        image = await staged(service)
        wished: dict[str, Any] = {"stores": ["local", "full"], "all_stores_must_succeed": False}
        assert (await begin(service, image, "glance-direct", **wished)).status_code == 202
        assert (await ended(service, image))["status"] == "success"
        shown = await show(service, image)
        assert (shown["status"], shown["stores"]) == ("active", "local")
        assert shown["os_glance_failed_import"] == "full"


async def test_an_import_does_not_break_into_a_stage(service: Service) -> None:
    """Until the last byte is staged there is nothing to import."""
    image = await new_image(service)
    half, rest = asyncio.Event(), asyncio.Event()

    async def slowly() -> Any:
        yield b"x" * 1000
        half.set()
        await rest.wait()
        yield b"y" * 1000

    putting = asyncio.create_task(
        service.call("alice", "PUT", f"{image}/stage", content=slowly(), headers=BINARY)
    )
    await half.wait()
    for _ in range(100):
        if (await show(service, image))["status"] == "uploading":
            break
        await asyncio.sleep(0.02)
    assert (await begin(service, image, "glance-direct")).status_code == 409
    rest.set()
    assert (await putting).status_code == 204
    assert (await begin(service, image, "glance-direct")).status_code == 202


@pytest.mark.needs("qemu-img")
async def test_packed_disks_can_be_staged(prepared: Prepared, tmp_path: Path) -> None:
    """With plugins, what is staged need not be what the image will be; what comes out of them must."""
    disk = qcow2(tmp_path, DATA)
    async with running(prepared, tmp_path, **settings("decompress")) as service, working(service):
        image = await staged(service, gzip.compress(disk), disk_format="qcow2")
        assert (await begin(service, image, "glance-direct")).status_code == 202
        assert (await ended(service, image))["status"] == "success"
        assert (await service.call("alice", "GET", f"{image}/file")).content == disk
        wrong = await staged(service, gzip.compress(b"no disk" * 100), disk_format="qcow2")
        await begin(service, wrong, "glance-direct")
        assert "format" in (await ended(service, wrong))["message"]


@pytest.mark.needs("qemu-img")
async def test_isos_are_not_converted(prepared: Prepared, tmp_path: Path) -> None:
    """They are to be read as they are."""
    sector = bytearray(36_864)
    sector[32_768:32_775] = b"\x01CD001\x01"
    async with running(prepared, tmp_path, **settings("convert")) as service, working(service):
        image = await staged(service, bytes(sector), disk_format="iso")
        assert (await begin(service, image, "glance-direct")).status_code == 202
        assert (await ended(service, image))["status"] == "success"
        assert (await show(service, image))["disk_format"] == "iso"


async def test_stores_are_those_with_bytes(prepared: Prepared, tmp_path: Path) -> None:
    """A refused location leaves only its store's name, as in Glance, and is not a copy of a later import."""
    with web.serving(lambda request: request.ranged(DATA)) as server:
        stores = {"local": FileStore(), "web": HttpStore()}
        async with (
            running(prepared, tmp_path, stores=stores, imports=loopback(server)) as service,
            working(service),
        ):
            image = await new_image(service)
            wrong = {"os_hash_algo": "sha512", "os_hash_value": "ab" * 64}
            url = {"url": f"{server.url}/x", "validation_data": wrong}
            await service.call("alice", "POST", f"{image}/locations", json=url)
            assert (await ended(service, image))["status"] == "failure"
            assert (await show(service, image))["stores"] == "web"
            await begin(service, image, {"name": "web-download", "uri": f"{server.url}/x"})
            assert (await ended(service, image))["status"] == "success"
            assert (await show(service, image))["stores"] == "local"


async def test_a_request_is_not_kept_whole(service: Service) -> None:
    """What a task notes of its request is what is known of imports."""
    image = await new_image(service)
    junk: dict[str, Any] = {"junk": "x" * 100_000, "all_stores": False}
    method = {
        "name": "glance-download",
        "glance_region": "x",
        "glance_image_id": image.rpartition("/")[2],
        "more": "y" * 100_000,
    }
    assert (await begin(service, image, method, **junk)).status_code == 202
    answer = await service.call("alice", "GET", f"{image}/tasks")
    assert len(answer.content) < 2000
    method["glance_region"] = "z" * 3000
    assert (await begin(service, await new_image(service), method)).status_code == 400


async def test_a_job_of_another_version_does_not_hold_up_the_others(service: Service) -> None:
    """What cannot be read, or done, here is ended with a reason."""
    images = []
    for _ in range(4):
        image = await new_image(service)
        method = {
            "name": "glance-download",
            "glance_region": "x",
            "glance_image_id": image.rpartition("/")[2],
        }
        assert (await begin(service, image, method)).status_code == 202
        images.append(image.rpartition("/")[2])
    async with service.parts.database.write() as tx:
        await tx.execute(update(jobs).where(jobs.c.image_id == images[0]).values(type="nonsense"))
        await tx.execute(update(jobs).where(jobs.c.image_id == images[1]).values(input="[]"))
        await tx.execute(update(jobs).where(jobs.c.image_id == images[2]).values(caller="[]"))
    async with working(service):
        task = await ended(service, f"/v2/images/{images[3]}")
        assert "no image service" in task["message"]
        for image in images[:3]:
            shown = await show(service, f"/v2/images/{image}")
            assert (shown["status"], "version" in shown["os_glance_failed_reason"]) == ("queued", True)


@pytest.mark.parametrize("backlog", [False, True], ids=["one by one", "a backlog"])
async def test_one_project_does_not_take_every_slot(
    prepared: Prepared, tmp_path: Path, backlog: bool
) -> None:
    """With more slow sources than there are slots, others' imports go on, from a backlog too."""

    def answer(request: web.Request) -> None:
        if request.path == "/slow":
            request.drip(b"x" * 1000, 0.05, 1000)
        else:
            request.ranged(DATA)

    async def ask(service: Service, who: str, path: str) -> str:
        image = await new_image(service, who)
        await begin(service, image, {"name": "web-download", "uri": f"{server.url}{path}"}, who)
        return image

    with web.serving(answer) as server:
        async with (
            running(prepared, tmp_path, imports=loopback(server)) as service,
            contextlib.AsyncExitStack() as stack,
        ):
            if not backlog:
                await stack.enter_async_context(working(service))
            for _ in range(6):
                await ask(service, "alice", "/slow")
            if not backlog:
                await asyncio.sleep(0.5)
            image = await ask(service, "bob", "/fast")
            if backlog:
                await stack.enter_async_context(working(service))
            assert (await ended(service, image))["status"] == "success"


async def test_a_commit_whose_answer_was_lost(prepared: Prepared, tmp_path: Path) -> None:
    """The bytes of an image that is active are kept, whatever the attempt believed of its end."""
    with web.serving(lambda request: request.ranged(DATA)) as server:
        async with running(prepared, tmp_path, imports=loopback(server)) as service:
            database = service.parts.database
            lost: list[int] = []
            real = database.write

            @contextlib.asynccontextmanager
            async def write(**options: Any) -> AsyncIterator[Any]:
                async with real(**options) as tx:
                    yield tx
                async with database.read() as tx:
                    became = (await tx.execute(select(images.c.status))).scalar_one()
                if became == "active" and not lost:
                    lost.append(1)
                    raise Unavailable("The database has gone away.")

            database.write = write  # type: ignore[method-assign]
            image = await new_image(service)
            async with working(service):
                await begin(service, image, {"name": "web-download", "uri": f"{server.url}/x"})
                for _ in range(200):
                    if lost:
                        break
                    await asyncio.sleep(0.05)
                assert lost
                await asyncio.sleep(0.5)
            shown = await show(service, image)
            assert shown["status"] == "active"
            assert (await service.call("alice", "GET", f"{image}/file")).content == DATA


async def test_a_place_is_one_images(prepared: Prepared, tmp_path: Path) -> None:
    """Of services that name the same bytes at once one image has them: they would go with either."""

    async def url(key: str) -> str:
        return key

    async def place(url: str) -> str | None:
        return url.removeprefix("there:") if url.startswith("there:") else None

    stores = {"slow": MemoryStore(limit=100 << 20)}
    async with running(prepared, tmp_path, stores=stores) as service:
        slow = service.memory("slow")
        vars(slow).update(url=url, place=place)  # as a store has them that can register bytes
        slow.ready["=disk"] = DATA
        await service.parts.identity.roles.grant("alice", "alpha", "service")
        made = [await new_image(service) for _ in range(4)]
        given = {"url": "there:disk"}
        answers = await asyncio.gather(
            *(service.call("alice", "POST", f"{image}/locations", json=given) for image in made)
        )
        assert {answer.status_code for answer in answers} == {202}
        async with working(service):
            became = [(await ended(service, image))["status"] for image in made]
        assert sorted(became) == ["failure", "failure", "failure", "success"]
        late = await service.call("alice", "POST", f"{await new_image(service)}/locations", json=given)
        assert late.status_code == 400


async def test_names_that_nobody_can_look_up_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that is silent is no reason to refuse for ever; one that says no is."""
    rules = WebRules()
    for number, refused in ((socket.EAI_AGAIN, False), (socket.EAI_NONAME, True)):

        def look_up(*_asked: Any, number: int = number, **_more: Any) -> Any:
            raise socket.gaierror(number, "no")

        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        there = Web(rules)
        with pytest.raises(Invalid) if refused else contextlib.nullcontext():
            await there.check("http://images.example.org/disk")
        with pytest.raises(Invalid if refused else Unavailable):
            await resolve(rules, "images.example.org", 80)
        await there.close()


@pytest.mark.parametrize("proxied", [False, True])
async def test_every_name_is_refused_at_the_same_moment(
    monkeypatch: pytest.MonkeyPatch, proxied: bool
) -> None:
    """By the request and by the job: names that exist inside are found sooner than those that do not."""
    monkeypatch.setattr(network, "_REFUSAL_SECONDS", 1.5)
    rules = WebRules()
    there = Web(rules, ProxyRules(proxies={"http": Proxy("http://127.0.0.1:9")}) if proxied else None)
    table: dict[str, list[list[str]]] = {
        "inside.example": [["10.0.0.1"]],
        "unknown.example": [[]],
        "inside.example.": [["::1"]],
    }
    look_up = resolve_for_proxy if proxied else resolve

    async def seconds(asked: Awaitable[Any]) -> float:
        started = time.monotonic()
        with pytest.raises(Invalid):
            await asked
        return time.monotonic() - started

    with web.names(table):
        names = [name for name in table if not (proxied and name.startswith("unknown"))]
        checks = [there.check(f"http://{name}/disk") for name in names]
        jobs = [look_up(rules, name, 80) for name in names]
        took = await asyncio.gather(*map(seconds, (*checks, *jobs)))
    assert min(took) >= 1.5
    await there.close()


async def test_a_part_of_what_has_no_parts() -> None:
    """A server without ranges is not read to the end for its last bytes."""
    with web.serving(lambda request: request.give(bytes(40 << 20))) as server:
        there = Web(WebRules(anywhere=True))
        async with there.bytes(server.url, {}, 100, 200) as (_, chunks):
            assert sum([len(chunk) async for chunk in chunks]) == (40 << 20) - 100
        with pytest.raises(Unavailable, match="does not support range"):
            async with there.bytes(server.url, {}, 39 << 20, 40 << 20):
                pass
        await there.close()


@pytest.mark.parametrize("method", ["glance-direct", "copy-image", "glance-download"])
async def test_a_digest_that_nobody_would_check(service: Service, method: str) -> None:
    """Who declares one where it does not count is told so."""
    digest = {"algo": "sha256", "value": "a" * 64}
    image = await new_image(service)
    assert (await begin(service, image, {"name": method, "expected_hash": digest})).status_code == 400
    uri = {"name": "web-download", "uri": "http://8.8.8.8/"}
    assert (await begin(service, image, uri, expected_hash=digest)).status_code == 400
    wrong: Any
    for wrong in ("", [], None, 0):
        body = {"url": "http://8.8.8.8/", "validation_data": wrong}
        assert (await service.call("alice", "POST", f"{image}/locations", json=body)).status_code == 400


async def test_a_store_that_goes_in_the_middle(prepared: Prepared, tmp_path: Path) -> None:
    """What may fail does, by its own reason; the image is in the other store."""
    go_on = threading.Event()

    def answer(request: web.Request) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(8 << 20))
        request.end_headers()
        request.wfile.write(bytes(4 << 20))
        go_on.wait(20)
        request.wfile.write(bytes(4 << 20))

    with web.serving(answer) as server:
        stores = {"local": FileStore(), "near": FileStore(folder="near")}
        async with (
            running(prepared, tmp_path, stores=stores, imports=loopback(server)) as service,
            working(service),
        ):
            image = await new_image(service)
            method = {"name": "web-download", "uri": f"{server.url}/x"}
            wish: dict[str, Any] = {"all_stores": True, "all_stores_must_succeed": False}
            assert (await begin(service, image, method, **wish)).status_code == 202
            for _ in range(200):
                if list(service.folder.glob("near/partial/*")):
                    break
                await asyncio.sleep(0.05)
            (service.folder / "near").rename(service.folder / "away")
            go_on.set()
            task = await ended(service, image)
            assert "Not copied to near: The folder of the store 'near' is missing" in task["message"]
            shown = await show(service, image)
            assert (shown["status"], shown["stores"], shown["os_glance_failed_import"]) == (
                "active",
                "local",
                "near",
            )


async def test_bytes_that_are_missing_behind_a_cache(prepared: Prepared, tmp_path: Path) -> None:
    """Nobody is promised what the store has not; what the cache has whole needs no store."""
    stores = {"slow": MemoryStore(limit=100 << 20)}
    async with running(prepared, tmp_path, stores=stores, cache=CacheSettings(folder="cache")) as service:
        slow, found = service.memory("slow"), []
        for _ in range(2):
            image = await new_image(service)
            await service.call("alice", "PUT", f"{image}/file", content=DATA, headers=BINARY)
            found.append(image)
        await service.call("alice", "GET", f"{found[0]}/file")
        await service.cache.maintain()
        slow.ready.clear()
        assert (await service.call("alice", "GET", f"{found[0]}/file")).content == DATA
        assert (await service.call("alice", "GET", f"{found[1]}/file")).status_code == 404


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"cache": CacheSettings(folder="/proc/cache")}, "cache.folder"),
        ({"cache": CacheSettings(folder="images")}, "must be apart"),
        ({"cache": CacheSettings(folder="images/cache")}, "must be apart"),
        ({"imports": ImportSettings(plugins=("decompress",), scratch="/proc/scratch")}, "imports.scratch"),
        ({"stores": {"a": FileStore(), "b": FileStore()}}, "stores.a.folder and stores.b.folder"),
    ],
    ids=["not a folder", "a store's", "within a store's", "no scratch", "one for two stores"],
)
def test_folders_that_cannot_be(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    """They are found at the start, not when somebody needs them."""
    settings = make_settings(tmp_path, **changes)
    with pytest.raises(StartError, match=says):
        start_on(settings)


def start_on(settings: Settings) -> None:
    """Look at the folders and make them, as a start does."""
    check_folders(settings)
    make_folders(settings)


async def test_a_source_that_knows_no_head() -> None:
    """Its size is asked for in another way."""

    def answer(request: web.Request) -> None:
        if request.command == "HEAD":
            request.give(b"", status=501)
        elif request.path == "/absent":
            request.give(b"", status=404)
        else:
            request.ranged(DATA)

    with web.serving(answer) as server:
        there = Web(WebRules(anywhere=True))
        facts = await there.facts(f"{server.url}/x")
        assert facts is not None
        assert facts.size == len(DATA)
        assert await there.facts(f"{server.url}/absent") is None
        await there.close()


async def test_bytes_that_come_after_the_deletion(service: Service) -> None:
    """A writer that may be alive is waited for; what it has made by then goes with the row."""
    image = (await new_image(service)).rpartition("/")[2]
    database, sweeper = service.parts.database, service.parts.sweeper
    blob = Blob("00000000-late", "local", image)
    async with database.write() as tx:
        await blob_rows.begin(tx, blob, now=now(), lease=60_000_000)
    assert (await service.call("alice", "DELETE", f"/v2/images/{image}")).status_code == 204
    await sweeper.sweep()
    store = service.parts.stores["local"]
    writer = await store.create(blob.key, 4)
    await writer.write(memoryview(b"late"))
    await writer.commit()
    await writer.close()
    async with database.write() as tx:
        assert await blob_rows.get(tx, blob.id) is not None
        await tx.execute(update(blobs).values(lease_expires_at=0))
    await sweeper.sweep()
    assert await store.size(blob.key) is None
    async with database.read() as tx:
        assert await blob_rows.get(tx, blob.id) is None


async def test_a_heartbeat_goes_on_to_the_end() -> None:
    """Work that was told to end holds on while it saves what it has; it is told once."""
    beats, told = [], []

    async def beat() -> TintypeError | None:
        beats.append(1)
        return Conflict("Another one wants it.")

    async def work() -> None:
        async with heartbeat(beat, 0.01):
            try:
                await asyncio.sleep(10)
            finally:
                told.append(len(beats))
                await asyncio.sleep(0.2)

    with pytest.raises(Conflict):
        await work()
    assert (told, len(beats) > 3) == ([1], True)

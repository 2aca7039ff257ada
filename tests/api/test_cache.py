"""The cache in front of slow stores: filled once, whole or by ranges, bounded, and never wrong."""

import asyncio
import contextlib
import dataclasses
import errno
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import update
from test_imports import BARE, new_image, show, working

from inprocess import Prepared, Service, running
from tintype.blobs import reading
from tintype.blobs.cache import CHUNK_BYTES, CacheKey, ChunkFiles
from tintype.blobs.memory import MemoryStore
from tintype.db import blobs as blob_rows
from tintype.db import cache as cache_rows
from tintype.db import images as image_rows
from tintype.db.cache import Entry
from tintype.db.engine import now
from tintype.db.tables import cached_images as table
from tintype.errors import Unavailable
from tintype.jobs.prefetcher import Prefetcher
from tintype.observability.logs import make_logger
from tintype.services.cache import Cache
from tintype.settings import CacheSettings
from tintype.settings import stores as kinds

DATA = bytes(range(256)) * (50 << 10)  # three pieces and a bit
OF = CacheKey("image", "sha512-abc")
LIMIT = 2 * len(DATA) + 100


class Slow:
    """What the slow store is asked for; and what it gives, if not what was written."""

    def __init__(self, store: MemoryStore) -> None:
        self.asked: list[tuple[int, int]] = []
        self.data: bytes | None = None
        self._store, self._read = store, store.read
        store.read = self.read  # type: ignore[method-assign]

    async def read(self, key: str, start: int, stop: int) -> AsyncIterator[bytes]:
        self.asked.append((start, stop))
        if self.data is not None:
            self._store.ready[key] = self.data
        async for chunk in self._read(key, start, stop):
            yield chunk


@dataclasses.dataclass
class Cached(Service):
    """A service with a slow store."""

    slow: Slow


@pytest_asyncio.fixture
async def cached(prepared: Prepared, tmp_path: Path) -> AsyncIterator[Cached]:
    """Give a service with a slow store, a cache for two of its images, and everything at work."""
    async with running(
        prepared,
        tmp_path,
        stores={"slow": kinds.MemoryStore(limit=100 << 20), "local": kinds.FileStore()},
        cache=CacheSettings(folder="cache", limit=LIMIT, node="here"),
    ) as began:
        service = Cached(**vars(began), slow=Slow(began.memory("slow")))
        async with working(service):
            prefetching = asyncio.create_task(Prefetcher(service.cache, make_logger("json")).run())
            yield service
            prefetching.cancel()
            await asyncio.wait([prefetching])


async def stored(service: Cached, data: bytes = DATA, store: str = "slow") -> str:
    image = await new_image(service)
    headers = {"Content-Type": "application/octet-stream", "X-Image-Meta-Store": store}
    answer = await service.call("alice", "PUT", f"{image}/file", content=data, headers=headers)
    assert answer.status_code == 204, answer.text
    service.slow.asked.clear()
    return image


async def download(service: Service, image: str, **headers: str) -> bytes:
    answer = await service.call("alice", "GET", f"{image}/file", headers=headers)
    assert answer.status_code in {200, 206}, answer.text
    return answer.content


async def state(service: Service) -> dict[str, Any]:
    return dict((await service.call("admin", "GET", "/v2/cache")).json())


async def kept(service: Service, *images: str) -> list[dict[str, Any]]:
    """Wait until these images are kept, and no others; give how."""
    wanted = {image.rpartition("/")[2] for image in images}
    for _ in range(200):
        found = (await state(service))["cached_images"]
        if {each["image_id"] for each in found} == wanted:
            return list(found)
        await asyncio.sleep(0.05)
    pytest.fail(f"not kept: {found}, {wanted}")


async def test_filled_by_the_first_reader(cached: Cached) -> None:
    """The second one asks nobody; what is shown has Glance's fields."""
    image = await stored(cached)
    assert await download(cached, image) == DATA
    asked = len(cached.slow.asked)
    assert asked == 4
    (entry,) = await kept(cached, image)
    assert (entry["size"], entry["checksum"]) == (len(DATA), (await show(cached, image))["os_hash_value"])
    assert await download(cached, image) == DATA
    assert len(cached.slow.asked) == asked
    assert (await state(cached))["queued_images"] == []


async def test_many_readers_at_once(cached: Cached) -> None:
    """Each piece is fetched once, however many wait for it."""
    image = await stored(cached)
    found = await asyncio.gather(*(download(cached, image) for _ in range(8)))
    assert found == [DATA] * 8
    assert len(cached.slow.asked) == 4


async def test_ranges(cached: Cached) -> None:
    """A range fetches its pieces and no others; later ones are served from them."""
    image = await stored(cached)
    assert await download(cached, image, Range="bytes=0-9") == DATA[:10]
    assert cached.slow.asked == [(0, 10)]  # a few bytes are not worth the room of an image
    large = f"bytes={CHUNK_BYTES - 3}-{2 * CHUNK_BYTES}"
    assert await download(cached, image, Range=large) == DATA[CHUNK_BYTES - 3 : 2 * CHUNK_BYTES + 1]
    assert len(cached.slow.asked) == 4
    assert await download(cached, image, Range="bytes=0-9") == DATA[:10]
    assert len(cached.slow.asked) == 4
    assert (await state(cached))["cached_images"] == []
    assert await download(cached, image, Range="bytes=-5") == DATA[-5:]
    assert await download(cached, image) == DATA
    assert cached.slow.asked[-1] == (3 * CHUNK_BYTES, len(DATA))
    assert len(cached.slow.asked) == 5
    await kept(cached, image)


async def test_whole_without_a_reader_who_reached_the_end(cached: Cached) -> None:
    """Pieces that readers of parts have brought together are an image, which upkeep finds."""
    image = await stored(cached)
    end = len(DATA) - 1
    for part in (f"bytes={CHUNK_BYTES}-{end - 1}", f"bytes=0-{2 * CHUNK_BYTES}"):
        await download(cached, image, Range=part)
    assert (await state(cached))["cached_images"] == []
    await cached.cache.maintain()
    await kept(cached, image)


async def test_what_is_dropped_while_it_is_read(cached: Cached) -> None:
    """The reader gets all of it, and nothing of it is left behind."""
    image = await stored(cached)
    async with cached.client.stream("GET", f"{image}/file", headers={"X-Auth-Token": cached.tokens["alice"]}):
        pass
    cache = cached.cache
    async with cached.parts.database.read() as tx:
        found = await image_rows.get(tx, image.rpartition("/")[2], None)
        assert found is not None
        blobs = await blob_rows.ready_of(tx, found.id)

    async def entry() -> Entry:
        entry = await cache.find(found)
        assert entry is not None
        return entry

    await cache.drop([await entry()])
    reading = cache.read(await entry(), blobs, 0, len(DATA))
    parts = [await anext(reading)]
    await cache.drop([await entry()])
    parts += [part async for part in reading]
    assert b"".join(parts) == DATA
    assert not [path for path in (cached.folder / "cache").rglob("*") if path.is_file()]


@pytest.mark.parametrize("is_kept", [True, False])
async def test_a_slow_reader_has_each_piece_read_once(
    cached: Cached, monkeypatch: pytest.MonkeyPatch, is_kept: bool
) -> None:
    """Then only the parts that it takes, from the disk, or from the store where the piece is not kept."""
    monkeypatch.setattr(reading, "_STALL_SECONDS", 0.005)
    image = await stored(cached)
    assert await download(cached, image) == DATA
    await kept(cached, image)
    cache = cached.cache
    async with cached.parts.database.read() as tx:
        found = await image_rows.get(tx, image.rpartition("/")[2], None)
        assert found is not None
        blobs = await blob_rows.ready_of(tx, found.id)
    entry = await cache.find(found)
    assert entry is not None
    if not is_kept:
        await cache.drop([entry])
    cached.slow.asked.clear()
    checked: list[int] = []
    check = zlib.crc32

    def counted(data: bytes) -> int:
        checked.append(len(data))
        return check(data)

    monkeypatch.setattr(zlib, "crc32", counted)
    parts = []
    async for part in cache.read(entry, blobs, 0, CHUNK_BYTES):
        parts.append(part)
        await asyncio.sleep(0.01)
    asked = sum(stop - start for start, stop in cached.slow.asked)
    print(f"{len(parts)} parts, {sum(checked) / CHUNK_BYTES:.1f} checked, {asked / CHUNK_BYTES:.1f} fetched")
    assert b"".join(parts) == DATA[:CHUNK_BYTES]
    assert len(parts) == 64
    assert sum(checked) == (CHUNK_BYTES if is_kept else 0)
    assert asked == 0 if is_kept else CHUNK_BYTES <= asked <= 2 * CHUNK_BYTES


async def test_what_needs_no_cache(cached: Cached) -> None:
    """A disk in front of a disk would be no help."""
    image = await stored(cached, store="local")
    assert await download(cached, image) == DATA
    assert not list((cached.folder / "cache").rglob("0"))


async def test_it_is_bounded_when_something_comes_in(cached: Cached, tmp_path: Path) -> None:
    """Room for a new image is made by the one that was not asked for the longest time."""
    images = []
    for number in range(3):
        images.append(await stored(cached, DATA[:-1] + bytes([number])))
        await download(cached, images[-1])
        await kept(cached, *images[-2:])
    size = sum(path.stat().st_size for path in (cached.folder / "cache").rglob("*") if path.is_file())
    assert size <= LIMIT + 100
    large = await stored(cached, bytes(LIMIT + 1))
    assert len(await download(cached, large)) == LIMIT + 1
    await kept(cached, *images[-2:])


async def test_damage_is_not_served(cached: Cached) -> None:
    """A piece that the disk has changed is fetched again."""
    image = await stored(cached)
    await download(cached, image)
    await kept(cached, image)
    piece = next(path for path in (cached.folder / "cache").rglob("1") if path.is_file())
    data = bytearray(piece.read_bytes())
    data[100] ^= 1
    piece.write_bytes(data)
    asked = len(cached.slow.asked)
    assert await download(cached, image) == DATA
    assert len(cached.slow.asked) == asked + 1


async def test_other_bytes_are_not_kept(cached: Cached) -> None:
    """What the store gives is held against the image's digest once it is whole."""
    image = await stored(cached)
    cached.slow.data = bytes(len(DATA))
    await download(cached, image)
    for _ in range(100):
        if not list((cached.folder / "cache").rglob("0")):
            break
        await asyncio.sleep(0.05)
    assert (await state(cached))["cached_images"] == []
    assert not list((cached.folder / "cache").rglob("0"))


async def test_queue_and_clear(cached: Cached) -> None:
    """Operators have images fetched, and drop them; nobody else may, and there must be something to fetch."""
    image = await stored(cached)
    key = image.rpartition("/")[2]
    for who, status in (("alice", 403), ("bob", 404)):
        assert (await cached.call(who, "PUT", f"/v2/cache/{key}")).status_code == status
    assert (await cached.call("alice", "GET", "/v2/cache")).status_code == 403
    assert (await cached.call("admin", "PUT", "/v2/cache/none")).status_code == 404
    queued = (await cached.call("alice", "POST", "/v2/images", json=BARE)).json()["id"]
    assert (await cached.call("admin", "PUT", f"/v2/cache/{queued}")).status_code == 400
    assert (await cached.call("admin", "PUT", f"/v2/cache/{key}")).status_code == 202
    (entry,) = await kept(cached, image)
    assert (entry["hits"], entry["last_accessed"]) == (0, 0)
    assert (await cached.call("admin", "GET", f"/v2/cache/nodes/{key}")).json() == ["here"]
    assert (await cached.call("admin", "DELETE", "/v2/cache/none")).status_code == 404
    assert (await cached.call("admin", "DELETE", f"/v2/cache/{key}")).status_code == 204
    await kept(cached)
    assert (await cached.call("admin", "PUT", f"/v2/cache/{key}")).status_code == 202
    await kept(cached, image)
    for target, status in (("nonsense", 400), ("queue", 204)):
        headers = {"x-image-cache-clear-target": target}
        assert (await cached.call("admin", "DELETE", "/v2/cache", headers=headers)).status_code == status
    await kept(cached, image)
    assert (await cached.call("admin", "DELETE", "/v2/cache")).status_code == 204
    await kept(cached)
    assert not list((cached.folder / "cache").rglob("0"))


async def test_clean_and_prune(cached: Cached) -> None:
    """Both answer as Glance does; what belongs to a deleted image goes with a clean-up."""
    image = await stored(cached)
    await download(cached, image)
    await kept(cached, image)
    assert (await cached.call("alice", "POST", "/v2/cache/clean")).status_code == 403
    pruned = await cached.call("admin", "POST", "/v2/cache/prune")
    assert (pruned.status_code, pruned.json()) == (200, {"total_files_pruned": 0, "total_bytes_pruned": 0})
    await cached.call("alice", "DELETE", image)
    assert (await cached.call("admin", "POST", "/v2/cache/clean")).status_code == 200
    assert not list((cached.folder / "cache").rglob("0"))


async def test_a_queued_image_whose_store_does_not_answer_waits(cached: Cached) -> None:
    """It is queued again with its space given back, and the images behind it are fetched all the same."""
    silent, image = await stored(cached), await stored(cached, DATA[:-1])
    read, entries = cached.memory("slow").read, cached.cache
    (blob,) = [key for key, data in cached.memory("slow").ready.items() if data == DATA]

    async def fail(key: str, start: int, stop: int) -> AsyncIterator[bytes]:
        if key == blob and start:
            raise Unavailable("The store does not answer.")
        async for chunk in read(key, start, stop):
            yield chunk

    cached.memory("slow").read = fail  # type: ignore[method-assign]
    for each in (silent, image):
        key = each.rpartition("/")[2]
        assert (await cached.call("admin", "PUT", f"/v2/cache/{key}")).status_code == 202
    await kept(cached, image)
    key = silent.rpartition("/")[2]
    for _ in range(200):
        entry = await entries.entry(key)
        pieces = [path for path in (cached.folder / "cache").glob(f"*/{key}/*/*") if path.is_file()]
        if entry is not None and entry.state == cache_rows.QUEUED and not pieces:
            break
        await asyncio.sleep(0.05)
    else:
        pytest.fail(f"not queued again: {entry}, {pieces}")
    assert (await state(cached))["queued_images"] == [key]
    cached.memory("slow").read = read  # type: ignore[method-assign]
    await entries.fetch_queued()
    await kept(cached, silent, image)


async def test_clean_removes_what_nobody_has_read_for_a_day(cached: Cached) -> None:
    """Incomplete ones only: a whole image is never stale."""
    stale, fresh = await stored(cached, DATA[:-1]), await stored(cached, DATA[:-2])
    part = f"bytes=0-{CHUNK_BYTES - 1}"
    for image in (stale, fresh):
        await download(cached, image, Range=part)

    async def incomplete() -> set[str]:
        async with cached.parts.database.read() as tx:
            return {entry.image_id for entry in await cache_rows.list_of(tx, "here")}

    async def read_hours_ago(image: str, hours: int) -> None:
        moment = now() - hours * 3600 * 1_000_000
        async with cached.parts.database.write() as tx:
            which = table.c.image_id == image.rpartition("/")[2]
            await tx.execute(update(table).where(which), {"accessed_at": moment})

    await read_hours_ago(stale, 25)
    await read_hours_ago(fresh, 23)
    assert (await cached.call("admin", "POST", "/v2/cache/clean")).status_code == 200
    assert await incomplete() == {fresh.rpartition("/")[2]}
    assert len(list((cached.folder / "cache").rglob("0"))) == 1
    assert await download(cached, fresh) == DATA[:-2]
    await kept(cached, fresh)
    await read_hours_ago(fresh, 25)
    assert (await cached.call("admin", "POST", "/v2/cache/clean")).status_code == 200
    await kept(cached, fresh)


async def test_prune_evicts_the_least_recently_read(cached: Cached) -> None:
    """As many as are over the limit, and says how many bytes they had."""
    old, new = await stored(cached), await stored(cached, DATA[:-1])
    for image in (old, new):
        await download(cached, image)
    await kept(cached, old, new)
    async with cached.parts.database.write() as tx:  # as if the limit had been lowered
        await tx.execute(update(table).values(size=table.c.size + 100))
    pruned = (await cached.call("admin", "POST", "/v2/cache/prune")).json()
    assert pruned == {"total_files_pruned": 1, "total_bytes_pruned": len(DATA) + 100}
    await kept(cached, new)


async def test_what_cannot_be_cached_is_not_queued(cached: Cached) -> None:
    """An image without data, and one that is larger than the cache."""
    empty, large = await new_image(cached), await stored(cached, bytes(LIMIT + 1))
    for image, reason in (
        (empty, "status active"),
        (large, f"{LIMIT + 1} bytes; the cache can hold {LIMIT}"),
    ):
        key = image.rpartition("/")[2]
        answer = await cached.call("admin", "PUT", f"/v2/cache/{key}")
        assert (answer.status_code, reason in answer.text) == (400, True), answer.text
    assert await state(cached) == {"cached_images": [], "queued_images": []}
    whole = await stored(cached, bytes(LIMIT))
    assert (await cached.call("admin", "PUT", f"/v2/cache/{whole.rpartition('/')[2]}")).status_code == 202
    await kept(cached, whole)


async def test_who_may_not_read_gets_nothing_from_it(cached: Cached) -> None:
    """Whether one may is decided before the cache is asked."""
    image = await stored(cached)
    await download(cached, image)
    await kept(cached, image)
    assert (await cached.call("bob", "GET", f"{image}/file")).status_code == 404
    await cached.call("admin", "POST", f"{image}/actions/deactivate")
    assert (await cached.call("alice", "GET", f"{image}/file")).status_code == 403


ROUTES = (
    *("GET /v2/cache", "DELETE /v2/cache", "POST /v2/cache/clean", "POST /v2/cache/prune"),
    *("PUT /v2/cache/{id}", "DELETE /v2/cache/{id}", "GET /v2/cache/nodes/{id}"),
    *("GET /v2/cached_images", "DELETE /v2/cached_images", "DELETE /v2/cached_images/{id}"),
    *("GET /v2/queued_images", "DELETE /v2/queued_images"),
    *("PUT /v2/queued_images/{id}", "DELETE /v2/queued_images/{id}"),
)


@pytest.mark.parametrize("route", ROUTES)
async def test_without_one(service: Service, route: str) -> None:
    """Who may not use a cache is refused where none is set up, too; who may is told that there is none."""
    image = (await new_image(service)).rpartition("/")[2]
    method, path = route.replace("{id}", image).split(" ")
    assert (await service.call(None, method, path)).status_code == 401
    assert (await service.call("alice", method, path)).status_code == 403
    answer = await service.call("admin", method, path)
    assert (answer.status_code, "cache.folder" in answer.text) == (404, True)
    hidden = path.startswith("/v2/cache/") and method in {"PUT", "DELETE"}
    assert (await service.call("bob", method, path)).status_code == (404 if hidden else 403)


async def test_no_version_without_one(service: Service) -> None:
    """No version is advertised that is about a cache."""
    versions = (await service.call(None, "GET", "/versions")).json()["versions"]
    assert {"v2.14", "v2.16", "v2.18"} & {version["id"] for version in versions} == set()


@pytest.mark.parametrize("route", ROUTES)
async def test_who_may_use_one(cached: Cached, route: str) -> None:
    """Each route is the admin's; an image that a caller may not see does not exist, cached or not."""
    image = await stored(cached)
    await download(cached, image)
    await kept(cached, image)
    method, path = route.replace("{id}", image.rpartition("/")[2]).split(" ")
    assert (await cached.call("alice", method, path)).status_code == 403
    hidden = path.startswith("/v2/cache/") and method in {"PUT", "DELETE"}
    assert (await cached.call("bob", method, path)).status_code == (404 if hidden else 403)
    await kept(cached, image)
    assert (await cached.call("admin", method, path)).status_code in {200, 202, 204}


async def older(service: Service, *request: str) -> Any:
    answer = await service.call("admin", *request)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_older_routes(cached: Cached) -> None:
    """`/v2/cached_images` and `/v2/queued_images` answer as Glance's cache-manage middleware does."""
    image = await stored(cached)
    key = image.rpartition("/")[2]
    with held(cached) as let_go:
        assert await older(cached, "PUT", f"/v2/queued_images/{key}") is None
        assert await older(cached, "GET", "/v2/queued_images") == {"queued_images": [key]}
        assert await older(cached, "GET", "/v2/cached_images") == {"cached_images": []}
        assert await older(cached, "DELETE", f"/v2/cached_images/{key}") is None  # it is not there: well
        assert await older(cached, "GET", "/v2/queued_images") == {"queued_images": [key]}
        let_go()
    (entry,) = await kept(cached, image)
    assert await older(cached, "GET", "/v2/cached_images") == {"cached_images": [entry]}
    assert await older(cached, "DELETE", f"/v2/queued_images/{key}") is None
    assert await older(cached, "DELETE", "/v2/queued_images") == {"num_deleted": 0}
    await kept(cached, image)
    assert await older(cached, "DELETE", "/v2/cached_images") == {"num_deleted": 1}
    await kept(cached)
    assert await older(cached, "PUT", f"/v2/queued_images/{key.upper()}") is None
    await kept(cached, image)
    assert await older(cached, "DELETE", f"/v2/cached_images/{key}") is None
    await kept(cached)
    for unknown, status in (("nonsense", 404), ((await new_image(cached)).rpartition("/")[2], 400)):
        answer = await cached.call("admin", "PUT", f"/v2/queued_images/{unknown}")
        assert answer.status_code == status


@contextlib.contextmanager
def held(service: Service) -> Iterator[Callable[[], None]]:
    """Have the slow store give no byte until the function that this yields is called, or the block ends."""
    store, go = service.parts.stores["slow"], asyncio.Event()
    read = store.read

    async def waiting(*wanted: Any) -> AsyncIterator[bytes]:
        await go.wait()
        async for chunk in read(*wanted):
            yield chunk

    store.read = waiting  # type: ignore[method-assign,assignment]
    try:
        yield go.set
    finally:
        store.read = read  # type: ignore[method-assign]
        go.set()


async def fetching(service: Service, image: str) -> str:
    """Have an image fetched, and wait until that has begun; give its id."""
    key = image.rpartition("/")[2]
    assert (await service.call("admin", "PUT", f"/v2/cache/{key}")).status_code == 202
    async with asyncio.timeout(20):
        while True:
            async with service.parts.database.read() as tx:
                entry = await cache_rows.get(tx, "here", key)
            if entry is not None and entry.state != cache_rows.QUEUED:
                return key
            await asyncio.sleep(0.01)


async def test_queued_until_it_is_whole(cached: Cached) -> None:
    """An image that is being fetched is in the queue until it is whole; asking again changes nothing."""
    image = await stored(cached)
    with held(cached) as let_go:
        key = await fetching(cached, image)
        assert await state(cached) == {"cached_images": [], "queued_images": [key]}
        assert (await cached.call("admin", "PUT", f"/v2/cache/{key}")).status_code == 202
        assert await state(cached) == {"cached_images": [], "queued_images": [key]}
        let_go()
    await kept(cached, image)
    assert (await state(cached))["queued_images"] == []
    assert len(cached.slow.asked) == 4


async def test_taken_off_the_queue_while_it_is_fetched(cached: Cached) -> None:
    """It is gone at once, its pieces too, and the rest of it is not fetched."""
    other, image = await stored(cached, DATA[:-1]), await stored(cached)
    with held(cached) as let_go:
        await fetching(cached, image)
        headers = {"x-image-cache-clear-target": "cache"}
        assert (await cached.call("admin", "DELETE", "/v2/cache", headers=headers)).status_code == 204
        assert (await state(cached))["queued_images"] != []
        headers = {"x-image-cache-clear-target": "queue"}
        assert (await cached.call("admin", "DELETE", "/v2/cache", headers=headers)).status_code == 204
        assert await state(cached) == {"cached_images": [], "queued_images": []}
        let_go()
        assert (await cached.call("admin", "PUT", f"/v2/cache/{other.rpartition('/')[2]}")).status_code == 202
        await kept(cached, other)
    assert {path.parts[-3] for path in (cached.folder / "cache").glob("??/*/*/*")} == {
        other.rpartition("/")[2]
    }
    assert len(cached.slow.asked) <= 2 + 4  # the piece that was waited for, and the one after it


@contextlib.asynccontextmanager
async def another_process(service: Service) -> AsyncIterator[asyncio.Task[None]]:
    """Have another process of the same node look after its cache, too."""
    base = service.parts
    log = make_logger("json")
    files = ChunkFiles(service.folder / "cache")
    cache = Cache(base.database, base.copies, files, log, node="here", limit=LIMIT)
    prefetching = asyncio.create_task(Prefetcher(cache, log).run())
    yield prefetching
    prefetching.cancel()
    await asyncio.wait([prefetching])


async def test_processes_of_a_node_fetch_an_image_once(
    cached: Cached, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays in the queue until it is whole, whoever fetches it, and no piece is fetched twice."""
    monkeypatch.setattr("tintype.jobs.prefetcher._LOOK_SECONDS", 0.01)
    image = await stored(cached)
    async with another_process(cached), another_process(cached):
        with held(cached) as let_go:
            key = await fetching(cached, image)
            await asyncio.sleep(0.1)  # the others have looked meanwhile
            assert await state(cached) == {"cached_images": [], "queued_images": [key]}
            let_go()
        await kept(cached, image)
    assert len(cached.slow.asked) == 4


async def test_a_process_that_ends_while_it_fetches(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process of the node goes on; the image stays in the queue meanwhile."""
    monkeypatch.setattr("tintype.jobs.prefetcher._LOOK_SECONDS", 0.01)
    slow = {"slow": kinds.MemoryStore(limit=100 << 20)}
    chosen = CacheSettings(folder="cache", limit=LIMIT, node="here")
    async with running(prepared, tmp_path, stores=slow, cache=chosen) as began:
        service = Cached(**vars(began), slow=Slow(began.memory("slow")))
        image = await stored(service)
        async with another_process(service) as first:
            with held(service):
                key = await fetching(service, image)
                first.cancel()
                await asyncio.wait([first])
                assert await state(service) == {"cached_images": [], "queued_images": [key]}
        async with another_process(service):
            await kept(service, image)


async def test_gone_with_its_image(cached: Cached) -> None:
    """A deleted image is in no list from that moment on, kept or queued."""
    whole, part = await stored(cached), await stored(cached, DATA[:-1])
    await download(cached, whole)
    await kept(cached, whole)
    with held(cached):
        key = await fetching(cached, part)
        assert (await state(cached))["queued_images"] == [key]
        for image in (whole, part):
            assert (await cached.call("alice", "DELETE", image)).status_code == 204
        assert await state(cached) == {"cached_images": [], "queued_images": []}
        for path, name in (("/v2/cached_images", "cached_images"), ("/v2/queued_images", "queued_images")):
            assert await older(cached, "GET", path) == {name: []}


async def test_versions_with_one(cached: Cached) -> None:
    """The newest version is the cache's."""
    versions = (await cached.call(None, "GET", "/versions")).json()["versions"]
    assert [version["id"] for version in versions] == [f"v2.{minor}" for minor in range(18, -1, -1)]


async def always() -> bool:
    return True


async def test_processes_of_a_node_share_the_work(tmp_path: Path) -> None:
    """A piece that another process fetches is waited for; one whose process died is fetched anew."""
    one, other = ChunkFiles(tmp_path), ChunkFiles(tmp_path)
    fetched = []

    async def fetch() -> bytes:
        fetched.append(1)
        await asyncio.sleep(0.2)
        return b"piece"

    found = await asyncio.gather(*(files.get_chunk(OF, 0, fetch, always) for files in (one, other, one)))
    assert (found, len(fetched)) == ([b"piece"] * 3, 1)
    (tmp_path / "im" / "image" / "sha512-abc" / "1.part").write_bytes(b"left by the dead")
    assert await other.get_chunk(OF, 1, fetch, always) == b"piece"


async def test_a_disk_that_is_broken_costs_no_download(tmp_path: Path) -> None:
    """Where nothing can be kept the bytes come all the same."""
    (tmp_path / "im").write_text("in the way")

    async def fetch() -> bytes:
        return b"piece"

    assert await ChunkFiles(tmp_path).get_chunk(OF, 0, fetch, always) == b"piece"


async def test_a_disk_that_breaks_while_a_piece_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader has the bytes; nobody waits for the piece for ever."""

    def refuse(*_arguments: Any, **_options: Any) -> None:
        raise OSError(errno.EROFS, "read-only")

    async def fetch() -> bytes:
        monkeypatch.setattr(Path, "unlink", refuse)
        monkeypatch.setattr(Path, "rename", refuse)
        return b"piece"

    one, other = ChunkFiles(tmp_path), ChunkFiles(tmp_path)
    found = await asyncio.gather(*(files.get_chunk(OF, 0, fetch, always) for files in (one, other)))
    assert found == [b"piece"] * 2


async def test_a_fetch_that_fails_beside_one_that_waits(tmp_path: Path) -> None:
    """Who waited fetches the piece and keeps it, although the file it waited for was taken away."""
    one, other = ChunkFiles(tmp_path), ChunkFiles(tmp_path)

    async def fails() -> bytes:
        await asyncio.sleep(0.2)
        raise Unavailable("away")

    async def fetch() -> bytes:
        return b"piece"

    failing = asyncio.create_task(one.get_chunk(OF, 0, fails, always))
    await asyncio.sleep(0.1)
    assert await other.get_chunk(OF, 0, fetch, always) == b"piece"
    with pytest.raises(Unavailable):
        await failing
    assert (tmp_path / "im" / "image" / "sha512-abc" / "0").exists()


async def test_queued_again_while_it_is_fetched(cached: Cached) -> None:
    """Asking twice, or reading a part meanwhile, brings the image all the same."""
    image = await stored(cached)
    key = image.rpartition("/")[2]
    read = cached.slow.read

    async def slowly(*wanted: Any) -> AsyncIterator[bytes]:
        await asyncio.sleep(0.2)
        async for chunk in read(*wanted):
            yield chunk

    cached.memory("slow").read = slowly  # type: ignore[method-assign,assignment]
    for _ in range(2):
        assert (await cached.call("admin", "PUT", f"/v2/cache/{key}")).status_code == 202
        await asyncio.sleep(0.3)
    assert await download(cached, image, Range=f"bytes=0-{CHUNK_BYTES}") == DATA[: CHUNK_BYTES + 1]
    await kept(cached, image)

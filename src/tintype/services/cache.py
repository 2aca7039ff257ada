"""The image cache of this node, in front of slow stores: filled by readers, bounded, verified by digest.

Space is reserved for a whole image before its first piece is stored; the least recently used images are
evicted to make room. Callers must have been authorized before they get here.
"""

import asyncio
import functools
from collections.abc import AsyncIterator, Collection, Sequence
from typing import Final

import msgspec
import structlog

from tintype.blobs.cache import CHUNK_BYTES, CacheKey, ChunkFiles
from tintype.blobs.reading import closing, read_ahead
from tintype.db import blobs as blob_rows
from tintype.db import cache as rows
from tintype.db import images as image_rows
from tintype.db.cache import FETCHING, FILLING, QUEUED, READY, WAITING, Entry
from tintype.db.engine import Database, fetch, now
from tintype.domain.blobs import Blob
from tintype.domain.images import ACTIVE, Image
from tintype.errors import Invalid, NotFound, Unavailable
from tintype.observability.failures import reason_of
from tintype.services.copies import Copies

NEW: Final = "new"
"""State of an entry that is not stored yet: its space is reserved on the first read."""
_FETCHES: Final = 16
"""Pieces that this process fetches concurrently, each held in memory."""
_FRESH: Final = 10_000_000
"""Microseconds for which hits are counted in memory before they are written."""
_STALLED: Final = 24 * 3600 * 1_000_000
"""Microseconds without access after which a clean-up deletes an incomplete entry (as in Glance)."""


class Cache:
    """The images cached on this node."""

    def __init__(
        self,
        database: Database,
        copies: Copies,
        files: ChunkFiles,
        log: structlog.typing.FilteringBoundLogger,
        *,
        node: str,
        limit: int,
    ) -> None:
        """Create the cache of `node`; it may use `limit` bytes."""
        self._database = database
        self._copies = copies
        self._files = files
        self._log = log
        self._node = node
        self._limit = limit
        self._turn = f"cache of {node}"
        self._hits: dict[str, tuple[int, int]] = {}
        self._verifying: dict[str, asyncio.Task[bool]] = {}
        self._fetches = asyncio.Semaphore(_FETCHES)
        self.wake = asyncio.Event()
        """Set when an image has been queued."""

    async def find(self, image: Image) -> Entry | None:
        """Return the image's entry, perhaps a new one; None if the image should not be cached."""
        infos = [self._copies.infos[name] for name in image.stores if name in self._copies.infos]
        in_front_of_a_disk = any(info.type == "file" for info in infos)
        if not image.digests or not image.size or image.size > self._limit or in_front_of_a_disk:
            return None
        digest = _digest_of(image)
        entry = await fetch(self._database, rows.get, self._node, image.id)
        if entry is not None and entry.digest == digest and entry.state != QUEUED:
            await self._count(entry)
            return entry
        if entry is not None and entry.state == QUEUED:  # the prefetcher will fetch it as a whole
            return None
        if all(info.read_only for info in infos):  # stored only on servers that are not ours
            return None
        return self._entry(image.id, digest, image.size, NEW)

    async def read(self, entry: Entry, blobs: Sequence[Blob], start: int, stop: int) -> AsyncIterator[bytes]:
        """Yield the bytes piece by piece, and store pieces that are not cached yet."""
        if entry.state == NEW:
            if stop - start < min(CHUNK_BYTES, entry.size):  # not worth a piece
                async with closing(self._copies.read(self._copies.ordered(blobs), start, stop)) as chunks:
                    async for chunk in chunks:
                        yield chunk
                return
            entry = await self._reserve(entry)
        async with closing(self._pieces(entry, blobs, start, stop)) as chunks:
            async for chunk in chunks:
                yield chunk
        if not entry.is_whole and stop == entry.size and entry.image_id not in self._verifying:
            task = self._verifying[entry.image_id] = asyncio.create_task(self._verify(entry))
            task.add_done_callback(lambda _done: self._verifying.pop(entry.image_id, None))

    async def entries(self) -> list[Entry]:
        """Return the cached and queued entries of images that have not been deleted."""
        return await fetch(self._database, rows.list_existing, self._node)

    async def entry(self, image_id: str) -> Entry | None:
        """Return the entry of an image, perhaps of a deleted one, or None."""
        return await fetch(self._database, rows.get, self._node, image_id)

    async def enqueue(self, image: Image) -> None:
        """Queue an active image to be fetched. Raises Invalid for one that cannot be cached."""
        if image.status != ACTIVE or image.size is None:
            raise Invalid("Only images with status active can be targeted for queueing")
        if not image.digests:
            raise Invalid("The image has no digest yet: its location is still being read.")
        if image.size > self._limit:
            raise Invalid(f"The image has {image.size} bytes; the cache can hold {self._limit}.")
        digest = _digest_of(image)
        async with self._database.write(turn=self._turn) as tx:
            entry = await rows.get(tx, self._node, image.id)
            there = entry is not None and entry.digest == digest
            if entry is not None and there and entry.state == FILLING:  # its space is reserved
                await rows.put(tx, msgspec.structs.replace(entry, state=FETCHING))
            elif not there:
                await rows.put(tx, self._entry(image.id, digest, image.size, QUEUED))
        self.wake.set()

    async def clear(self, states: Collection[str]) -> int:
        """Delete all entries in the given states; return how many."""
        found = [
            entry for entry in await fetch(self._database, rows.list_of, self._node) if entry.state in states
        ]
        await self.drop(found)
        return len(found)

    async def clean(self) -> None:
        """Delete entries that are incomplete and unread for a day, and files that belong to no image."""
        found = await fetch(self._database, rows.list_of, self._node)
        stale = now() - _STALLED
        await self.drop([entry for entry in found if entry.state == FILLING and entry.accessed_at < stale])
        await self.maintain()

    async def prune(self) -> list[Entry]:
        """Evict entries until the cache is within its limit; return the evicted ones."""
        return await self._make_room(0)

    async def drop(self, entries: Sequence[Entry]) -> None:
        """Delete entries and their pieces."""
        async with self._database.write(turn=self._turn) as tx:
            for entry in entries:
                await rows.remove(tx, self._node, entry.image_id)
        for entry in entries:
            await self._files.delete(_kept(entry))

    async def fetch_queued(self) -> None:
        """Fetch queued images one by one; an image that cannot be fetched at all leaves the queue.

        An image that another live process of this node is fetching is skipped.
        """
        queued = [
            entry for entry in await fetch(self._database, rows.list_of, self._node) if entry.state in WAITING
        ]
        for entry in queued:
            async with self._files.fetch_lock(entry.image_id) as alone:
                if alone:
                    await self._fetch_or_give_up(entry)

    async def maintain(self) -> None:
        """Write hits, delete orphaned files, verify images that readers have completed."""
        hits, self._hits = self._hits, {}
        async with self._database.write() as tx:
            await rows.remove_deleted(tx, self._node)
            for image_id, (count, moment) in hits.items():
                await rows.record_hits(tx, self._node, image_id, count, moment)
        there = await self._files.list_all()  # list files before rows: a row exists before its files
        known = await fetch(self._database, rows.list_of, self._node)
        for kept in set(there) - {_kept(entry) for entry in known}:
            await self._files.delete(kept)
        for entry in known:
            if entry.state == FILLING:
                await self._verify(entry)

    async def _fetch_or_give_up(self, entry: Entry) -> None:
        try:
            await self._fetch(entry)
        except Unavailable as error:
            self._log.warning("image is not cached yet", image_id=entry.image_id, reason=reason_of(error))
            async with self._database.write() as tx:
                again = await rows.set_state(tx, entry, QUEUED)
            if again:
                await self._files.delete(_kept(entry))
        except Exception as error:  # noqa: BLE001 (the others are fetched all the same)
            self._log.error("image was not cached", image_id=entry.image_id, reason=reason_of(error))
            await self.drop([entry])

    async def _fetch(self, entry: Entry) -> None:
        async with self._database.read() as tx:
            image = await image_rows.get(tx, entry.image_id, None)
            blobs = await blob_rows.ready_of(tx, entry.image_id)
            there = await rows.get(tx, self._node, entry.image_id)
        if (
            there is None or there.state not in WAITING
        ):  # fetched by another process, or removed from the queue
            return
        if image is None or not blobs:
            raise NotFound("The image no longer has data.")
        entry = await self._reserve(entry, FETCHING)
        async with closing(self._pieces(entry, blobs, 0, entry.size)) as chunks:
            async for _ in chunks:
                if not await self._is_fetching(entry):  # removed from the queue, or evicted
                    return
        if not await self._verify(entry) and await self._is_fetching(entry):
            raise Invalid("The data could not be stored.")

    async def _is_fetching(self, entry: Entry) -> bool:
        there = await fetch(self._database, rows.get, self._node, entry.image_id)
        return there is not None and _kept(there) == _kept(entry) and there.state == FETCHING

    async def _pieces(
        self, entry: Entry, blobs: Sequence[Blob], start: int, stop: int
    ) -> AsyncIterator[bytes]:
        """Yield bytes, one piece ahead of the reader, and store pieces while their entry exists."""
        ordered, of = self._copies.ordered(blobs), _kept(entry)

        async def has_room() -> bool:
            try:
                there = await fetch(self._database, rows.get, self._node, entry.image_id)
            except Unavailable:  # the reader gets the bytes all the same
                return False
            return there is not None and _kept(there) == of and there.state != QUEUED

        async def load(first: int, last: int) -> bytes:
            async with self._fetches:
                return b"".join([chunk async for chunk in self._copies.read(ordered, first, last)])

        had: set[int] = set()
        """Pieces that this reader has read completely and thereby verified."""

        async def read(at: int, length: int) -> bytes:
            number, first = divmod(at, CHUNK_BYTES)
            if number in had:
                part = await self._files.get_part(of, number, first, length)
                return await load(at, at + length) if part is None else part
            begin, end = number * CHUNK_BYTES, min((number + 1) * CHUNK_BYTES, entry.size)
            whole = await self._files.get_chunk(of, number, functools.partial(load, begin, end), has_room)
            had.add(number)
            return whole[first : first + length]

        async with closing(read_ahead(read, start, stop, block=CHUNK_BYTES)) as chunks:
            async for chunk in chunks:
                yield chunk

    def _entry(self, image_id: str, digest: str, size: int, state: str) -> Entry:
        moment = now()
        return Entry(self._node, image_id, digest, size, state, 0, moment, moment)

    async def _reserve(self, entry: Entry, state: str = FILLING) -> Entry:
        """Reserve space for an image, evicting others; return its entry, or the existing one."""
        there = await fetch(self._database, rows.get, self._node, entry.image_id)
        if there is not None and there.digest == entry.digest and there.state != QUEUED:
            return there
        entry = msgspec.structs.replace(entry, state=state, accessed_at=now())
        await self._make_room(entry.size, entry)
        return entry

    async def _make_room(self, size: int, entry: Entry | None = None) -> list[Entry]:
        gone: list[Entry] = []
        async with self._database.write(turn=self._turn) as tx:
            too_many = await rows.used_bytes(tx, self._node) + size - self._limit
            others = await rows.list_of(tx, self._node) if too_many > 0 else []
            for other in sorted(others, key=lambda each: each.state == FETCHING):  # evict these last
                if (
                    too_many > 0
                    and other.state != QUEUED
                    and (entry is None or other.image_id != entry.image_id)
                ):
                    await rows.remove(tx, self._node, other.image_id)
                    gone.append(other)
                    too_many -= other.size
            if entry is not None:
                await rows.put(tx, entry)
        for other in gone:
            await self._files.delete(_kept(other))
        return gone

    async def _count(self, entry: Entry) -> None:
        count, _ = self._hits.get(entry.image_id, (0, 0))
        moment = now()
        self._hits[entry.image_id] = (count + 1, moment)
        if moment - entry.accessed_at > _FRESH:
            hits, _ = self._hits.pop(entry.image_id)
            async with self._database.write() as tx:
                await rows.record_hits(tx, self._node, entry.image_id, hits, moment)

    async def _verify(self, entry: Entry) -> bool:
        """Return whether the image is cached completely; delete it if its digest does not match."""
        kept = _kept(entry)
        there = await fetch(self._database, rows.get, self._node, entry.image_id)
        if there is None or _kept(there) != kept:
            return False
        if there.is_whole or not await self._files.has(kept, entry.size):
            return there.is_whole
        if await self._files.is_whole(kept, entry.size):
            async with self._database.write() as tx:
                return await rows.set_state(tx, entry, READY)
        self._log.error("cached bytes are not the image's", image_id=entry.image_id)
        await self.drop([entry])
        return False


def _digest_of(image: Image) -> str:
    return f"{image.os_hash_algo}-{image.os_hash_value}"


def _kept(entry: Entry) -> CacheKey:
    return CacheKey(entry.image_id, entry.digest)

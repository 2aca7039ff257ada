"""Maintenance for operators: garbage collection of orphaned bytes, and scrubbing of stored bytes."""

import re
from collections.abc import AsyncIterator, Collection
from typing import Final

import msgspec

from tintype.blobs.base import BlobStore
from tintype.blobs.stream import Chunks, DigestPipeline, Digests
from tintype.db import blobs as blob_rows
from tintype.db import images as image_rows
from tintype.db.engine import Database, fetch
from tintype.domain.blobs import StoredBlob
from tintype.errors import NotFound, TintypeError, Unavailable
from tintype.services.ingest import Ingest

_OURS: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""The form of our keys; bytes under any other key are not ours."""
_BATCH: Final = 100
_STILL_LISTED: Final = "The store still lists it."
_NOT_SEEN: Final = "The store failed before it could be listed again."


class Collected(msgspec.Struct, frozen=True):
    """The outcome for an orphan, or for a whole store if `key` is empty."""

    store: str
    key: str
    reason: str = ""
    """Why the bytes still exist or the store could not be listed; empty for success."""


class Finding(msgspec.Struct, frozen=True):
    """The state of one blob: `ok`, `damaged`, `missing` or `unknown`, with details."""

    image_id: str
    blob_id: str
    store: str
    state: str
    detail: str = ""


class Upkeep:
    """The use cases. They may run while the server does."""

    def __init__(self, database: Database, ingest: Ingest) -> None:
        self._database = database
        self._stores = ingest.stores

    async def collect(self, *, dry_run: bool = False) -> AsyncIterator[Collected]:
        """Delete orphaned bytes, or only find them if `dry_run`; yield the outcomes.

        A store that fails does not prevent the collection of the others.
        """
        for store in self._stores.values():
            found: dict[str, str] = {}
            try:
                await store.check()  # an unmounted store would list nothing
                async for key in self._orphans(store):
                    found[key] = "" if dry_run else await self._delete(store, key)
                if found and not dry_run:
                    async for key in store.keys():
                        if found.get(key) == "":
                            found[key] = _STILL_LISTED
            except TintypeError as error:
                yield Collected(store.id, "", error.message)
                if not dry_run:
                    found = {key: reason or _NOT_SEEN for key, reason in found.items()}
            for key, reason in found.items():
                yield Collected(store.id, key, reason)

    async def _orphans(self, store: BlobStore) -> AsyncIterator[str]:
        """Yield the keys of orphaned bytes.

        A row exists from before the first byte until after the last one is deleted. So keys that are listed
        first and then not found in the database are safe to delete at any time.
        """
        keys: set[str] = set()
        async for key in store.keys():
            if _OURS.fullmatch(key):
                keys.add(key)
            if len(keys) == _BATCH:
                for orphan in await self._unknown(keys):
                    yield orphan
                keys = set()
        for orphan in await self._unknown(keys):
            yield orphan

    @staticmethod
    async def _delete(store: BlobStore, key: str) -> str:
        """Delete bytes; return the reason if that failed, else an empty string."""
        try:
            await store.delete(key)
        except TintypeError as error:  # others may still be deleted
            return error.message
        return ""

    async def scrub(self, image_ids: Collection[str] = ()) -> AsyncIterator[Finding]:
        """Read stored bytes, of some images or of all, and compare them with their digests.

        Nothing is changed, whatever is found.
        """
        async for stored in blob_rows.all_complete(self._database):
            if not image_ids or stored.blob.image_id in image_ids:
                finding = await self._inspect(stored)
                if finding is not None:
                    yield finding

    async def _unknown(self, keys: Collection[str]) -> list[str]:
        return await fetch(self._database, blob_rows.unknown, sorted(keys))

    async def _inspect(self, stored: StoredBlob) -> Finding | None:
        """Return the finding; None if the image was deleted meanwhile."""
        blob = stored.blob
        try:
            state, detail = await self._compare(stored)
        except Unavailable as error:
            state, detail = "unknown", error.message
        async with self._database.read() as tx:
            if await blob_rows.get(tx, blob.id) is None:
                return None
        return Finding(blob.image_id, blob.id, blob.store, state, detail)

    async def _compare(self, stored: StoredBlob) -> tuple[str, str]:
        """Return a state and its details."""
        key, wanted = stored.blob.key, await self._digests(stored)
        store = self._stores.get(stored.blob.store)
        if store is None:
            return "unknown", "there is no such store in the settings"
        if wanted is None:
            return "unknown", "its digests were never noted"
        if store.type == "memory":
            return "unknown", "only the server's own process sees this store"
        pipeline = DigestPipeline(None, algorithm=wanted.os_hash_algo)
        try:
            size = await store.size(key)
            if size == wanted.size:
                await pipeline.run(Chunks(store.read(key, 0, size)), None, size)
        except NotFound:
            size = None
        if size is None:
            return "missing", ""
        found = pipeline.finish()
        wrong = (found.checksum, found.os_hash_value) != (wanted.checksum, wanted.os_hash_value)
        if wrong or size != wanted.size:
            return "damaged", f"{size} bytes of {wanted.size}, {wanted.os_hash_algo} {found.os_hash_value}"
        return "ok", ""

    async def _digests(self, stored: StoredBlob) -> Digests | None:
        if stored.digests is not None:
            return msgspec.json.decode(stored.digests, type=Digests)
        image = await fetch(self._database, image_rows.get, stored.blob.image_id, None)
        if image is None or image.size is None or not (image.checksum and image.os_hash_value):
            return None
        return Digests(
            image.size, image.checksum, image.os_hash_algo or "", image.os_hash_value, image.virtual_size
        )

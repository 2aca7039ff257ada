"""Downloads: authorize, evaluate conditions and range, choose the copy to read."""

from collections.abc import AsyncIterator, Sequence

import msgspec

from tintype.blobs.base import Offloadable
from tintype.db import blobs as blob_rows
from tintype.db.engine import Database, fetch
from tintype.domain import conditions
from tintype.domain.callers import Caller
from tintype.domain.images import DEACTIVATED, Image
from tintype.domain.ranges import ByteRange
from tintype.domain.stores import check_known
from tintype.errors import Forbidden
from tintype.services.access import ImageAccess
from tintype.services.cache import Cache
from tintype.services.copies import Copies


class DownloadRequest(msgspec.Struct, frozen=True):
    """Which bytes of an image a client wants."""

    range: ByteRange | None = None
    """None for all bytes."""
    range_of: str | None = None
    """The entity tag that the range applies to (`If-Range`); for another tag all bytes are sent."""
    known_tags: frozenset[str] = frozenset()
    """The entity tags of bytes that the client already has (`If-None-Match`); `*` for any."""
    stores: Sequence[str] = ()
    """Stores to prefer, in this order."""


class Download(msgspec.Struct, frozen=True):
    """Bytes ready to be sent: those of `image` from `start` up to, not including, `stop`."""

    image: Image
    start: int
    stop: int
    not_modified: bool = False
    """Whether the client already has the bytes; then `chunks` is None."""
    partial: bool = False
    internal_path: str | None = None
    """Path of the whole bytes for a front server, which can then send the range itself."""
    chunks: AsyncIterator[bytes] | None = None


class Downloads:
    """The use case. Downloads go through the cache if there is one."""

    def __init__(self, database: Database, access: ImageAccess, copies: Copies, cache: Cache | None) -> None:
        self._database = database
        self._access = access
        self._copies = copies
        self._cache = cache

    async def begin(self, caller: Caller, image_id: str, request: DownloadRequest) -> Download | None:
        """Return an image's bytes, or those of a range; None if it has no data yet.

        Raises Forbidden for a deactivated image unless the caller is an admin, and Invalid if a preferred
        store does not exist.
        """
        image = await self._access.get(caller, image_id)
        self._access.conceal("download_image", caller, image)
        if image.status == DEACTIVATED and not caller.is_admin:
            raise Forbidden("The requested image has been deactivated. Image data download is forbidden.")
        self._access.authorize("download_image", caller, image)
        check_known(request.stores, self._copies.infos)
        if request.stores:
            self._access.authorize("download_from_store", caller, image)
        blobs = await fetch(self._database, blob_rows.ready_of, image.id)
        if not blobs or image.size is None:
            return None
        tag = conditions.etag(image)
        if conditions.is_known(request.known_tags, tag):
            return Download(image, 0, 0, not_modified=True)
        wanted = request.range if conditions.range_applies(request.range_of, tag) else None
        start, stop = (0, image.size) if wanted is None else wanted.within(image.size)
        cached = None if self._cache is None or request.stores else await self._cache.find(image)
        if cached is None or not cached.is_whole:
            blobs = await self._copies.available(self._copies.ordered(blobs, request.stores))
        found = Download(image, start, stop, partial=wanted is not None)
        if self._cache is not None and cached is not None:
            return msgspec.structs.replace(found, chunks=self._cache.read(cached, blobs, start, stop))
        store = self._copies.store(blobs[0])
        path = store.internal_path(blobs[0].key) if isinstance(store, Offloadable) else None
        chunks = self._copies.read(blobs, start, stop)
        return msgspec.structs.replace(found, internal_path=path, chunks=chunks)

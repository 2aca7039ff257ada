"""Bytes in and out of images.

An upload, in order: authorise → `queued → saving` with a blob `writing` under a lease (one short
transaction) → stream → blob `ready`, `saving → active` (one short transaction). Whatever fails in
between, the image goes back to `queued` and the blob is condemned; where the process dies, the
sweeper does that when the lease is over. No transaction is open while bytes move.
"""

import asyncio
import contextlib
import functools
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final

import msgspec
import structlog

from tintype.blobs.base import BlobStore, Writer
from tintype.blobs.stream import Digests, Pass
from tintype.db import blobs as blob_rows
from tintype.db import images as image_rows
from tintype.db.blobs import Blob
from tintype.db.engine import Database
from tintype.domain import conditions, images, ranges
from tintype.domain.callers import Caller
from tintype.domain.images import ACTIVE, DEACTIVATED, QUEUED, SAVING, Image, Limits
from tintype.errors import Conflict, Forbidden, Gone, Invalid, NotFound, OverLimit, Unavailable
from tintype.formats import inspector_for
from tintype.policy.engine import Policy
from tintype.services.images import Gate, now

LEASE: Final = 60_000_000
"""Microseconds for which an upload holds its image without a sign of life."""
_HEARTBEAT_SECONDS: Final = 15


class Wish(msgspec.Struct, frozen=True):
    """What a download asks for: the request headers of these names."""

    range: str | None = None
    content_range: str | None = None
    if_range: str | None = None
    if_none_match: str | None = None


class Download(msgspec.Struct, frozen=True):
    """Bytes ready to be sent: those of `image` from `start` to before `stop`."""

    image: Image
    start: int
    stop: int
    known: bool = False
    """Whether the client has the bytes already; then there are none here."""
    partial: bool = False
    chunks: AsyncIterator[bytes] | None = None


class ImageData:
    """The use cases. `stores` holds at least the default store, which comes first."""

    def __init__(
        self,
        database: Database,
        policy: Policy,
        limits: Limits,
        stores: Mapping[str, BlobStore],
        *,
        algorithm: str,
        format_log: structlog.typing.FilteringBoundLogger | None,
    ) -> None:
        """Make the use cases; with `format_log` bytes of a wrong format are noted there, not refused."""
        self._database = database
        self._gate = Gate(database, policy)
        self._limits = limits
        self._stores = stores
        self._algorithm = algorithm
        self._format_log = format_log

    async def upload(
        self,
        caller: Caller,
        image_id: str,
        source: AsyncIterator[bytes],
        *,
        size: int | None,
        store_id: str | None,
    ) -> None:
        """Fill a queued image with the bytes of `source`; all of them, or none.

        `size` is what the caller declares, `store_id` where it wants them. Raises Conflict where
        the image is not queued, Gone where it is deleted meanwhile, UnsupportedMedia where the
        bytes are not what the image says, OverLimit where there are too many.
        """
        store = self._store(store_id)
        if size is not None and size > self._limits.size:
            raise OverLimit(
                f"The incoming image is too large: at most {self._limits.size} bytes are allowed."
            )
        blob = Blob(str(uuid.uuid4()), store.id, image_id.lower())
        writer = await store.create(blob.id)
        stored = False
        try:
            image = await self._begin(caller, image_id, blob)
            async with self._lease(blob):
                inspector = inspector_for(
                    image.disk_format or "", image.container_format or "", self._format_warning(image)
                )
                stream = Pass(
                    writer, inspector, algorithm=self._algorithm, expected=size, limit=self._limits.size
                )
                digests = await stream.run(source)
                await self._commit(blob, writer)
                stored = True
                await self._finish(blob, digests)
        except BaseException:
            await asyncio.shield(self._undo(blob, None if stored else writer))
            raise

    async def download(self, caller: Caller, image_id: str, wish: Wish) -> Download | None:
        """Give an image's bytes, or those of a range; None where it has no data yet.

        Raises Forbidden for a deactivated image, except to an admin.
        """
        image = await self._gate.load(caller, image_id)
        if image.status == DEACTIVATED and not caller.is_admin:
            raise Forbidden("The requested image has been deactivated. Image data download is forbidden.")
        self._gate.require("download_image", caller, image)
        async with self._database.read() as tx:
            blobs = await blob_rows.ready_of(tx, image.id)
        if not blobs or image.size is None:
            return None
        tag = conditions.etag(image)
        if conditions.not_modified(wish.if_none_match, tag):
            return Download(image, 0, 0, known=True)
        wanted = None
        if conditions.range_applies(wish.if_range, tag):
            wanted = ranges.requested(wish.range, wish.content_range, image.size)
        start, stop = wanted or (0, image.size)
        blob = blobs[0]
        store = self._stores.get(blob.store)
        if store is None or await store.size(blob.id) is None:
            raise NotFound(f"The data of image {image_id} is missing from store '{blob.store}'.")
        chunks = store.read(blob.id, start, stop)
        return Download(image, start, stop, partial=wanted is not None, chunks=chunks)

    async def discard(self, blob: Blob) -> None:
        """Delete a condemned blob's bytes, then its row. May be repeated."""
        store = self._stores.get(blob.store)
        if store is not None:
            await store.delete(blob.id)
            async with self._database.write() as tx:
                await blob_rows.forget(tx, blob.id)

    def _format_warning(self, image: Image) -> Callable[[str], object] | None:
        if self._format_log is None:
            return None
        return functools.partial(self._format_log.warning, image_id=image.id)

    def _store(self, store_id: str | None) -> BlobStore:
        if store_id is None:
            return next(iter(self._stores.values()))
        if store_id not in self._stores:
            raise Invalid(f"Store '{store_id}' does not exist. There are: {', '.join(self._stores)}.")
        return self._stores[store_id]

    async def _begin(self, caller: Caller, image_id: str, blob: Blob) -> Image:
        """Decide on the image as it is when it becomes `saving`: its formats say how to look at the bytes."""
        moment = now()
        async with self._database.write() as tx:
            image = await self._gate.load_in(tx, caller, image_id)
            self._gate.require("upload_image", caller, image)
            saving = images.changed_status(image, SAVING, updated_at=moment)
            if not await image_rows.save(tx, image, saving):
                raise Conflict(f"Image {image.id} was changed by others at the same time. Try again.")
            await blob_rows.begin(tx, blob, now=moment, lease_until=moment + LEASE)
        return image

    async def _commit(self, blob: Blob, writer: Writer) -> None:
        try:
            await writer.commit()
        except NotFound:  # a sweeper took them: the lease was over, or the image deleted
            raise Gone(f"The upload of image {blob.image_id} was given up meanwhile; try again.") from None

    async def _finish(self, blob: Blob, digests: Digests) -> None:
        values = msgspec.structs.asdict(digests)
        change = (SAVING, ACTIVE)
        async with self._database.write(durable=True) as tx:
            if not await blob_rows.finish(tx, blob.id, digests.size) or not await image_rows.set_status(
                tx, blob.image_id, change, now(), stores=(blob.store,), **values
            ):
                raise Gone(f"Image {blob.image_id} was deleted during the upload; the bytes are not kept.")

    async def _undo(self, blob: Blob, writer: Writer | None) -> None:
        """Take an upload back; `writer` is that of bytes which no row can call ready."""
        try:
            if writer is not None:
                await writer.abort()
        finally:
            async with self._database.write() as tx:
                ready = await blob_rows.is_ready(tx, blob.id)  # cancelled when everything was done
                if not ready and await blob_rows.condemn(tx, blob.id):
                    await image_rows.set_status(tx, blob.image_id, (SAVING, QUEUED), now())
        if not ready:
            await self.discard(blob)

    @contextlib.asynccontextmanager
    async def _lease(self, blob: Blob) -> AsyncIterator[None]:
        """Keep the lease alive; end the work inside with Gone when it is lost."""
        work = asyncio.current_task()
        lost = False

        async def beat() -> None:
            nonlocal lost
            while True:
                await asyncio.sleep(_HEARTBEAT_SECONDS)
                with contextlib.suppress(Unavailable):  # a lease outlives some beats
                    async with self._database.write() as tx:
                        lost = not await blob_rows.extend(tx, blob.id, now() + LEASE)
                if lost and work is not None:
                    work.cancel()
                    return

        heart = asyncio.create_task(beat())
        try:
            yield
        except asyncio.CancelledError:
            if lost and work is not None:
                work.uncancel()
                raise Gone(f"Image {blob.image_id} was deleted during the upload.") from None
            raise
        finally:
            heart.cancel()

"""Resumable uploads: bytes in any number of requests, surviving restarts of client and server.

An upload does not claim its image: the image stays `queued`, others may fill it, and the first upload to
finish wins. Its bytes are a `partial` blob that is kept until the upload expires. One request at a time has
the lock on an upload. A later request asks the holder to release it, because a client that reconnects has
lost a connection that the server may still believe alive.

The last chunk claims the image, commits the bytes and completes the image with the steps of the ingest
engine. Digests are computed as chunks arrive and kept in memory between requests. If they are lost (another
process, a restart, a chunk that was discarded), the stored bytes are read once at the end.
"""

import asyncio
import contextlib
import time
import uuid
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from typing import Final

import msgspec

from tintype.blobs.base import Resumable, ResumableWriter
from tintype.blobs.cancellation import shielded
from tintype.blobs.stream import Chunks, DigestPipeline, Digests, Source
from tintype.db import blobs as blob_rows
from tintype.db import images as image_rows
from tintype.db import uploads as upload_rows
from tintype.db.engine import Database, fetch, now
from tintype.domain import images, quotas
from tintype.domain import uploads as rules
from tintype.domain.blobs import PARTIAL, WRITING, Blob
from tintype.domain.callers import Caller
from tintype.domain.images import SAVING, Image
from tintype.domain.uploads import Checksum, Upload
from tintype.errors import Gone, Invalid, Locked, NotFound, OverLimit, TintypeError, Unavailable
from tintype.services.access import ImageAccess
from tintype.services.ingest import Ingest, reason_of, release_image
from tintype.services.leases import LEASE
from tintype.services.quotas import enforce_quota, quota_turn
from tintype.services.upload_chunks import LOCK_LEASE, CheckpointedWriter, UploadChunk, UploadLock, receive

_CACHED_PIPELINES: Final = 64
"""Number of uploads whose digests each process keeps in memory between requests."""
_PATIENCE_SECONDS: Final = 8.0


class Uploads:
    """The use cases. Each raises NotFound for an image or upload that is not visible to the caller."""

    def __init__(
        self,
        database: Database,
        access: ImageAccess,
        ingest: Ingest,
        *,
        lifetime: int,
        open_limit: int,
        open_limit_of_image: int,
    ) -> None:
        """`lifetime` is how many microseconds an upload waits for its next chunk.

        A project may have `open_limit` unfinished uploads, and an image `open_limit_of_image`.
        """
        self._database = database
        self._access = access
        self._ingest = ingest
        self._lifetime = lifetime
        self._open_limit = open_limit
        self._open_limit_of_image = open_limit_of_image
        self._pipelines: OrderedDict[str, DigestPipeline] = OrderedDict()

    async def create(
        self,
        caller: Caller,
        image_id: str,
        length: int,
        *,
        metadata: str,
        expected: dict[str, str],
        store_id: str | None,
    ) -> Upload:
        """Create an upload of `length` bytes; an empty one is finished at once.

        Raises Conflict if the image is not queued, Invalid if the store does not support resumable writes,
        OverLimit if the image or the project has too many unfinished uploads.
        """
        store = self._ingest.store(store_id)
        self._ingest.check_size(length)
        if not isinstance(store, Resumable):
            raise Invalid(f"The store '{store.id}' does not support resumable uploads.")
        await store.create("", length)  # raises if there is no room
        moment = now()
        upload = Upload(
            str(uuid.uuid4()), image_id.lower(), length, 0, metadata, expected, moment + self._lifetime
        )
        blob = Blob(upload.id, store.id, upload.image_id, PARTIAL)
        turn = quota_turn(caller) or f"uploads of {caller.project_id}"
        async with self._database.write(turn=turn) as tx:
            image = await self._access.get_locked(tx, caller, image_id)
            self._access.authorize("upload_image", caller, image)
            images.changed_status(image, SAVING)
            self._ingest.signatures.check(image)
            if await upload_rows.count_open(tx, image.id) >= self._open_limit_of_image:
                raise OverLimit(f"An image may have {self._open_limit_of_image} unfinished uploads at once.")
            if image.owner and await upload_rows.count_open_of_owner(tx, image.owner) >= self._open_limit:
                raise OverLimit(f"A project may have {self._open_limit} unfinished uploads at once.")
            await blob_rows.begin_partial(tx, blob, now=moment, keep_until=upload.expires_at, size=length)
            await upload_rows.add(tx, upload)
            await enforce_quota(tx, caller, image.owner, quotas.STORE)
        if length == 0:
            await self._complete_empty(caller, image, upload, blob)
        return upload

    async def list(self, caller: Caller, image_id: str) -> Sequence[Upload]:
        """Return the uploads of an image, including finished ones until they are pruned."""
        image = await self._load(caller, image_id)
        return await fetch(self._database, upload_rows.list_of, image.id)

    async def show(self, caller: Caller, image_id: str, upload_id: str) -> Upload:
        """Return an upload once no request has it locked; its offset is where the next chunk must begin."""
        image = await self._load(caller, image_id)
        upload = await self._find(image, upload_id)
        if upload.finished:
            return upload
        async with self._locked(image, upload_id) as lock:
            return lock.upload

    async def append(
        self,
        caller: Caller,
        image_id: str,
        upload_id: str,
        source: Source,
        *,
        offset: int,
        size: int | None,
        checksum: Checksum | None,
    ) -> Upload:
        """Append the next chunk; the last one makes the image active.

        The bytes received are kept even if the chunk breaks off, unless it has a checksum: then all or none.
        Raises Conflict for a wrong offset, Locked if another request cannot release the upload now, and
        whatever an upload in one request raises.
        """
        image = await self._load(caller, image_id)
        await self._find(image, upload_id)
        async with self._locked(image, upload_id) as lock:
            upload = lock.upload
            rules.check_offset(upload, offset)
            if upload.finished:
                return upload
            if size is not None and offset + size > upload.length:
                raise Invalid(f"The upload has {upload.length} bytes; the chunk exceeds them.")
            chunk = UploadChunk(source, upload.length - offset, checksum)
            return await self._receive(caller, image, lock, chunk, size)

    async def delete(self, caller: Caller, image_id: str, upload_id: str) -> None:
        """Delete an upload and its bytes; the bytes of a finished one belong to the image and stay."""
        image = await self._load(caller, image_id)
        await self._find(image, upload_id)
        async with self._locked(image, upload_id) as lock:
            blob = await self._blob(lock.upload)
            lock.removed = True
            await self._abort(blob, Gone("The upload was deleted."))

    async def _receive(
        self, caller: Caller, image: Image, lock: UploadLock, chunk: UploadChunk, size: int | None
    ) -> Upload:
        upload = lock.upload
        blob = await self._blob(upload)
        if blob.state != PARTIAL:
            raise Locked("The upload is being completed; try again soon.", retry_after=5)
        try:
            writer = await self._store(blob).resume(blob.id, upload.offset, upload.length)
        except Gone as error:
            await self._abort(blob, error)
            raise
        try:
            checkpointed = CheckpointedWriter(self._database, lock, writer, self._lifetime)
            pipeline = self._pipeline(image, upload)
            await receive(chunk, checkpointed, pipeline, size)
            if checkpointed.offset == upload.length:
                lock.interruptible = False
                lock.upload = checkpointed.upload
                return await self._complete(caller, lock, blob, writer, pipeline)
        except BaseException:
            await shielded(writer.close())
            await shielded(self._delete_leftovers(blob))
            raise
        finally:
            await shielded(writer.close())
        if pipeline is not None:
            self._cache_pipeline(upload.id, pipeline)
        if chunk.interrupted_by is not None:
            raise chunk.interrupted_by
        return checkpointed.upload

    async def _delete_leftovers(self, blob: Blob) -> None:
        """Delete bytes written to an upload that another request has deleted meanwhile."""
        with contextlib.suppress(TintypeError):
            await self._ingest.deletions.delete_own(blob)

    def _pipeline(self, image: Image, upload: Upload) -> DigestPipeline | None:
        """Return the pipeline for the next bytes; None if this process has not hashed those before them."""
        pipeline = self._pipelines.pop(upload.id, None)
        if upload.offset == 0:
            return self._ingest.pipeline(image, upload.expected)
        return pipeline if pipeline is not None and pipeline.size == upload.offset else None

    def _cache_pipeline(self, upload_id: str, pipeline: DigestPipeline) -> None:
        self._pipelines[upload_id] = pipeline
        if len(self._pipelines) > _CACHED_PIPELINES:
            self._pipelines.popitem(last=False)

    async def _complete(
        self,
        caller: Caller,
        lock: UploadLock,
        blob: Blob,
        writer: ResumableWriter,
        pipeline: DigestPipeline | None,
    ) -> Upload:
        """Make the bytes the image's data; after a temporary failure the upload can be retried."""
        upload = lock.upload
        finished = msgspec.structs.replace(upload, offset=upload.length, expires_at=now() + self._lifetime)
        async with self._database.write() as tx:
            image = await self._access.get_locked(tx, caller, blob.image_id)
            self._access.authorize("upload_image", caller, image)
            await self._ingest.claim(tx, image, SAVING)
            if not (
                await upload_rows.renew(tx, upload.id, lock.holder, LOCK_LEASE)
                and await blob_rows.acquire(tx, blob.id, LEASE)
            ):
                raise Locked("Another request is using this upload; try again soon.", retry_after=5)
        try:
            async with self._ingest.leases.keep_alive([blob]):
                await self._ingest.commit(blob, writer)
                if pipeline is None or pipeline.formats != (image.disk_format, image.container_format):
                    pipeline = self._ingest.pipeline(image, upload.expected)
                    chunks = self._ingest.stores[blob.store].read(blob.id, 0, upload.length)
                    await pipeline.run(Chunks(chunks), None, upload.length)
                digests = pipeline.finish()
                await self._finish(blob, digests, finished, lock.holder)
        except (Unavailable, Gone, asyncio.CancelledError) as error:
            still_there = await shielded(self._return_to_partial(blob, lock, reason_of(error)))
            if still_there and isinstance(error, Gone):  # a lease expired, as when a machine sleeps
                raise Locked(
                    "The completion of the upload was interrupted; try again.", retry_after=1
                ) from None
            raise
        except BaseException as error:
            await shielded(self._abort(blob, error))
            raise
        return finished

    async def _complete_empty(self, caller: Caller, image: Image, upload: Upload, blob: Blob) -> None:
        """Finish an empty upload on its creation; it cannot be retried."""
        try:
            async with self._locked(image, upload.id) as lock:
                writer = await self._store(blob).resume(blob.id, 0, 0)
                try:
                    await self._complete(caller, lock, blob, writer, None)
                finally:
                    await shielded(writer.close())
        except BaseException as error:
            await shielded(self._abort(blob, error))
            raise

    async def _finish(self, blob: Blob, digests: Digests, finished: Upload, holder: str) -> None:
        async with self._database.write(durable=True) as tx:
            await image_rows.lock(tx, blob.image_id)
            await upload_rows.lock(tx, blob.id)
            await self._ingest.complete(tx, blob, digests, SAVING)
            if not await upload_rows.advance(tx, finished, holder):
                raise Gone("Another request took over the upload.")

    async def _return_to_partial(self, blob: Blob, lock: UploadLock, reason: str) -> bool:
        """Make the upload wait for a retry; return False if another request has it, or it is gone."""
        async with self._database.write() as tx:
            await image_rows.lock(tx, blob.image_id)
            mine = await upload_rows.renew(tx, blob.id, lock.holder, LOCK_LEASE)
            if mine and await blob_rows.move(tx, blob.id, WRITING, PARTIAL, lock.upload.expires_at):
                await release_image(tx, [blob], reason)
        return mine

    async def _abort(self, blob: Blob, error: BaseException) -> None:
        """Delete an upload, and its bytes unless they are the image's."""
        async with self._database.write() as tx:
            await upload_rows.remove(tx, blob.id)
            await blob_rows.condemn(tx, blob.id, PARTIAL)
        await self._ingest.undo([blob], error, release_image, {blob.store: error})

    async def _load(self, caller: Caller, image_id: str) -> Image:
        image = await self._access.get(caller, image_id)
        self._access.authorize("upload_image", caller, image)
        return image

    async def _find(self, image: Image, upload_id: str) -> Upload:
        upload = await fetch(self._database, upload_rows.get, image.id, upload_id)
        if upload is None or (not upload.finished and upload.expires_at < now()):
            raise NotFound(f"Image {image.id} has no upload {upload_id}.")
        return upload

    async def _blob(self, upload: Upload) -> Blob:
        blob = await fetch(self._database, blob_rows.get, upload.id)
        if blob is None:
            raise NotFound(f"Image {upload.image_id} has no upload {upload.id}.")
        return blob

    def _store(self, blob: Blob) -> Resumable:
        store = self._ingest.stores.get(blob.store)
        if not isinstance(store, Resumable):
            raise Unavailable(f"The store '{blob.store}' is not in the settings as it was.")
        return store

    @contextlib.asynccontextmanager
    async def _locked(self, image: Image, upload_id: str) -> AsyncIterator[UploadLock]:
        """Lock an upload for this request, after asking the current holder to release it."""
        holder = str(uuid.uuid4())
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            async with self._database.write() as tx:
                if await upload_rows.acquire(tx, upload_id, holder, LOCK_LEASE):
                    break
            await self._wait(upload_id, deadline)
        try:
            lock = UploadLock(await self._find(image, upload_id), holder)
            async with lock.keep_alive(self._database):
                yield lock
        finally:
            await shielded(self._unlock(upload_id, holder))

    async def _wait(self, upload_id: str, deadline: float) -> None:
        """Wait until an upload may be free. Raises Locked when that takes too long."""
        while True:
            hold = await fetch(self._database, upload_rows.get_lease, upload_id)
            if hold is None:
                raise NotFound(f"The upload {upload_id} no longer exists.")
            if hold.left < 0:
                return
            if time.monotonic() > deadline:
                raise Locked("Another request is using this upload; try again soon.", retry_after=5)
            await asyncio.sleep(0.2)

    async def _unlock(self, upload_id: str, holder: str) -> None:
        with contextlib.suppress(Unavailable):  # the lock expires by itself
            async with self._database.write() as tx:
                await upload_rows.release(tx, upload_id, holder)

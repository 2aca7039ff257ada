"""Resumable uploads: bytes in as many requests as it takes, through restarts of either side.

An upload does not take its image: the image stays `queued`, others may fill it, and of several
uploads the first to end wins. Its bytes are a `partial` blob whose lease is the upload's time. One
request at a time holds an upload; a new one asks the holder to let go, because a client that comes
back has lost the connection which the server may still think alive.

The last piece does what `PUT /file` does: take the image, commit the bytes, give them to it. Digests
are made of the pieces as they pass and kept in memory between requests; where they were lost (another
process, a restart, a piece that was dropped) the stored bytes are read once at the end instead.
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
from tintype.blobs.ends import to_the_end
from tintype.blobs.stream import Chunks, Digests, Pass, Source
from tintype.db import blobs as blob_rows
from tintype.db import images as image_rows
from tintype.db import uploads as upload_rows
from tintype.db.blobs import PARTIAL, WRITING, Blob
from tintype.db.engine import Database
from tintype.domain import images, quotas
from tintype.domain import uploads as rules
from tintype.domain.callers import Caller
from tintype.domain.images import SAVING, Image
from tintype.domain.uploads import Checksum, Upload
from tintype.errors import Gone, Invalid, Locked, NotFound, OverLimit, TintypeError, Unavailable
from tintype.policy.engine import Policy
from tintype.services.data import LEASE, Intake, reason_of
from tintype.services.images import Gate, hold_to_quota, now, quota_turn
from tintype.services.pieces import HOLD, Held, Piece, Safe, receive

OPEN_LIMIT: Final = 32
"""Unfinished uploads of one image."""
_WARM: Final = 64
"""Uploads between two requests whose digests are kept in memory, in each process."""
_PATIENCE_SECONDS: Final = 8.0


class Uploads:
    """The use cases. Each raises NotFound for an image or upload that the caller may not know of."""

    def __init__(
        self, database: Database, policy: Policy, intake: Intake, *, lifetime: int, open_limit: int
    ) -> None:
        """Make them; `lifetime` is the microseconds for which an upload waits for its next piece.

        A project may have `open_limit` unfinished ones.
        """
        self._database = database
        self._gate = Gate(database, policy)
        self._intake = intake
        self._lifetime = lifetime
        self._open_limit = open_limit
        self._warm: OrderedDict[str, Pass] = OrderedDict()

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
        """Begin an upload of `length` bytes; one of none is finished at once.

        Raises Conflict where the image is not queued, Invalid where the store cannot go on with
        bytes half-written, OverLimit where the image has too many uploads already.
        """
        store = self._intake.store(store_id)
        self._intake.check_size(length)
        if not isinstance(store, Resumable):
            raise Invalid(f"The store '{store.id}' takes no resumable uploads.")
        await store.create("", length)  # only to see whether there is room
        moment = now()
        upload = Upload(
            str(uuid.uuid4()), image_id.lower(), length, 0, metadata, expected, moment + self._lifetime
        )
        blob = Blob(upload.id, store.id, upload.image_id, PARTIAL)
        turn = quota_turn(caller) or f"uploads of {caller.project_id}"
        async with self._database.write(turn=turn) as tx:
            image = await self._gate.load_in(tx, caller, image_id)
            self._gate.require("upload_image", caller, image)
            images.changed_status(image, SAVING)
            self._intake.signatures.check(image)
            if await upload_rows.open_of(tx, image.id) >= OPEN_LIMIT:
                raise OverLimit(f"An image may have {OPEN_LIMIT} unfinished uploads at once.")
            if image.owner and await upload_rows.open_of_owner(tx, image.owner) >= self._open_limit:
                raise OverLimit(f"A project may have {self._open_limit} unfinished uploads at once.")
            await blob_rows.begin_partial(tx, blob, now=moment, keep_until=upload.expires_at, size=length)
            await upload_rows.add(tx, upload)
            await hold_to_quota(tx, caller, image.owner, quotas.STORE)
        if length == 0:
            await self._complete_nothing(caller, image, upload, blob)
        return upload

    async def list(self, caller: Caller, image_id: str) -> Sequence[Upload]:
        """Give the uploads of an image, finished ones too while they are remembered."""
        image = await self._load(caller, image_id)
        async with self._database.read() as tx:
            return await upload_rows.of(tx, image.id)

    async def show(self, caller: Caller, image_id: str, upload_id: str) -> Upload:
        """Give an upload once nobody works on it: its offset is where the next piece must begin."""
        image = await self._load(caller, image_id)
        upload = await self._find(image, upload_id)
        if upload.finished:
            return upload
        async with self._held(image, upload_id) as held:
            return held.upload

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
        """Take the next piece; the last one makes the image active.

        What arrives of a piece is kept however it ends, except where it has a checksum: then all or
        nothing. Raises Conflict where the offset is another, Locked where a request cannot let go of
        the upload now, and all that an upload in one request raises.
        """
        image = await self._load(caller, image_id)
        await self._find(image, upload_id)
        async with self._held(image, upload_id) as held:
            upload = held.upload
            rules.check_offset(upload, offset)
            if upload.finished:
                return upload
            if size is not None and offset + size > upload.length:
                raise Invalid(f"The upload has {upload.length} bytes: the piece goes beyond them.")
            piece = Piece(source, upload.length - offset, checksum)
            return await self._take(caller, image, held, piece, size)

    async def remove(self, caller: Caller, image_id: str, upload_id: str) -> None:
        """End an upload and delete its bytes; the image of a finished one keeps them."""
        image = await self._load(caller, image_id)
        await self._find(image, upload_id)
        async with self._held(image, upload_id) as held:
            blob = await self._blob(held.upload)
            held.removed = True
            await self._end(blob, Gone("The upload was ended."))

    async def _take(self, caller: Caller, image: Image, held: Held, piece: Piece, size: int | None) -> Upload:
        upload = held.upload
        blob = await self._blob(upload)
        if blob.state != PARTIAL:
            raise Locked("The upload is being finished; ask for it again soon.", retry_after=5)
        try:
            writer = await self._store(blob).resume(blob.id, upload.offset, upload.length)
        except Gone as error:
            await self._end(blob, error)
            raise
        try:
            safe = Safe(self._database, held, writer, self._lifetime)
            look = self._look(image, upload)
            await receive(piece, safe, look, size)
            if safe.offset == upload.length:
                held.interruptible = False
                held.upload = safe.upload
                return await self._complete(caller, held, blob, writer, look)
        except BaseException:
            await to_the_end(writer.close())
            await to_the_end(self._tidy(blob))
            raise
        finally:
            await to_the_end(writer.close())
        if look is not None:
            self._keep_warm(upload.id, look)
        if piece.cut is not None:
            raise piece.cut
        return safe.upload

    async def _tidy(self, blob: Blob) -> None:
        """Delete what was written of an upload that others ended, perhaps before there was anything."""
        with contextlib.suppress(TintypeError):
            await self._intake.deletions.delete_own(blob)

    def _look(self, image: Image, upload: Upload) -> Pass | None:
        """Begin to look at the bytes, or go on; None where what was seen before is not known here."""
        look = self._warm.pop(upload.id, None)
        if upload.offset == 0:
            return self._intake.look(image, upload.expected)
        return look if look is not None and look.size == upload.offset else None

    def _keep_warm(self, upload_id: str, look: Pass) -> None:
        self._warm[upload_id] = look
        if len(self._warm) > _WARM:
            self._warm.popitem(last=False)

    async def _complete(
        self, caller: Caller, held: Held, blob: Blob, writer: ResumableWriter, look: Pass | None
    ) -> Upload:
        """Give the image its bytes. What may go better later leaves the upload waiting for its last byte."""
        moment, upload = now(), held.upload
        finished = msgspec.structs.replace(upload, offset=upload.length, expires_at=moment + self._lifetime)
        async with self._database.write() as tx:
            image = await self._gate.load_in(tx, caller, blob.image_id)
            self._gate.require("upload_image", caller, image)
            await self._intake.claim(tx, image, SAVING, moment)
            if not (
                await upload_rows.keep(tx, upload.id, held.holder, HOLD)
                and await blob_rows.take(tx, blob.id, PARTIAL, LEASE)
            ):
                raise Locked("Another request has this upload; ask for it again soon.", retry_after=5)
        try:
            async with self._intake.lease(blob):
                await self._intake.commit(blob, writer)
                if look is None or look.formats != (image.disk_format, image.container_format):
                    look = self._intake.look(image, upload.expected)
                    chunks = self._intake.stores[blob.store].read(blob.id, 0, upload.length)
                    await look.run(Chunks(chunks), None, upload.length)
                digests = look.finish()
                await self._finish(blob, digests, finished, held.holder)
        except (Unavailable, Gone, asyncio.CancelledError) as error:
            still_there = await to_the_end(self._put_back(blob, held, reason_of(error)))
            if still_there and isinstance(error, Gone):  # a lease ran out, as when a machine sleeps
                raise Locked("The end of the upload was broken off; try again.", retry_after=1) from None
            raise
        except BaseException as error:
            await to_the_end(self._end(blob, error))
            raise
        return finished

    async def _complete_nothing(self, caller: Caller, image: Image, upload: Upload, blob: Blob) -> None:
        """Finish an upload of no bytes with its creation; it has no second try."""
        try:
            async with self._held(image, upload.id) as held:
                writer = await self._store(blob).resume(blob.id, 0, 0)
                try:
                    await self._complete(caller, held, blob, writer, None)
                finally:
                    await to_the_end(writer.close())
        except BaseException as error:
            await to_the_end(self._end(blob, error))
            raise

    async def _finish(self, blob: Blob, digests: Digests, finished: Upload, holder: str) -> None:
        async with self._database.write(durable=True) as tx:
            await image_rows.lock(tx, blob.image_id)
            await upload_rows.lock(tx, blob.id)
            await self._intake.finish(tx, blob, digests, SAVING)
            if not await upload_rows.advance(tx, finished, holder):
                raise Gone("The upload was lost to another request.")

    async def _put_back(self, blob: Blob, held: Held, reason: str) -> bool:
        """Let the upload wait for its next try; False where it is another request's by now, or gone."""
        async with self._database.write() as tx:
            await image_rows.lock(tx, blob.image_id)
            mine = await upload_rows.keep(tx, blob.id, held.holder, HOLD)
            if mine and await blob_rows.change(tx, blob.id, (WRITING, PARTIAL), held.upload.expires_at):
                await self._intake.release(tx, blob, reason)
        return mine

    async def _end(self, blob: Blob, error: BaseException) -> None:
        """Forget an upload; its bytes go, unless they are the image's."""
        async with self._database.write() as tx:
            await upload_rows.remove(tx, blob.id)
            await blob_rows.condemn(tx, blob.id, PARTIAL)
        await self._intake.give_up(blob, error)

    async def _load(self, caller: Caller, image_id: str) -> Image:
        image = await self._gate.load(caller, image_id)
        self._gate.require("upload_image", caller, image)
        return image

    async def _find(self, image: Image, upload_id: str) -> Upload:
        async with self._database.read() as tx:
            upload = await upload_rows.get(tx, image.id, upload_id)
        if upload is None or (not upload.finished and upload.expires_at < now()):
            raise NotFound(f"Image {image.id} has no upload {upload_id}.")
        return upload

    async def _blob(self, upload: Upload) -> Blob:
        async with self._database.read() as tx:
            blob = await blob_rows.get(tx, upload.id)
        if blob is None:
            raise NotFound(f"Image {upload.image_id} has no upload {upload.id}.")
        return blob

    def _store(self, blob: Blob) -> Resumable:
        store = self._intake.stores.get(blob.store)
        if not isinstance(store, Resumable):
            raise Unavailable(f"The store '{blob.store}' is not in the settings as it was.")
        return store

    @contextlib.asynccontextmanager
    async def _held(self, image: Image, upload_id: str) -> AsyncIterator[Held]:
        """Have an upload for this request alone; who has it is asked to let go, and soon does."""
        holder = str(uuid.uuid4())
        patience = time.monotonic() + _PATIENCE_SECONDS
        while not await self._hold(upload_id, holder):
            await self._wait(upload_id, patience)
        try:
            held = Held(await self._find(image, upload_id), holder)
            async with held.beating(self._database):
                yield held
        finally:
            await to_the_end(self._let_go(upload_id, holder))

    async def _hold(self, upload_id: str, holder: str) -> bool:
        async with self._database.write() as tx:
            return await upload_rows.hold(tx, upload_id, holder, HOLD)

    async def _wait(self, upload_id: str, patience: float) -> None:
        """Wait until an upload may be free; raises Locked when that takes too long."""
        while True:
            async with self._database.read() as tx:
                hold = await upload_rows.hold_of(tx, upload_id)
            if hold is None:
                raise NotFound(f"There is no upload {upload_id} any more.")
            if hold.left < 0:
                return
            if time.monotonic() > patience:
                raise Locked("Another request is working on this upload; try again soon.", retry_after=5)
            await asyncio.sleep(0.2)

    async def _let_go(self, upload_id: str, holder: str) -> None:
        with contextlib.suppress(Unavailable):  # the hold ends by itself
            async with self._database.write() as tx:
                await upload_rows.let_go(tx, upload_id, holder)

"""One request of a resumable upload: its lock on the upload, its chunk, and how much of that is durable."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Final

import msgspec

from tintype.blobs.base import ResumableWriter
from tintype.blobs.cancellation import shielded, wait_settled
from tintype.blobs.stream import Buffer, DigestPipeline, Source, Stage, run_pipeline
from tintype.db import blobs as blob_rows
from tintype.db import uploads as upload_rows
from tintype.db.engine import Database, fetch, now
from tintype.domain import uploads as rules
from tintype.domain.uploads import Checksum, Upload
from tintype.errors import Conflict, Disconnected, Gone, Invalid, TintypeError
from tintype.services.leases import heartbeat

_LOST: Final = "The upload or its image was deleted, or another request went on with it."
LOCK_LEASE: Final = 12_000_000
"""Microseconds for which a request's lock on an upload lasts without a renewal."""
_HEARTBEAT_SECONDS: Final = 1.0
_SAVE_SECONDS: Final = 2.5
"""Twice as much may be lost: bytes wait first in a buffer, then for the next checkpoint."""


class UploadLock:
    """The lock of one request on an upload; each change of the upload must present its `holder`."""

    def __init__(self, upload: Upload, holder: str) -> None:
        self.upload = upload
        self.holder = holder
        self.interruptible = True
        """False while the upload is being completed, which should finish rather than start over."""
        self.removed = False
        """True once the request itself deletes the upload, which does not count as losing the lock."""

    def keep_alive(self, database: Database) -> AbstractAsyncContextManager[None]:
        """Renew the lock while the body runs; end the body if another request wants or has the upload."""

        async def renew() -> TintypeError | None:
            hold = await fetch(database, upload_rows.get_lease, self.upload.id)
            mine = hold is not None and hold.holder == self.holder
            if hold is not None and mine and hold.left < LOCK_LEASE // 2:
                async with database.write() as tx:
                    mine = await upload_rows.renew(tx, self.upload.id, self.holder, LOCK_LEASE)
            if not mine and not self.removed:
                return Gone(_LOST)
            if hold is not None and hold.wanted and self.interruptible and not self.removed:
                return Conflict("Another request took over this upload.")
            return None

        return heartbeat(renew, _HEARTBEAT_SECONDS)


class UploadChunk:
    """One request's bytes. A broken connection ends them and sets `interrupted_by` to the error."""

    def __init__(self, source: Source, room: int, checksum: Checksum | None) -> None:
        self.checksum = checksum
        self.interrupted_by: BaseException | None = None
        self._source = source
        self._room = room
        self._digest = hashlib.new(checksum.algorithm, usedforsecurity=False) if checksum else None

    async def fill(self, buffer: Buffer) -> bool:
        """Fill a buffer; return whether more may follow. Raises Invalid beyond the length of the upload."""
        before = buffer.used
        try:
            more = await self._source.fill(buffer)
        except (Disconnected, asyncio.CancelledError) as error:
            self.interrupted_by = error
            more = False
        self._room -= buffer.used - before
        if self._room < 0:
            raise Invalid("The chunk exceeds the declared length of the upload.")
        return more

    @property
    def stages(self) -> list[Stage]:
        """The stage that hashes the chunk itself, if it has a checksum."""
        return [self._digest.update] if self._digest is not None else []

    def check(self) -> None:
        """Raise ChecksumMismatch if the chunk does not match its checksum, or is incomplete."""
        if self.checksum is not None and self._digest is not None:
            rules.check_checksum(self.checksum, self._digest.digest())


class CheckpointedWriter:
    """A writer that makes its bytes durable at intervals and records how many are."""

    def __init__(self, database: Database, lock: UploadLock, writer: ResumableWriter, lifetime: int) -> None:
        self.upload = lock.upload
        """As recorded by the last checkpoint."""
        self.offset = lock.upload.offset
        self._holder = lock.holder
        self._database = database
        self._writer = writer
        self._turn = asyncio.Lock()
        self._lifetime = lifetime

    @property
    def is_behind(self) -> bool:
        """Whether more has been written than is recorded."""
        return self.upload.resumable_offset(self.offset) > self.upload.offset

    async def write(self, data: memoryview) -> None:
        """Append bytes."""
        async with self._turn:
            await self._writer.write(data)
        self.offset += len(data)

    async def save(self) -> None:
        """Make written bytes durable and record the offset. Raises Gone if another request has the upload."""
        async with self._turn:
            offset = self.upload.resumable_offset(self.offset)
            await self._writer.flush()
        self.upload = msgspec.structs.replace(self.upload, offset=offset, expires_at=now() + self._lifetime)
        async with self._database.write() as tx:
            if not await upload_rows.advance(tx, self.upload, self._holder):
                raise Gone(_LOST)
            await blob_rows.keep_until(tx, self.upload.id, self.upload.expires_at)


async def receive(
    chunk: UploadChunk, writer: CheckpointedWriter, pipeline: DigestPipeline | None, size: int | None
) -> None:
    """Write a chunk. Even on failure the bytes received are made durable, unless it has a checksum."""
    try:
        async with _checkpoints(writer) if chunk.checksum is None else contextlib.nullcontext():
            if pipeline is None:
                await run_pipeline(chunk, writer.write, chunk.stages, size, _SAVE_SECONDS)
            else:
                await pipeline.run(chunk, writer.write, size, _SAVE_SECONDS, chunk.stages)
            chunk.check()
    except BaseException:
        if chunk.checksum is None:
            with contextlib.suppress(TintypeError):  # saving may be what has failed
                await shielded(writer.save())
        raise
    await writer.save()


@contextlib.asynccontextmanager
async def _checkpoints(writer: CheckpointedWriter) -> AsyncIterator[None]:
    """Save at intervals while the body runs. Failures are ignored: the caller saves at the end."""
    running = True

    async def save() -> None:
        while running:
            await asyncio.sleep(_SAVE_SECONDS)
            if writer.is_behind:
                with contextlib.suppress(TintypeError):
                    await writer.save()

    saving = asyncio.create_task(save())
    try:
        yield
    finally:
        running = False
        saving.cancel()
        await wait_settled(saving)

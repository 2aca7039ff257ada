"""One request of a resumable upload: who holds it, what arrives, and how much of that is safe."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Final

import msgspec

from tintype.blobs.base import ResumableWriter
from tintype.blobs.ends import settled, to_the_end
from tintype.blobs.stream import Buffer, Look, Pass, Source, pump
from tintype.db import blobs as blob_rows
from tintype.db import uploads as upload_rows
from tintype.db.engine import Database
from tintype.domain import uploads as rules
from tintype.domain.uploads import Checksum, Upload
from tintype.errors import Conflict, Disconnected, Gone, Invalid, TintypeError
from tintype.services.data import beating
from tintype.services.images import now

_LOST: Final = "The upload or its image was deleted, or another request went on with it."
HOLD: Final = 12_000_000
"""Microseconds for which a request holds its upload without a sign of life."""
_BEAT_SECONDS: Final = 1.0
_SAVE_SECONDS: Final = 2.5
"""Twice as much may be lost: bytes wait for a buffer, then for the next save."""


class Held:
    """An upload that one request has for itself, under a name that every change must give."""

    def __init__(self, upload: Upload, holder: str) -> None:
        self.upload = upload
        self.holder = holder
        self.interruptible = True
        """False while it is being finished: that is better ended than begun anew."""
        self.removed = False
        """True once the request itself removes the upload: that it is gone is no loss."""

    def beating(self, database: Database) -> AbstractAsyncContextManager[None]:
        """Prolong the hold to the end; cut the work inside short where another request wants it.

        So does a hold that was lost, with the upload or to another request.
        """

        async def beat() -> TintypeError | None:
            async with database.read() as tx:
                hold = await upload_rows.hold_of(tx, self.upload.id)
            mine = hold is not None and hold.holder == self.holder
            if hold is not None and mine and hold.left < HOLD // 2:
                async with database.write() as tx:
                    mine = await upload_rows.keep(tx, self.upload.id, self.holder, HOLD)
            return None if self.removed else self._reason_to_end(mine, hold is not None and hold.wanted)

        return beating(beat, _BEAT_SECONDS)

    def _reason_to_end(self, mine: bool, wanted: bool) -> TintypeError | None:
        if not mine:
            return Gone(_LOST)
        if wanted and self.interruptible:
            return Conflict("Another request asked for this upload.")
        return None


class Piece:
    """One request's bytes. Where they break off they end, and `cut` says by what."""

    def __init__(self, source: Source, room: int, checksum: Checksum | None) -> None:
        self.checksum = checksum
        self.cut: BaseException | None = None
        self._source = source
        self._room = room
        self._digest = hashlib.new(checksum.algorithm, usedforsecurity=False) if checksum else None

    async def fill(self, buffer: Buffer) -> bool:
        """Give the bytes on; raises Invalid where there are too many."""
        before = buffer.used
        try:
            more = await self._source.fill(buffer)
        except (Disconnected, asyncio.CancelledError) as error:
            self.cut = error
            more = False
        self._room -= buffer.used - before
        if self._room < 0:
            raise Invalid("The piece goes beyond the bytes that the upload was declared to have.")
        return more

    @property
    def looks(self) -> list[Look]:
        """What the piece itself finds out about its bytes."""
        return [self._digest.update] if self._digest is not None else []

    def check(self) -> None:
        """Refuse the piece where it has a checksum and does not meet it; also for having broken off."""
        if self.checksum is not None and self._digest is not None:
            rules.check_checksum(self.checksum, self._digest.digest())


class Safe:
    """A writer that can make what it wrote outlive any accident, and note how much that is."""

    def __init__(self, database: Database, held: Held, writer: ResumableWriter, lifetime: int) -> None:
        self.upload = held.upload
        self.offset = held.upload.offset
        self._holder = held.holder
        self._database = database
        self._writer = writer
        self._turn = asyncio.Lock()
        self._lifetime = lifetime

    @property
    def is_behind(self) -> bool:
        """Whether more was written than is noted."""
        return self.upload.kept(self.offset) > self.upload.offset

    async def write(self, data: memoryview) -> None:
        """Append bytes."""
        async with self._turn:
            await self._writer.write(data)
        self.offset += len(data)

    async def save(self) -> None:
        """Make what was written safe; raises Gone where another request has the upload by now."""
        async with self._turn:
            offset = self.upload.kept(self.offset)
            await self._writer.flush()
        self.upload = msgspec.structs.replace(self.upload, offset=offset, expires_at=now() + self._lifetime)
        async with self._database.write() as tx:
            if not await upload_rows.advance(tx, self.upload, self._holder):
                raise Gone(_LOST)
            await blob_rows.keep(tx, self.upload.id, self.upload.expires_at)


async def receive(piece: Piece, safe: Safe, look: Pass | None, size: int | None) -> None:
    """Write a piece; what has arrived is safe afterwards, however this ends, unless it has a checksum."""
    try:
        async with _kept_safe(safe) if piece.checksum is None else contextlib.nullcontext():
            if look is None:
                await pump(piece, safe.write, piece.looks, size, _SAVE_SECONDS)
            else:
                await look.run(piece, safe.write, size, _SAVE_SECONDS, piece.looks)
            piece.check()
    except BaseException:
        if piece.checksum is None:
            with contextlib.suppress(TintypeError):  # it is what has failed, perhaps
                await to_the_end(safe.save())
        raise
    await safe.save()


@contextlib.asynccontextmanager
async def _kept_safe(safe: Safe) -> AsyncIterator[None]:
    """Make what is written safe now and then; where that fails, the end tells, or the hold that is lost."""
    at_work = True

    async def keep() -> None:
        while at_work:
            await asyncio.sleep(_SAVE_SECONDS)
            if safe.is_behind:
                with contextlib.suppress(TintypeError):
                    await safe.save()

    keeping = asyncio.create_task(keep())
    try:
        yield
    finally:
        at_work = False
        keeping.cancel()
        await settled(keeping)

"""Bringing the same bytes into several stores at once, in the one pass that hashes and inspects them."""

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Iterable, Sequence
from typing import Final

from tintype.blobs.base import Writer
from tintype.blobs.ends import to_the_end
from tintype.blobs.stream import Chunks, Digests, Exactly
from tintype.db import blobs as blob_rows
from tintype.db import images as image_rows
from tintype.db.blobs import Blob
from tintype.db.engine import Database, Transaction
from tintype.domain import quotas
from tintype.domain.images import Image
from tintype.errors import Gone, TintypeError, Unavailable
from tintype.jobs.attempts import DELETED, Attempt
from tintype.plugins.base import Stream
from tintype.services.data import LEASE, Intake
from tintype.services.images import hold_to_quota, now, quota_turn

_PATIENCE_SECONDS: Final = 2.0
"""For which bytes of a slow source wait for others, so that one sees how far it is."""


class Filling:
    """Some stores that are filled for one image. A store that fails ends it, or is only left out."""

    def __init__(
        self,
        database: Database,
        intake: Intake,
        attempt: Attempt,
        stores: Sequence[str],
        *,
        must_succeed: bool,
        spare: bool,
    ) -> None:
        """Make it; with a `spare` the image has a copy already, and all of these may fail."""
        image_id = attempt.task.image_id or ""
        self.failures: dict[str, TintypeError] = {}
        """Of the stores that were left out."""
        self._database = database
        self._intake = intake
        self._attempt = attempt
        self._must_succeed = must_succeed
        self._spare = spare
        self._blobs = [Blob(str(uuid.uuid4()), store, image_id) for store in stores]
        self._writers: dict[str, Writer] = {}

    @property
    def filled(self) -> list[Blob]:
        """The blobs in stores that have not failed."""
        return [blob for blob in self._blobs if blob.store not in self.failures]

    async def room(self, size: int | None) -> int:
        """Note what is about to be written, and give how many bytes there may be of it.

        Raises Gone where the image was deleted, OverLimit where the project's quota has no room.
        """
        moment, caller = now(), self._attempt.caller
        self._intake.check_size(size)
        async with self._database.write(turn=quota_turn(caller)) as tx:
            image = await image_rows.get(tx, self._attempt.task.image_id or "", None, lock=True)
            if image is None:
                raise Gone(DELETED)
            await self._attempt.check(tx)
            for blob in self._blobs:
                await blob_rows.begin(tx, blob, now=moment, lease=LEASE, size=size)
            usage = await hold_to_quota(tx, caller, image.owner, quotas.STORE)
        most, copies = self._intake.limits.size, max(1, len(self._blobs))
        if size is None and usage is not None:
            most = quotas.room(caller.quota.image_size_total, usage.stored, most * copies) // copies
        return most

    async def run(self, image: Image, stream: Stream, expected: dict[str, str], limit: int) -> Digests:
        """Write the bytes everywhere and commit them; give what they are.

        Raises what the bytes are refused for, and what the last store failed with.
        """
        try:
            for blob in self._blobs:
                await self._try(blob, self._open(blob, stream.size))
            look = self._intake.look(image, expected)
            source = Exactly(Chunks(stream.chunks), stream.size, limit)
            await look.run(source, self._write, stream.size, _PATIENCE_SECONDS)
            digests = look.finish()
            await _all_of(self._try(blob, self._commit(blob)) for blob in self.filled)
        finally:
            await to_the_end(_all_of(writer.close() for writer in self._writers.values()))
        return digests

    async def discard(self) -> None:
        """Delete what was written, unless it is the image's.

        Under the image's lock: a commit whose answer was lost has come to its end by then. Where the
        database does not answer nothing is deleted; the sweeper does it.
        """
        with contextlib.suppress(TintypeError):
            async with self._database.write() as tx:
                await image_rows.lock(tx, self._attempt.task.image_id or "")
                left = [blob for blob in self._blobs if await _is_given_up(tx, blob)]
            for blob in left:
                if not isinstance(self.failures.get(blob.store), Unavailable):
                    with contextlib.suppress(TintypeError):  # the sweeper, or the next gc, tries again
                        await self._intake.deletions.delete_own(blob)

    async def _write(self, data: memoryview) -> None:
        await _all_of(self._try(blob, self._writers[blob.store].write(data)) for blob in self.filled)
        self._attempt.progress(self._attempt.task.bytes_done + len(data))

    async def _open(self, blob: Blob, size: int | None) -> None:
        self._writers[blob.store] = await self._intake.store(blob.store).create(blob.id, size)

    async def _commit(self, blob: Blob) -> None:
        await self._intake.commit(blob, self._writers[blob.store])

    async def _try(self, blob: Blob, work: Awaitable[None]) -> None:
        """Do something with one store; leave it out where it fails and others may do without it."""
        try:
            await work
        except Gone:
            raise
        except TintypeError as error:
            self.failures[blob.store] = error
            alone = len(self.failures) == len(self._blobs) and not self._spare
            if self._must_succeed or alone:
                raise


async def _is_given_up(tx: Transaction, blob: Blob) -> bool:
    """Give up a blob; return False where it is the image's. A row that is gone leads nobody to the bytes."""
    if not await blob_rows.condemn(tx, blob.id):
        await blob_rows.let_go(tx, blob.id)
    known = await blob_rows.get(tx, blob.id)
    return known is None or known.state == blob_rows.CONDEMNED


async def _all_of(work: Iterable[Awaitable[None]]) -> None:
    """Wait for the end of all of them, then raise what the first that failed did."""
    for result in await asyncio.gather(*work, return_exceptions=True):
        if result is not None:
            raise result

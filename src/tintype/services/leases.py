"""Leases: work in flight holds what it works on for some seconds, and a heartbeat renews the hold.

Where the process dies the lease runs out, and whoever notices undoes or finishes the work
(`services/recovery.py`, `jobs/worker.py`). Blobs being written, the locks of resumable uploads and attempts
at jobs all live by `heartbeat`.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

from tintype.db import blobs as blob_rows
from tintype.db.engine import Database
from tintype.domain.blobs import Blob
from tintype.errors import Gone, TintypeError, Unavailable

LEASE: Final = 20_000_000
"""Microseconds for which a blob being written is held without a renewal."""
HEARTBEAT_SECONDS: Final = 5.0
_RETRY_SECONDS: Final = 1.0
"""Until a renewal is tried again that the database did not take."""

Renew = Callable[[], Awaitable[TintypeError | None]]
"""Renews a lease; returns the error to end the work with, where it must end."""


@contextlib.asynccontextmanager
async def heartbeat(renew: Renew, seconds: float) -> AsyncIterator[None]:
    """Call `renew` at this interval while the body runs; cancel the body with the first error it returns.

    A renewal that raises Unavailable is only tried again: leases outlive some that are missed.
    """
    work = asyncio.current_task()
    ended: Exception | None = None

    async def beat() -> None:
        nonlocal ended
        pause = seconds
        while work is not None:  # a body that was cancelled still saves what it has: its lease goes on
            await asyncio.sleep(pause)
            pause = seconds
            try:
                found: Exception | None = await renew()
            except Unavailable:
                pause = min(seconds, _RETRY_SECONDS)
                continue
            except Exception as error:  # noqa: BLE001 (work must not go on without renewals)
                found = error
            if found is not None and ended is None and work is not None:
                ended = found
                work.cancel()

    beating = asyncio.create_task(beat())
    try:
        yield
    except asyncio.CancelledError:
        if ended is not None and work is not None:
            work.uncancel()
            raise ended from None
        raise
    finally:
        work = None  # this ends the loop even where a driver swallows the cancellation
        beating.cancel()


class BlobLeases:
    """The leases of the blobs that this process is writing."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._held: set[str] = set()

    def holds(self, blob_id: str) -> bool:
        """Return whether this process is writing the blob, whatever its lease says."""
        return blob_id in self._held

    @contextlib.asynccontextmanager
    async def hold(self, blobs: Sequence[Blob]) -> AsyncIterator[None]:
        """Renew the leases while the body runs; end the body with Gone where one is lost."""

        async def renew() -> TintypeError | None:
            for blob in blobs:
                async with self._database.write() as tx:
                    if not await blob_rows.renew(tx, blob.id, LEASE):
                        return Gone(f"Image {blob.image_id} was deleted during the upload.")
            return None

        ids = {blob.id for blob in blobs}
        self._held |= ids
        try:
            async with heartbeat(renew, HEARTBEAT_SECONDS):
                yield
        finally:
            self._held -= ids

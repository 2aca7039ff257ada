"""Leases: work in progress holds a lease of some seconds, and a heartbeat renews it.

If the process dies, the lease expires, and another process undoes or repeats the work
(`services/recovery.py`, `jobs/worker.py`). Blobs being written, the locks of resumable uploads and attempts
at jobs are all kept by `heartbeat`.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

from tintype.db import blobs as blob_rows
from tintype.db.engine import Database
from tintype.domain.blobs import Blob
from tintype.errors import Gone, TintypeError, Unavailable

LEASE: Final = 20_000_000
"""Microseconds for which the lease of a blob being written lasts without a renewal."""
HEARTBEAT_SECONDS: Final = 5.0
_RETRY_SECONDS: Final = 1.0
"""Pause before retrying a renewal that the database did not answer."""

_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""A clock that runs while the machine sleeps, if the system has one."""
_STALL_SECONDS: Final = 4.0
"""Delay that a busy machine may add; leases last several times as long."""

Renew = Callable[[], Awaitable[TintypeError | None]]
"""Renews a lease; returns the error to end the work with, or None to continue."""


@contextlib.asynccontextmanager
async def heartbeat(renew: Renew, seconds: float) -> AsyncIterator[None]:
    """Call `renew` every `seconds` while the body runs; end the body with the first error it returns.

    A renewal that raises Unavailable is retried: a lease outlasts several missed renewals.
    """
    work = asyncio.current_task()
    ended: Exception | None = None

    async def renew_periodically() -> None:
        nonlocal ended
        pause = seconds
        while work is not None:  # a cancelled body still saves its state, so go on renewing
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

    renewing = asyncio.create_task(renew_periodically())
    try:
        yield
    except asyncio.CancelledError:
        if ended is not None and work is not None:
            work.uncancel()
            raise ended from None
        raise
    finally:
        work = None  # end the loop even if a driver swallows the cancellation
        renewing.cancel()


class BlobLeases:
    """The leases of the blobs that this process is writing."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._held: set[str] = set()

    def is_held(self, blob_id: str) -> bool:
        """Return whether this process is writing the blob, even if its lease has expired."""
        return blob_id in self._held

    @contextlib.asynccontextmanager
    async def keep_alive(self, blobs: Sequence[Blob]) -> AsyncIterator[None]:
        """Renew the leases while the body runs; end the body with Gone if one is lost."""

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


async def wait_detecting_stall(event: asyncio.Event, seconds: float) -> bool:
    """Wait for an event for at most `seconds`; return whether the process was suspended meanwhile.

    If it was stopped or its machine slept, live holders may have lost their leases.
    """
    before = time.clock_gettime(_CLOCK)
    with contextlib.suppress(TimeoutError):  # not `wait_for`: Python 3.11's may swallow a cancellation
        async with asyncio.timeout(seconds):
            await event.wait()
    return time.clock_gettime(_CLOCK) - before > seconds + _STALL_SECONDS

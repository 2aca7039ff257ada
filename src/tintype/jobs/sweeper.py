"""The sweeper: cleans up after work that died midway. Every server process runs one; claims are atomic.

* Blobs in `writing`, `partial` or `staged` whose lease has expired are rolled back.
* Condemned blobs: the bytes are deleted, then the row. One process at a time claims a blob under a lease.
  Each store has a task of its own, so that a slow store delays no other.
* Expired records are deleted: finished uploads, ended jobs, revoked tokens, failed logins.
"""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from typing import Final

import structlog

from tintype.db import blobs as blob_rows
from tintype.db import deletions as deletion_rows
from tintype.db import jobs as job_rows
from tintype.db import uploads as upload_rows
from tintype.db.engine import Database, fetch, now
from tintype.domain.blobs import Blob
from tintype.errors import Unavailable
from tintype.observability.failures import reason_of
from tintype.observability.metrics import Metrics
from tintype.services.identity import Identity
from tintype.services.ingest import Ingest
from tintype.services.leases import HEARTBEAT_SECONDS, wait_detecting_stall
from tintype.services.recovery import Recovery

INTERVAL: Final = 5.0
"""Seconds between two sweeps."""
PRUNE_SECONDS: Final = 60.0
"""Seconds between two deletions of expired records."""


class Sweeper:
    """Sweeps until cancelled."""

    def __init__(
        self,
        database: Database,
        ingest: Ingest,
        identity: Identity,
        log: structlog.typing.FilteringBoundLogger,
        metrics: Metrics,
    ) -> None:
        self._database = database
        self._ingest = ingest
        self._recovery = Recovery(database, ingest.leases, log)
        self._identity = identity
        self._log = log
        self._metrics = metrics
        self._wake = asyncio.Event()
        self._prune_at = 0.0
        self._deleting: dict[str, asyncio.Task[None]] = {}
        """By store."""

    def wake(self) -> None:
        """Sweep soon, because a blob was condemned."""
        self._wake.set()

    async def run(self) -> None:
        """Sweep now, then at every interval or call to `wake`; retry whatever fails."""
        try:
            await self._run()
        finally:
            for task in self._deleting.values():
                task.cancel()
            await asyncio.gather(*self._deleting.values(), return_exceptions=True)

    async def _run(self) -> None:
        stalled = False
        while True:
            self._wake.clear()
            try:
                if stalled:  # live writers may have been unable to renew their leases
                    await asyncio.sleep(HEARTBEAT_SECONDS)
                stalled = False
                await self.begin()
            except Exception as error:  # noqa: BLE001 (the one task that must never end)
                stalled = isinstance(error, Unavailable)
                self._failed(error)
            stalled = await wait_detecting_stall(self._wake, INTERVAL) or stalled

    async def sweep(self) -> None:
        """Do all work that is due, and wait until it is done."""
        await self.begin()
        await asyncio.gather(*self._deleting.values())

    async def begin(self) -> None:
        """Do all work that is due, but only start deletions, in each store where none are running."""
        moment = now()
        async for blob in blob_rows.expired(self._database, moment):
            await self._recover(blob, moment)
        for store_id in self._ingest.stores:
            if store_id not in self._deleting or self._deleting[store_id].done():
                self._deleting[store_id] = asyncio.create_task(self._delete_from(store_id))
        if (since := time.monotonic()) > self._prune_at:
            self._prune_at = since + PRUNE_SECONDS
            async with self._database.write() as tx:
                await upload_rows.prune(tx, moment)
                await job_rows.prune(tx, moment)
            await self._identity.prune()

    async def _recover(self, blob: Blob, moment: int) -> None:
        try:
            if await self._recovery.recover(blob, moment):
                self._metrics.abandoned.inc()
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 (one bad blob must not hold up the others)
            self._failed(error)

    async def _delete_from(self, store_id: str) -> None:
        """Delete all blobs condemned so far; those that cannot be deleted are retried in the next sweep."""
        try:
            moment = await fetch(self._database, deletion_rows.lease_moment)
            answers = True
            while answers:
                condemned = await fetch(self._database, deletion_rows.condemned, store_id, moment)
                answers = bool(condemned) and await self._delete(condemned)
        except Exception as error:  # noqa: BLE001 (it is tried again)
            self._failed(error)

    async def _delete(self, condemned: Sequence[Blob]) -> bool:
        """Delete blobs; return False if their store does not answer."""
        for blob in condemned:
            try:
                await self._ingest.deletions.claim_and_delete(blob)
            except Exception as error:  # noqa: BLE001 (one bad blob must not hold up the others)
                self._log.warning("blob was not deleted", blob_id=blob.id, reason=reason_of(error))
                if isinstance(error, Unavailable):
                    return False  # every further blob would time out as well
        return True

    def _failed(self, error: Exception) -> None:
        self._metrics.sweep_failures.inc()
        with contextlib.suppress(OSError):  # standard error may be on the disk that is full
            self._log.error("sweep failed", reason=reason_of(error))

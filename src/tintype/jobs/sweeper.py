"""The sweeper: finishes what died half-way. Every server process runs one; claims are atomic.

* A blob whose lease is over, in writing, partial or staged: what was begun with it is undone.
* A condemned blob: its bytes are deleted, then its row. One sweeper at a time claims it under a lease.
* Notes that no longer matter are deleted: finished uploads, ended jobs, revoked tokens, failed
  logins.
"""

import asyncio
import contextlib
import time
from typing import Final

import structlog

from tintype.db import blobs as blob_rows
from tintype.db import jobs as job_rows
from tintype.db import uploads as upload_rows
from tintype.db.engine import Database
from tintype.errors import TintypeError, Unavailable
from tintype.jobs.waiting import waited
from tintype.observability.failures import reason_of
from tintype.observability.metrics import Metrics
from tintype.services.data import HEARTBEAT_SECONDS, Intake
from tintype.services.identity import Identity
from tintype.services.images import now

INTERVAL: Final = 5.0
"""Seconds between two sweeps."""
PRUNE_SECONDS: Final = 60.0
"""Between two looks at notes."""


class Sweeper:
    """Sweeps until it is cancelled."""

    def __init__(
        self,
        database: Database,
        intake: Intake,
        identity: Identity,
        log: structlog.typing.FilteringBoundLogger,
        metrics: Metrics,
    ) -> None:
        self._database = database
        self._intake = intake
        self._identity = identity
        self._log = log
        self._metrics = metrics
        self._wake = asyncio.Event()
        self._prune_at = 0.0

    def wake(self) -> None:
        """Sweep soon: something was condemned."""
        self._wake.set()

    async def run(self) -> None:
        """Sweep at once, then at every interval or call to `wake`; whatever fails is tried again."""
        stalled = False
        while True:
            self._wake.clear()
            try:
                if stalled:  # those who live could not say so, perhaps, and do it now
                    await asyncio.sleep(HEARTBEAT_SECONDS)
                stalled = False
                await self.sweep()
            except Exception as error:  # noqa: BLE001 (the one task that must never end)
                stalled = isinstance(error, Unavailable)
                self._metrics.sweep_failures.inc()
                with contextlib.suppress(OSError):  # standard error may be on the disk that is full
                    self._log.error("sweep failed", reason=reason_of(error))
            stalled = await waited(self._wake, INTERVAL) or stalled

    async def sweep(self) -> None:
        """Do everything that is due. A blob that cannot be deleted now does not keep others waiting."""
        moment = now()
        async with self._database.read() as tx:
            expired = await blob_rows.expired(tx, moment)
        for blob in expired:
            if await self._intake.recover(blob, moment):
                self._metrics.abandoned.inc()
        for store_id in self._intake.stores:
            await self._delete_from(store_id)
        if (since := time.monotonic()) > self._prune_at:
            self._prune_at = since + PRUNE_SECONDS
            async with self._database.write() as tx:
                await upload_rows.prune(tx, moment)
                await job_rows.prune(tx, moment)
            await self._identity.prune()

    async def _delete_from(self, store_id: str) -> None:
        """Delete what is condemned by now: what cannot be deleted is tried again in the next sweep."""
        async with self._database.read() as tx:
            moment = await blob_rows.lease_moment(tx)
        while True:
            async with self._database.read() as tx:
                condemned = await blob_rows.condemned(tx, store_id, moment)
            if not condemned:
                return
            for blob in condemned:
                if not await self._intake.claim_condemned(blob):
                    continue
                try:
                    await self._intake.discard(blob)
                except TintypeError as error:
                    self._log.warning("blob was not deleted", blob_id=blob.id, reason=reason_of(error))
                    if isinstance(error, Unavailable):
                        return  # each of its blobs would be waited for as long

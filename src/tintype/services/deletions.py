"""Deleting the bytes of condemned blobs, by the one process that has claimed the blob."""

import asyncio
import time
import uuid
from collections.abc import Callable
from typing import Final

from tintype.blobs.base import BlobStore
from tintype.db import blobs as blob_rows
from tintype.db import deletions as rows
from tintype.db.engine import Database, fetch
from tintype.domain.blobs import CONDEMNED, Blob
from tintype.errors import Gone, TintypeError
from tintype.services.leases import heartbeat

_LEASE: Final = 20_000_000
"""Microseconds for which a claim lasts without a renewal."""
_HEARTBEAT_SECONDS: Final = 5.0
_PATIENCE_SECONDS: Final = 8.0
_LOOK_SECONDS: Final = 0.2


class Deletions:
    """Deletes condemned blobs, for sweepers and for writers that undo their own work."""

    def __init__(self, database: Database, store: Callable[[str | None], BlobStore]) -> None:
        """`store` returns the store with a name."""
        self._database = database
        self._store = store

    async def claim_and_delete(self, blob: Blob) -> bool:
        """Delete the bytes of a condemned blob, then its row; return False if it cannot be claimed.

        A heartbeat renews the claim; if it is lost, the deletion is cancelled with Gone. If the bytes cannot
        be deleted, the claim is released and the store's error is raised.
        """
        name = str(uuid.uuid4())
        async with self._database.write(single=True) as tx:
            if not await rows.claim(tx, blob.id, name, _LEASE):
                return False
        try:
            await self._delete(blob, name)
        except Exception:
            async with self._database.write(single=True) as tx:
                await rows.postpone(tx, blob.id, name)
            raise
        async with self._database.write(single=True) as tx:
            await rows.remove(tx, blob.id, name)
        return True

    async def _delete(self, blob: Blob, name: str) -> None:
        """Delete the bytes and renew the claim meanwhile. Raises Gone if it is lost."""

        async def renew() -> TintypeError | None:
            async with self._database.write(single=True) as tx:
                mine = await rows.renew(tx, blob.id, name, _LEASE)
            return None if mine else Gone("The claim was lost to another process.")

        async with heartbeat(renew, _HEARTBEAT_SECONDS):
            await self._store(blob.store).delete(blob.key)

    async def delete_own(self, blob: Blob) -> None:
        """Delete what this process has written of a blob that is condemned or whose row is gone.

        Another process may delete the bytes before the last ones are written, so wait until it is done, for
        a few seconds at most.
        """
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            known = await fetch(self._database, blob_rows.get, blob.id)
            if known is None:
                await self._store(blob.store).delete(blob.key)
                return
            if known.state != CONDEMNED or await self.claim_and_delete(blob):
                return
            if time.monotonic() > deadline:
                return
            await asyncio.sleep(_LOOK_SECONDS)

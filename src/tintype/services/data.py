"""An image's bytes in one request: PUT, and staging bytes for an import. Both are runs of the ingest engine.

The transaction that reserves the blobs claims the image (`queued` → `saving`, or `uploading` for a stage).
The one that completes them makes it `active`, or ready to be imported. On failure the image goes back to
`queued` with the reason.
"""

import uuid
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

from tintype.blobs.stream import Digests, Source
from tintype.db import images as image_rows
from tintype.db.engine import Database, Transaction, fetch
from tintype.domain import quotas
from tintype.domain.blobs import Blob
from tintype.domain.callers import Caller
from tintype.domain.images import SAVING, UPLOADING
from tintype.services.access import ImageAccess
from tintype.services.ingest import Ingest, IngestAdapter, Reservation, release_image
from tintype.services.quotas import Slots, enforce_quota, quota_turn

UNINSPECTED: Final = '{"inspected":false}'
"""Metadata of staged bytes that were not inspected because plugins will change them first."""


class ImageData:
    """The use cases: upload and stage."""

    def __init__(self, database: Database, access: ImageAccess, ingest: Ingest, slots: Slots) -> None:
        self._database = database
        self._access = access
        self._ingest = ingest
        self._slots = slots

    async def upload(
        self,
        caller: Caller,
        image_id: str,
        source: Source,
        *,
        size: int | None,
        store_id: str | None,
        expected: dict[str, str],
    ) -> None:
        """Fill a queued image with the bytes of `source`, all or none.

        The caller declares `size` and `expected` (hex digests by algorithm), and may choose the store. Raises
        Conflict if the image is not queued, TooManyAttempts if the project has too many uploads running, and
        whatever `Ingest.run` raises.
        """
        blob = Blob(str(uuid.uuid4()), self._ingest.store(store_id).id, image_id.lower())
        adapter = _WholeUpload(self._access, self._ingest, caller, SAVING, size)
        with self._slots.hold(caller):
            await self._ingest.run(adapter, [blob], source, size, expected)

    async def stage(
        self,
        caller: Caller,
        image_id: str,
        source: Source,
        *,
        size: int | None,
        expected: dict[str, str],
    ) -> None:
        """Store bytes for a later import; the image stays `uploading`."""
        metadata = None if self._ingest.adopts else UNINSPECTED
        blob = Blob(str(uuid.uuid4()), self._ingest.store(None).id, image_id.lower(), metadata=metadata)
        adapter = _WholeUpload(self._access, self._ingest, caller, UPLOADING, size)
        with self._slots.hold(caller):
            await self._ingest.run(adapter, [blob], source, size, expected)

    def check_slots(self, caller: Caller) -> None:
        """Raise TooManyAttempts if the caller's project has too many uploads running."""
        self._slots.check(caller)

    async def room(self, caller: Caller) -> int:
        """Return how many bytes an image may have within the quota of the caller's project."""
        most = self._ingest.limits.size
        if caller.quota == quotas.NO_LIMITS or caller.project_id is None:
            return most
        usage = await fetch(self._database, image_rows.usage, caller.project_id)
        return quotas.room(caller.quota.image_size_total, usage.stored, most)


class _WholeUpload(IngestAdapter):
    """The adapter of PUT (the image becomes `saving`) and of stage (`uploading`)."""

    def __init__(
        self, access: ImageAccess, ingest: Ingest, caller: Caller, status: str, size: int | None
    ) -> None:
        self.turn = quota_turn(caller)
        self._access = access
        self._ingest = ingest
        self._caller = caller
        self._status = status
        self._size = size
        self._limits = quotas.STORE if status == SAVING else quotas.STAGE
        self._owner: str | None = None

    async def reserve(self, tx: Transaction, blobs: Sequence[Blob]) -> Reservation:
        """Claim the image with its current formats, which decide how the bytes are inspected."""
        image = await self._access.get_locked(tx, self._caller, blobs[0].image_id)
        rule = "upload_image" if self._status == SAVING else "modify_image"
        self._access.authorize(rule, self._caller, image)
        await self._ingest.claim(tx, image, self._status)
        limit = await self._ingest.reserve(tx, self._caller, image, blobs, self._size, self._limits)
        self._owner = image.owner
        return Reservation(image, limit, inspect=self._status == SAVING or self._ingest.adopts)

    async def complete(self, tx: Transaction, blobs: Sequence[Blob], digests: Digests) -> None:
        """Make the image active, or ready to be imported; enforce the quota if no size was declared."""
        await self._ingest.complete(tx, blobs[0], digests, self._status)
        if self._size is None:
            await enforce_quota(tx, self._caller, self._owner, self._limits)

    async def roll_back(self, tx: Transaction, blobs: Sequence[Blob], reason: str) -> None:
        """Set the image back to queued."""
        await release_image(tx, blobs, reason)

    def lease(self, blobs: Sequence[Blob]) -> AbstractAsyncContextManager[None]:
        """Renew the blob's own lease."""
        return self._ingest.leases.keep_alive(blobs)

"""Imports and copies as runs of the ingest engine, into all stores at once, under the lease of an attempt.

The attempt's own heartbeat renews the leases of the blobs being written, and the worker releases the image
if the attempt fails; neither happens here.
"""

from collections.abc import Sequence
from contextlib import AsyncExitStack

import msgspec

from tintype.blobs.stream import Digests
from tintype.db import blobs as blob_rows
from tintype.db import images as image_rows
from tintype.db.engine import Transaction, now
from tintype.domain import images, quotas
from tintype.domain.blobs import CONDEMNED, READY, STAGED, WRITING, Blob
from tintype.domain.images import ACTIVE, Image
from tintype.domain.imports import COPY, Import
from tintype.domain.sizes import size_text
from tintype.domain.stores import in_order
from tintype.errors import Gone, Invalid, TintypeError
from tintype.jobs.attempts import DELETED, LOST, Attempt
from tintype.services.copies import Copies
from tintype.services.ingest import Ingest, IngestAdapter, Reservation
from tintype.services.quotas import enforce_quota, quota_turn


class Staged(msgspec.Struct, frozen=True):
    """Bytes that wait for their import."""

    blob: Blob
    size: int
    digests: Digests


class ImportPlan(msgspec.Struct, frozen=True):
    """What an attempt decides before the first byte."""

    wanted: Import
    stores: Sequence[str]
    """The stores to write to."""
    staged: Staged | None
    adopted: bool
    """Whether the staged bytes become the image's data in place."""
    formats: tuple[str | None, str | None]
    properties: dict[str, str] = {}
    """Properties set by the source and the plugins, in addition to the image's."""
    size: int | None = None


class ImportAdapter(IngestAdapter):
    """The adapter of one attempt at an import. A store that fails ends it, or is left out."""

    patience = 2.0  # so that the progress of a slow source is visible
    retries = (1.0, 3.0, 9.0)

    def __init__(
        self, ingest: Ingest, copies: Copies, attempt: Attempt, plan: ImportPlan, source: AsyncExitStack
    ) -> None:
        """`source` closes the source of the bytes and deletes temporary files."""
        self.turn = quota_turn(attempt.caller)
        self.failures: dict[str, TintypeError] = {}
        """Errors of the stores that were left out, by store."""
        self._ingest = ingest
        self._copies = copies
        self._attempt = attempt
        self._plan = plan
        self._source = source

    async def reserve(self, tx: Transaction, blobs: Sequence[Blob]) -> Reservation:
        """Add the rows of the blobs. Raises Gone if the image was deleted or the job is lost."""
        attempt = self._attempt
        image = await image_rows.get(tx, attempt.task.image_id or "", None, lock=True)
        if image is None:
            raise Gone(DELETED)
        await attempt.check(tx)
        limit = await self._ingest.reserve(tx, attempt.caller, image, blobs, self._plan.size, quotas.STORE)
        return Reservation(self._with_formats(image), limit)

    async def complete(self, tx: Transaction, blobs: Sequence[Blob], digests: Digests) -> None:
        """End the job, complete the blobs and make the image active. Raises Gone if it is too late.

        Adopted staged bytes become the image's data in place.
        """
        task, names = self._attempt.task, [blob.store for blob in blobs]
        image = await image_rows.get(tx, task.image_id or "", None, lock=True)
        if image is None or image.import_task != task.id:
            raise Gone(DELETED)
        self._attempt.progress(digests.size)
        await self._attempt.succeed(tx, {"image_id": image.id}, self._message(names, digests.size))
        text = msgspec.json.encode(digests).decode()
        for blob in blobs:
            if not await blob_rows.complete(tx, blob.id, READY, size=digests.size, digests=text, until=0):
                raise Gone(LOST)
        await blob_rows.condemn_some_of(tx, image.id, WRITING)  # in stores that were left out
        if self._plan.staged is not None:
            names += await self._end_staging(tx, self._plan.staged)
        copy = self._plan.wanted.method == COPY
        before = image.stores if copy else ()  # else they are those of a location that failed
        after = msgspec.structs.replace(
            self._with_formats(image),
            properties={**image.properties, **self._plan.properties},
            stores=in_order((*before, *names), self._copies.infos),
            importing_to="",
            import_failed=",".join(self.failures),
            import_task=None,
            failure=None,
            updated_at=max(now(), image.updated_at),
        )
        if not copy:
            self._ingest.signatures.accept(after)
            after = images.changed_status(after, ACTIVE, **msgspec.structs.asdict(digests))
        await image_rows.save(tx, image, after)
        await enforce_quota(tx, self._attempt.caller, image.owner, quotas.STORE)

    def leaves_out(self, blob: Blob, error: TintypeError) -> bool:
        """Continue without a store unless all must succeed or none is left."""
        self.failures[blob.store] = error
        spare = self._plan.adopted or self._plan.wanted.method == COPY  # the image has a copy anyway
        alone = len(self.failures) == len(self._plan.stores) and not spare
        return not (self._plan.wanted.must_succeed or alone)

    async def close_source(self) -> None:
        """Close the source."""
        await self._source.aclose()

    def progress(self, count: int) -> None:
        """Report the progress of the job."""
        self._attempt.progress(self._attempt.task.bytes_done + count)

    def _message(self, names: Sequence[str], size: int) -> str:
        message = f"Copied {size_text(size)} to {', '.join(names)}." if names else ""
        return message + "".join(f" Not copied to {name}: {error}" for name, error in self.failures.items())

    def _with_formats(self, image: Image) -> Image:
        disk_format, container_format = self._plan.formats
        return msgspec.structs.replace(image, disk_format=disk_format, container_format=container_format)

    async def _end_staging(self, tx: Transaction, staged: Staged) -> list[str]:
        """Adopt staged bytes, or condemn them; return their store if adopted."""
        adopted = self._plan.adopted
        if not await blob_rows.move(tx, staged.blob.id, STAGED, READY if adopted else CONDEMNED):
            raise Invalid("The staged bytes are gone; stage them again.")
        return [staged.blob.store] if adopted else []

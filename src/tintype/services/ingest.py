"""The ingest engine: how bytes become the data of an image, wherever they come from.

`Ingest.run` has the steps in order: open a writer in each store, reserve (one short transaction), stream
once through the digest pipeline into all stores, commit, complete (one short, durable transaction); or undo.
No transaction is open while bytes move. An `IngestAdapter` has what differs: the one of PUT and stage is in
`services/data.py`, the one of imports and copies in `jobs/imports.py`.

Two callers share only some steps. The last chunk of a resumable upload (`services/uploads.py`) uses `claim`,
`commit` and `complete`, because its bytes have arrived over many requests, and because after a failure the
upload can be retried where a run would delete the bytes. Locations (`jobs/locations.py`) are bytes that
others wrote: they only pass through the digest pipeline.

If the process dies, `services/recovery.py` undoes the run once its lease has expired.
"""

import abc
import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

import msgspec
import structlog

from tintype.blobs.base import BlobStore, Writer
from tintype.blobs.cancellation import shielded
from tintype.blobs.stream import DigestPipeline, Digests, SizeCheckedSource, Source
from tintype.db import blobs as blob_rows
from tintype.db import images as image_rows
from tintype.db.engine import Database, Transaction, now
from tintype.domain import images, quotas
from tintype.domain.blobs import CONDEMNED, READY, STAGED, Blob
from tintype.domain.callers import Caller
from tintype.domain.images import ACTIVE, FILLING, QUEUED, UPLOADING, Image, Limits
from tintype.errors import Gone, Invalid, NotFound, OverLimit, TintypeError, Unavailable
from tintype.formats import inspector_for
from tintype.services.access import contended
from tintype.services.deletions import Deletions
from tintype.services.leases import LEASE, BlobLeases
from tintype.services.quotas import enforce_quota
from tintype.services.signatures import Signatures

STAGED_LIFETIME: Final = 7 * 24 * 3600 * 1_000_000
"""Microseconds for which staged bytes wait for their import."""
RollBack = Callable[[Transaction, Sequence[Blob], str], Awaitable[None]]


class Reservation(msgspec.Struct, frozen=True):
    """What was decided at the reservation, for the whole run."""

    image: Image
    """The claimed image; its formats decide how the bytes are inspected."""
    limit: int
    """The largest number of bytes allowed."""
    inspect: bool = True


class IngestAdapter(abc.ABC):
    """The steps of a run that differ between the sources of bytes."""

    turn: str | None = None
    """The turn that serializes its transactions with others counted against the same quota."""
    patience: float = 60.0
    """Seconds for which bytes of a slow source may be buffered before they are written."""
    retries: Sequence[float] = ()
    """Seconds before each retry of `complete` while the database does not answer."""

    @abc.abstractmethod
    async def reserve(self, tx: Transaction, blobs: Sequence[Blob]) -> Reservation:
        """Authorize, claim the image, and add the rows of the blobs (`Ingest.reserve`)."""

    @abc.abstractmethod
    async def complete(self, tx: Transaction, blobs: Sequence[Blob], digests: Digests) -> None:
        """Make the bytes the image's data, all at once. Raises Gone if it is too late."""

    async def roll_back(self, tx: Transaction, blobs: Sequence[Blob], reason: str) -> None:  # noqa: B027
        """Release the image in the transaction that condemns the blobs. Does nothing by default."""

    def lease(self, blobs: Sequence[Blob]) -> AbstractAsyncContextManager[None]:  # noqa: ARG002
        """Renew the blobs' leases while the body runs. Does nothing by default."""
        return contextlib.nullcontext()

    def leaves_out(self, blob: Blob, error: TintypeError) -> bool:  # noqa: ARG002 (for those that override)
        """Return whether the run continues without a store that has failed."""
        return False

    async def close_source(self) -> None:  # noqa: B027 (most have none to close)
        """Close the source once all bytes are in the stores, before the run is completed."""

    def progress(self, count: int) -> None:  # noqa: B027 (most report none)
        """Report that `count` more bytes have been written to every store."""


class Ingest:
    """The engine and its common steps. `stores` begins with the default one."""

    def __init__(
        self,
        database: Database,
        limits: Limits,
        stores: Mapping[str, BlobStore],
        *,
        algorithm: str,
        tolerated: frozenset[str],
        adopts: bool,
        signatures: Signatures,
        log: structlog.typing.FilteringBoundLogger,
    ) -> None:
        """Failures of `tolerated` format checks are only logged.

        `adopts` says whether staged bytes become the image's unchanged, because no plugins are set.
        """
        self.limits = limits
        self.stores = stores
        self.signatures = signatures
        self.adopts = adopts
        self.deletions = Deletions(database, self.store)
        self.leases = BlobLeases(database)
        self._database = database
        self._algorithm = algorithm
        self._tolerated = tolerated
        self._log = log

    async def run(
        self,
        adapter: IngestAdapter,
        blobs: Sequence[Blob],
        source: Source,
        size: int | None,
        expected: Mapping[str, str],
    ) -> None:
        """Write the bytes of `source` to the stores of `blobs` and make them the image's data, all or none.

        `size` is their declared number, or None; `expected` are hex digests by algorithm. Raises Gone if the
        image is deleted meanwhile, UnsupportedMedia if the bytes do not have the image's format, OverLimit if
        there are too many, Invalid if they differ from what was declared, and the errors of the stores. A
        run that is complete when the task is cancelled is kept.
        """
        self.check_size(size)
        writers, reserved = _Writers(self, adapter, blobs), list[Blob]()
        try:
            await writers.open(size)
            reserved = writers.blobs
            async with self._database.write(turn=adapter.turn) as tx:
                reservation = await adapter.reserve(tx, reserved)
            async with adapter.lease(reserved):
                pipeline = self.pipeline(reservation.image, expected, inspect=reservation.inspect)
                checked = SizeCheckedSource(source, size, reservation.limit)
                await pipeline.run(checked, writers.write, size, adapter.patience)
                digests = pipeline.finish()
                await writers.commit()
                await writers.close()  # before the end of the job is stored, which ends its lease
                await adapter.close_source()
                await self.finish(adapter, writers.blobs, digests)
        except BaseException as error:
            await shielded(self._abort(adapter, writers, reserved, error))
            raise

    async def finish(self, adapter: IngestAdapter, blobs: Sequence[Blob], digests: Digests) -> None:
        """Complete a run in its durable transaction, with the adapter's retries."""
        for pause in (*adapter.retries, None):
            try:
                async with self._database.write(durable=True, turn=adapter.turn) as tx:
                    await adapter.complete(tx, blobs, digests)
            except Unavailable:
                if pause is None:
                    raise
                await asyncio.sleep(pause)
            else:
                return

    async def _abort(
        self, adapter: IngestAdapter, writers: "_Writers", reserved: Sequence[Blob], error: BaseException
    ) -> None:
        try:
            await writers.close()
        finally:
            if reserved:
                await self.undo(reserved, error, adapter.roll_back, writers.failures)

    async def undo(
        self,
        blobs: Sequence[Blob],
        error: BaseException,
        roll_back: RollBack,
        failures: Mapping[str, BaseException],
    ) -> None:
        """Condemn the incomplete ones of an image's blobs, release the image, and delete the bytes.

        The image's lock waits for a commit whose answer was lost; blobs that it completed are kept. Bytes
        that cannot be deleted now are left to the sweeper, as are those in stores that do not answer
        (`failures`). If the database does not answer, the sweeper does all of it once the leases expire.
        """
        with contextlib.suppress(TintypeError):
            async with self._database.write() as tx:
                await image_rows.lock(tx, blobs[0].image_id)
                given_up = [blob for blob in blobs if await blob_rows.condemn(tx, blob.id)]
                if given_up:
                    await roll_back(tx, blobs, reason_of(error))
                left = [blob for blob in blobs if blob in given_up or await _is_condemned(tx, blob)]
            for blob in left:
                if not isinstance(failures.get(blob.store), Unavailable):
                    with contextlib.suppress(TintypeError):
                        await self.deletions.delete_own(blob)

    def store(self, store_id: str | None) -> BlobStore:
        """Return the store with an id, or the default one for None. Raises Invalid for an unknown id."""
        if store_id is None:
            return next(iter(self.stores.values()))
        if store_id not in self.stores:
            raise Invalid(f"Store '{store_id}' does not exist. There are: {', '.join(self.stores)}.")
        return self.stores[store_id]

    def check_size(self, size: int | None) -> None:
        """Raise OverLimit if the declared size is too large."""
        if size is not None and size > self.limits.size:
            raise OverLimit(f"The incoming image is too large: at most {self.limits.size} bytes are allowed.")

    def pipeline(
        self, image: Image, expected: Mapping[str, str], algorithm: str | None = None, *, inspect: bool = True
    ) -> DigestPipeline:
        """Create the digest pipeline for the bytes of an image; `algorithm` overrides the settings.

        Bytes that plugins will change first need no inspection.
        """

        def warn(finding: str) -> None:
            self._log.warning("format check", image_id=image.id, finding=finding)

        formats = (image.disk_format, image.container_format)
        inspector = inspector_for(*formats, self._tolerated, warn) if inspect else None
        return DigestPipeline(
            inspector, formats=formats, algorithm=algorithm or self._algorithm, expected=expected
        )

    async def claim(self, tx: Transaction, image: Image, status: str) -> None:
        """Claim an image for one upload.

        Raises Conflict if another claimed it first, Invalid if it is signed and may not be filled.
        """
        taken = images.changed_status(image, status, updated_at=now())
        if images.is_signed(image.properties):
            (self.signatures.check if status == UPLOADING else self.signatures.accept)(image)
        if not await image_rows.save(tx, image, taken):
            raise contended(image.id)

    async def reserve(
        self,
        tx: Transaction,
        caller: Caller,
        image: Image,
        blobs: Sequence[Blob],
        size: int | None,
        names: Sequence[str],
    ) -> int:
        """Add the rows of blobs to be written; return how many bytes each may have.

        Without a declared size, the rest of the quota is the limit. Raises OverLimit if one of the named
        quotas is exceeded.
        """
        moment, copies = now(), max(1, len(blobs))
        for blob in blobs:
            await blob_rows.begin(tx, blob, now=moment, lease=LEASE, size=size)
        usage = await enforce_quota(tx, caller, image.owner, names)
        if usage is None or size is not None:
            return self.limits.size
        limit, used = caller.quota.image_size_total, usage.stored
        if names == quotas.STAGE:
            limit, used = caller.quota.image_stage_total, usage.staged
        return quotas.room(limit, used, self.limits.size * copies) // copies

    async def commit(self, blob: Blob, writer: Writer) -> None:
        """Make the bytes durable. Raises Gone if they were deleted meanwhile."""
        try:
            await writer.commit()
        except NotFound:  # by a sweeper: the lease had expired, or the image was deleted
            raise Gone(f"The upload of image {blob.image_id} was aborted meanwhile; try again.") from None

    async def complete(self, tx: Transaction, blob: Blob, digests: Digests, status: str) -> None:
        """Make the bytes the data of the image that `claim` has claimed, in a durable transaction."""
        moment, staged = now(), status == UPLOADING
        text = msgspec.json.encode(digests).decode()
        values = {"size": digests.size} if staged else msgspec.structs.asdict(digests)
        change = ((status,), UPLOADING if staged else ACTIVE)
        stores = () if staged else (blob.store,)
        until = moment + STAGED_LIFETIME if staged else 0
        state = STAGED if staged else READY
        done = await image_rows.set_status(
            tx, blob.image_id, change, moment, stores=stores, **values
        ) and await blob_rows.complete(tx, blob.id, state, size=digests.size, digests=text, until=until)
        if not done:
            raise Gone(f"Image {blob.image_id} was deleted during the upload; the bytes are not kept.")


class _Writers:
    """A writer in each store of a run. A store that fails ends the run, or is left out."""

    def __init__(self, ingest: Ingest, adapter: IngestAdapter, blobs: Sequence[Blob]) -> None:
        self.failures: dict[str, TintypeError] = {}
        """By store."""
        self._ingest = ingest
        self._adapter = adapter
        self._blobs = blobs
        self._writers: dict[str, Writer] = {}

    @property
    def blobs(self) -> list[Blob]:
        """The blobs in stores that have not failed."""
        return [blob for blob in self._blobs if blob.store not in self.failures]

    async def open(self, size: int | None) -> None:
        """Open a writer in each store. Raises OverLimit if one has no room."""

        async def create(blob: Blob) -> None:
            self._writers[blob.store] = await self._ingest.store(blob.store).create(blob.id, size)

        for blob in self.blobs:
            await self._attempt(blob, create(blob))

    async def write(self, data: memoryview) -> None:
        """Append bytes to every store."""
        await _all_of(self._attempt(blob, self._writers[blob.store].write(data)) for blob in self.blobs)
        self._adapter.progress(len(data))

    async def commit(self) -> None:
        """Make the bytes durable in every store."""
        await _all_of(
            self._attempt(blob, self._ingest.commit(blob, self._writers[blob.store])) for blob in self.blobs
        )

    async def close(self) -> None:
        """Close all writers, whatever their state."""
        await _all_of(writer.close() for writer in self._writers.values())

    async def _attempt(self, blob: Blob, work: Awaitable[None]) -> None:
        try:
            await work
        except Gone:
            raise
        except TintypeError as error:
            self.failures[blob.store] = error
            if not self._adapter.leaves_out(blob, error):
                raise


async def release_image(tx: Transaction, blobs: Sequence[Blob], reason: str) -> None:
    """Set an image that was claimed with `claim` back to queued, with the reason for its owner."""
    await image_rows.set_status(tx, blobs[0].image_id, (FILLING, QUEUED), now(), size=None, failure=reason)


def reason_of(error: BaseException) -> str:
    """Return the reason of a failed upload for the image's owner."""
    if isinstance(error, TintypeError):
        return error.message
    if isinstance(error, asyncio.CancelledError):
        return "The server was stopped during the upload."
    return "Something went wrong in the server during the upload."


async def _is_condemned(tx: Transaction, blob: Blob) -> bool:
    """End a blob's lease; return whether its bytes may be deleted: it is condemned or has no row."""
    await blob_rows.end_lease(tx, blob.id)
    stored = await blob_rows.get(tx, blob.id)
    return stored is None or stored.state == CONDEMNED


async def _all_of(work: Iterable[Awaitable[None]]) -> None:
    """Wait until all are done, then raise the first failure; run a single one in this task."""
    pending = list(work)
    if len(pending) == 1:
        return await pending[0]
    for result in await asyncio.gather(*pending, return_exceptions=True):
        if result is not None:
            raise result
    return None

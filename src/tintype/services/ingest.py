"""The ingest engine: how bytes become an image's, whatever way they come.

`Ingest.run` is that, top to bottom: open a writer in each store, reserve (one short transaction), stream
once through the digest pipeline into all stores, commit, complete (one short, durable transaction); or undo.
No transaction is open while bytes move. What differs between the ways is an `IngestAdapter`: that of PUT
and stage is in `services/data.py`, that of imports and copies in `jobs/import_adapter.py`.

Two ways share only steps of it. The end of a resumable upload (`services/uploads.py`) takes the image and
completes it with `claim`, `commit` and `complete`; but its bytes have arrived over many requests before, and
a failure puts the upload back to be tried again where a run would delete the bytes. Locations
(`jobs/locations.py`) are bytes that others wrote: they only pass through the digest pipeline.

Where the process dies, `services/recovery.py` undoes the run once its lease has expired.
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
    """What was decided when the bytes were reserved; it holds for the whole run."""

    image: Image
    """As it is while its bytes come: its formats say how they are inspected."""
    limit: int
    """How many bytes there may be."""
    inspect: bool = True


class IngestAdapter(abc.ABC):
    """What one way of bringing bytes does at each step of a run."""

    turn: str | None = None
    """The turn that its transactions take with others that count against the same quota."""
    patience: float = 60.0
    """Seconds for which the bytes of a slow source may wait to be written."""
    retries: Sequence[float] = ()
    """Seconds before each further try of `complete` while the database does not answer."""

    @abc.abstractmethod
    async def reserve(self, tx: Transaction, blobs: Sequence[Blob]) -> Reservation:
        """Authorize, take the image, and add the rows of the blobs (`Ingest.reserve`)."""

    @abc.abstractmethod
    async def complete(self, tx: Transaction, blobs: Sequence[Blob], digests: Digests) -> None:
        """Make the bytes the image's, all at once; raises Gone where it is too late."""

    async def roll_back(self, tx: Transaction, blobs: Sequence[Blob], reason: str) -> None:  # noqa: B027
        """Release the image, in the transaction that condemns the blobs; unless others do, as by default."""

    def lease(self, blobs: Sequence[Blob]) -> AbstractAsyncContextManager[None]:  # noqa: ARG002
        """Keep the blobs' leases alive while the body runs, unless a heartbeat outside does."""
        return contextlib.nullcontext()

    def leaves_out(self, blob: Blob, error: TintypeError) -> bool:  # noqa: ARG002 (for those that override)
        """Return whether the run goes on without a store that has failed."""
        return False

    async def close_source(self) -> None:  # noqa: B027 (most have none to close)
        """Release what the bytes came from, when all of them are in the stores and before they are shown."""

    def progress(self, count: int) -> None:  # noqa: B027 (most report none)
        """Note that so many more bytes are written in every store."""


class Ingest:
    """The engine, and the steps that its ways have in common. `stores` begins with the default one."""

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
        """Make it; format checks that are `tolerated` are logged where they fail.

        `adopts` says whether staged bytes become the image as they are, without plugins that change them.
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
        """Bring the bytes of `source` into the stores of `blobs`, and make them the image's; all, or none.

        `size` is their number where it is declared, `expected` are digests in hex by algorithm. Raises Gone
        where the image is deleted meanwhile, UnsupportedMedia where the bytes are not what the image says,
        OverLimit where there are too many, Invalid where they are not what was declared, and what the stores
        fail with. What was complete when the task was cancelled stays.
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
                await shielded(writers.close())  # before the end of the job is stored, which ends its lease
                await adapter.close_source()
                await self.finish(adapter, writers.blobs, digests)
        except BaseException as error:
            await shielded(self._abort(adapter, writers, reserved, error))
            raise

    async def finish(self, adapter: IngestAdapter, blobs: Sequence[Blob], digests: Digests) -> None:
        """Complete a run in its durable transaction, tried again where the adapter says so."""
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
        """Condemn those of an image's blobs that are not complete, release the image, delete the bytes.

        All under the image's lock: a commit whose answer was lost has come to its end by then, and what it
        made the image's stays. Bytes that cannot be deleted now are left to the sweeper, as are those in
        stores whose own failure (`failures`) was not to answer; where the database does not answer, it does
        all of this once the leases have expired.
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
        """Return the store of a name, or the default one; raises Invalid for a name that none has."""
        if store_id is None:
            return next(iter(self.stores.values()))
        if store_id not in self.stores:
            raise Invalid(f"Store '{store_id}' does not exist. There are: {', '.join(self.stores)}.")
        return self.stores[store_id]

    def check_size(self, size: int | None) -> None:
        """Raise OverLimit for a declared size that is too large."""
        if size is not None and size > self.limits.size:
            raise OverLimit(f"The incoming image is too large: at most {self.limits.size} bytes are allowed.")

    def pipeline(
        self, image: Image, expected: Mapping[str, str], algorithm: str | None = None, *, inspect: bool = True
    ) -> DigestPipeline:
        """Make the pipeline for the bytes of an image; `algorithm` in place of the one in the settings.

        Bytes that plugins will change first need not be inspected.
        """

        def warn(finding: str) -> None:
            self._log.warning("format check", image_id=image.id, finding=finding)

        formats = (image.disk_format, image.container_format)
        inspector = inspector_for(*formats, self._tolerated, warn) if inspect else None
        return DigestPipeline(
            inspector, formats=formats, algorithm=algorithm or self._algorithm, expected=expected
        )

    async def claim(self, tx: Transaction, image: Image, status: str) -> None:
        """Take an image for one upload.

        Raises Conflict where another was faster, Invalid where the image is signed and may not be filled.
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
        """Add the rows of blobs to be written, and return how many bytes each of them may have.

        Raises OverLimit where a quota of these names is exceeded. Where the size is not declared, what is
        left of the quota is the limit.
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
        """Make the bytes durable; raises Gone where they were deleted meanwhile."""
        try:
            await writer.commit()
        except NotFound:  # by a sweeper: the lease had expired, or the image was deleted
            raise Gone(f"The upload of image {blob.image_id} was given up meanwhile; try again.") from None

    async def complete(self, tx: Transaction, blob: Blob, digests: Digests, status: str) -> None:
        """Give the image the bytes for which it was taken with `claim`, in a durable transaction."""
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
    """A writer in each store of a run. A store that fails ends the run, or is left out of it."""

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
        """Begin to write in each store; raises OverLimit where one has no room."""

        async def create(blob: Blob) -> None:
            self._writers[blob.store] = await self._ingest.store(blob.store).create(blob.id, size)

        for blob in self.blobs:
            await self._attempt(blob, create(blob))

    async def write(self, data: memoryview) -> None:
        """Append bytes in every store."""
        await _all_of(self._attempt(blob, self._writers[blob.store].write(data)) for blob in self.blobs)
        self._adapter.progress(len(data))

    async def commit(self) -> None:
        """Make the bytes durable in every store."""
        await _all_of(
            self._attempt(blob, self._ingest.commit(blob, self._writers[blob.store])) for blob in self.blobs
        )

    async def close(self) -> None:
        """Let go of every store, whatever has become of the writers."""
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
    """Put the image back to queued that was taken with `claim`, with the reason for its owner."""
    await image_rows.set_status(tx, blobs[0].image_id, (FILLING, QUEUED), now(), size=None, failure=reason)


def reason_of(error: BaseException) -> str:
    """Return what the image's owner is told of a failed upload."""
    if isinstance(error, TintypeError):
        return error.message
    if isinstance(error, asyncio.CancelledError):
        return "The server was stopped during the upload."
    return "Something went wrong in the server during the upload."


async def _is_condemned(tx: Transaction, blob: Blob) -> bool:
    """End the lease on a condemned blob, and return whether its bytes may go; without a row they may."""
    await blob_rows.end_lease(tx, blob.id)
    stored = await blob_rows.get(tx, blob.id)
    return stored is None or stored.state == CONDEMNED


async def _all_of(work: Iterable[Awaitable[None]]) -> None:
    """Wait until all have ended, then raise the first failure; a single one runs in this task."""
    pending = list(work)
    if len(pending) == 1:
        return await pending[0]
    for result in await asyncio.gather(*pending, return_exceptions=True):
        if result is not None:
            raise result
    return None

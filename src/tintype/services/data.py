"""Bytes into images.

An upload, in order: authorise → `queued → saving` with a blob `writing` under a lease (one short
transaction) → stream → blob `ready`, `saving → active` (one short transaction). Whatever fails in
between, the image goes back to `queued` with the reason and the blob is condemned; where the process
dies, the sweeper does that when the lease is over. No transaction is open while bytes move.
"""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Final

import msgspec
import structlog

from tintype.blobs.base import BlobStore, Writer
from tintype.blobs.ends import to_the_end
from tintype.blobs.stream import Digests, Exactly, Pass, Source
from tintype.db import blobs as blob_rows
from tintype.db import images as image_rows
from tintype.db import uploads as upload_rows
from tintype.db.blobs import Blob
from tintype.db.engine import Database, Transaction
from tintype.domain import images, quotas
from tintype.domain.callers import Caller
from tintype.domain.images import ACTIVE, FILLING, QUEUED, SAVING, UPLOADING, Image, Limits
from tintype.errors import Gone, Invalid, NotFound, OverLimit, TintypeError, Unavailable
from tintype.formats import inspector_for
from tintype.policy.engine import Policy
from tintype.services.deletions import Deletions
from tintype.services.images import Gate, contended, hold_to_quota, now, quota_turn
from tintype.services.signatures import Signatures

LEASE: Final = 20_000_000
"""Microseconds for which an upload holds its image without a sign of life."""
HEARTBEAT_SECONDS: Final = 5.0
_RETRY_SECONDS: Final = 1.0
"""Until a sign of life is given again which the database did not take."""
STAGED_LIFETIME: Final = 7 * 24 * 3600 * 1_000_000
"""Microseconds for which staged bytes wait for their import."""
UNINSPECTED: Final = '{"inspected":false}'
"""Noted with staged bytes that were not looked at: plugins will make others of them."""
_QUOTAS: Final = {SAVING: quotas.STORE, UPLOADING: quotas.STAGE}
_LOST: Final = "The server process that received the upload ended before the upload did. Send it again."
_STALE: Final = "The staged data was not imported within 7 days. Stage it again."


class Intake:
    """What all ways of bringing bytes have in common. `stores` begins with the default one."""

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
        """Make it; format checks that are `tolerated` are noted in the log where they fail.

        `adopts` says whether staged bytes become the image as they are: plugins make others of them.
        """
        self.limits = limits
        self.stores = stores
        self.signatures = signatures
        self.deletions = Deletions(database, self.store)
        self._database = database
        self._algorithm = algorithm
        self.adopts = adopts
        self._tolerated = tolerated
        self._log = log
        self._alive: set[str] = set()
        """Blobs that requests of this process are writing."""

    def store(self, store_id: str | None) -> BlobStore:
        """Give the store of a name, or the default one."""
        if store_id is None:
            return next(iter(self.stores.values()))
        if store_id not in self.stores:
            raise Invalid(f"Store '{store_id}' does not exist. There are: {', '.join(self.stores)}.")
        return self.stores[store_id]

    def check_size(self, size: int | None) -> None:
        """Refuse what is declared to be too large."""
        if size is not None and size > self.limits.size:
            raise OverLimit(f"The incoming image is too large: at most {self.limits.size} bytes are allowed.")

    def look(
        self, image: Image, expected: dict[str, str], algorithm: str | None = None, *, inspect: bool = True
    ) -> Pass:
        """Begin to look at the bytes of an image; `algorithm` in place of the one in the settings.

        Bytes that are not the image's yet need not be inspected.
        """

        def warn(finding: str) -> None:
            self._log.warning("format check", image_id=image.id, finding=finding)

        formats = (image.disk_format, image.container_format)
        inspector = inspector_for(*formats, self._tolerated, warn) if inspect else None
        return Pass(inspector, formats=formats, algorithm=algorithm or self._algorithm, expected=expected)

    async def claim(self, tx: Transaction, image: Image, status: str, moment: int) -> None:
        """Take an image for one upload.

        Raises Conflict where another was faster, Invalid where the image is signed and may not be filled.
        """
        taken = images.changed_status(image, status, updated_at=moment)
        if images.is_signed(image.properties):
            (self.signatures.check if status == UPLOADING else self.signatures.accept)(image)
        if not await image_rows.save(tx, image, taken):
            raise contended(image.id)

    async def commit(self, blob: Blob, writer: Writer) -> None:
        """Make the bytes durable; raises Gone where they were taken away meanwhile."""
        try:
            await writer.commit()
        except NotFound:  # a sweeper took them: the lease was over, or the image deleted
            raise Gone(f"The upload of image {blob.image_id} was given up meanwhile; try again.") from None

    async def finish(self, tx: Transaction, blob: Blob, digests: Digests, status: str) -> None:
        """Give an image the bytes it was taken for, in a durable transaction."""
        moment = now()
        text = msgspec.json.encode(digests).decode()
        staged = status == UPLOADING
        state = blob_rows.STAGED if staged else blob_rows.READY
        values = {"size": digests.size} if staged else msgspec.structs.asdict(digests)
        until = moment + STAGED_LIFETIME if staged else 0
        change = ((status,), UPLOADING if staged else ACTIVE)
        stores = () if staged else (blob.store,)
        done = await image_rows.set_status(
            tx, blob.image_id, change, moment, stores=stores, **values
        ) and await blob_rows.finish(tx, blob.id, state, size=digests.size, digests=text, until=until)
        if not done:
            raise Gone(f"Image {blob.image_id} was deleted during the upload; the bytes are not kept.")

    async def give_up(self, blob: Blob, error: BaseException) -> None:
        """Take an upload back, unless it was complete when its task was cancelled.

        The bytes go at once, except where a store that does not answer would be waited for once more.
        """
        async with self._database.write() as tx:
            await image_rows.lock(tx, blob.image_id)
            stored = await blob_rows.get(tx, blob.id)
            if stored is not None and stored.state in {blob_rows.READY, blob_rows.STAGED}:
                return
            if await blob_rows.condemn(tx, blob.id):
                await self.release(tx, blob, reason_of(error))
            else:
                await blob_rows.let_go(tx, blob.id)
        if not isinstance(error, Unavailable):
            with contextlib.suppress(TintypeError):  # the sweeper tries again
                await self.deletions.delete_own(blob)

    async def recover(self, blob: Blob, moment: int) -> bool:
        """Undo what nobody has been heard of about in time; False where another sweeper did.

        An upload that was being finished waits for its last byte instead. What this process writes itself is
        left to it, whatever the lease says, and so is what a request has of a resumable upload.
        """
        if blob.id in self._alive:
            return False
        async with self._database.write() as tx:
            await image_rows.lock(tx, blob.image_id)
            upload = None
            if blob.state != blob_rows.STAGED:
                upload = await upload_rows.get(tx, blob.image_id, blob.id)
            if upload is not None and blob.state == blob_rows.WRITING:  # died while it was finished: go on
                if await blob_rows.expire(tx, blob, blob_rows.PARTIAL, moment, upload.expires_at):
                    await self.release(tx, blob, _LOST)
                return False
            held = await upload_rows.lock(tx, blob.id)
            if held or not await blob_rows.expire(tx, blob, blob_rows.CONDEMNED, moment):
                return False
            await upload_rows.remove(tx, blob.id)
            if blob.state != blob_rows.PARTIAL:
                await self.release(tx, blob, _STALE if blob.state == blob_rows.STAGED else _LOST)
        self._log.warning("upload was abandoned", image_id=blob.image_id, blob_id=blob.id)
        return True

    @contextlib.asynccontextmanager
    async def lease(self, blob: Blob) -> AsyncIterator[None]:
        """Keep the lease alive; end the work inside with Gone when it is lost."""

        async def beat() -> TintypeError | None:
            async with self._database.write() as tx:
                mine = await blob_rows.extend(tx, blob.id, LEASE)
            return None if mine else Gone(f"Image {blob.image_id} was deleted during the upload.")

        self._alive.add(blob.id)
        try:
            async with beating(beat, HEARTBEAT_SECONDS):
                yield
        finally:
            self._alive.discard(blob.id)

    async def release(self, tx: Transaction, blob: Blob, reason: str) -> None:
        """Let an image go that an upload had taken, and note why."""
        await image_rows.set_status(tx, blob.image_id, (FILLING, QUEUED), now(), size=None, failure=reason)


class ImageData:
    """The use cases: all the bytes in one request."""

    def __init__(self, database: Database, policy: Policy, intake: Intake) -> None:
        self._database = database
        self._gate = Gate(database, policy)
        self._intake = intake

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
        """Fill a queued image with the bytes of `source`; all of them, or none.

        `size` and `expected` (digests in hex, by algorithm) are what the caller declares, `store_id`
        where it wants the bytes. Raises Conflict where the image is not queued, Gone where it is
        deleted meanwhile, UnsupportedMedia where the bytes are not what the image says, OverLimit
        where there are too many, Invalid where they are not what was declared.
        """
        blob = Blob(str(uuid.uuid4()), self._intake.store(store_id).id, image_id.lower())
        await self._receive(caller, blob, (SAVING, "upload_image"), source, size, expected)

    async def room(self, caller: Caller) -> int:
        """Return how many bytes of an image the quota of the caller's project has room for."""
        most = self._intake.limits.size
        if caller.quota == quotas.NO_LIMITS or caller.project_id is None:
            return most
        async with self._database.read() as tx:
            usage = await image_rows.usage(tx, caller.project_id)
        return quotas.room(caller.quota.image_size_total, usage.stored, most)

    async def stage(
        self,
        caller: Caller,
        image_id: str,
        source: Source,
        *,
        size: int | None,
        expected: dict[str, str],
    ) -> None:
        """Keep bytes for an import to come: an upload that leaves the image `uploading`."""
        noted = None if self._intake.adopts else UNINSPECTED
        blob = Blob(str(uuid.uuid4()), self._intake.store(None).id, image_id.lower(), metadata=noted)
        await self._receive(caller, blob, (UPLOADING, "modify_image"), source, size, expected)

    async def _receive(
        self,
        caller: Caller,
        blob: Blob,
        target: tuple[str, str],
        source: Source,
        size: int | None,
        expected: dict[str, str],
    ) -> None:
        status, rule = target
        intake = self._intake
        intake.check_size(size)
        writer = await intake.stores[blob.store].create(blob.id, size)
        try:
            image, most = await self._begin(caller, blob, status, rule, size)
            async with intake.lease(blob):
                look = intake.look(image, expected, inspect=status == SAVING or intake.adopts)
                await look.run(Exactly(source, size, most), writer.write, size)
                digests = look.finish()
                await intake.commit(blob, writer)
                async with self._database.write(durable=True, turn=quota_turn(caller)) as tx:
                    await intake.finish(tx, blob, digests, status)
                    if size is None:  # what is not declared is not reserved
                        await hold_to_quota(tx, caller, image.owner, _QUOTAS[status])
        except BaseException as error:
            await to_the_end(self._undo(blob, writer, error))
            raise
        await writer.close()

    async def _begin(
        self, caller: Caller, blob: Blob, status: str, rule: str, size: int | None
    ) -> tuple[Image, int]:
        """Decide on the image as it is when it is taken: its formats say how to look at the bytes.

        Gives with it how many there may be.
        """
        moment = now()
        async with self._database.write(turn=quota_turn(caller)) as tx:
            image = await self._gate.load_in(tx, caller, blob.image_id)
            self._gate.require(rule, caller, image)
            await self._intake.claim(tx, image, status, moment)
            await blob_rows.begin(tx, blob, now=moment, lease=LEASE, size=size)
            usage = await hold_to_quota(tx, caller, image.owner, _QUOTAS[status])
        most = self._intake.limits.size
        if size is None and usage is not None and status == UPLOADING:
            most = quotas.room(caller.quota.image_stage_total, usage.staged, most)
        elif size is None and usage is not None:
            most = quotas.room(caller.quota.image_size_total, usage.stored, most)
        return image, most

    async def _undo(self, blob: Blob, writer: Writer, error: BaseException) -> None:
        try:
            await writer.close()
        finally:
            await self._intake.give_up(blob, error)


Beat = Callable[[], Awaitable[TintypeError | None]]
"""Gives a sign of life, and what the work shall end with, if it shall."""


@contextlib.asynccontextmanager
async def beating(beat: Beat, seconds: float) -> AsyncIterator[None]:
    """Beat every so many seconds until the work inside has ended; end it with what a beat gives first."""
    work = asyncio.current_task()
    ended: Exception | None = None

    async def go_on() -> None:
        nonlocal ended
        pause = seconds
        while work is not None:  # work that was told to end still saves what it has: it holds on to the end
            await asyncio.sleep(pause)
            pause = seconds
            try:
                found: Exception | None = await beat()
            except Unavailable:  # a beat that did not come: holds outlive some
                pause = min(seconds, _RETRY_SECONDS)
                continue
            except Exception as error:  # noqa: BLE001 (work must not go on without signs of life)
                found = error
            if found is not None and ended is None and work is not None:
                ended = found
                work.cancel()

    heart = asyncio.create_task(go_on())
    try:
        yield
    except asyncio.CancelledError:
        if ended is not None and work is not None:
            work.uncancel()
            raise ended from None
        raise
    finally:
        work = None  # and so the beats end: one may swallow that it is cancelled, as with a driver it did
        heart.cancel()


def reason_of(error: BaseException) -> str:
    """Say to the image's owner why an upload came to nothing."""
    if isinstance(error, TintypeError):
        return error.message
    if isinstance(error, asyncio.CancelledError):
        return "The server was stopped during the upload."
    return "Something went wrong in the server during the upload."

"""Jobs for added locations: read, inspect and hash the bytes, then make them the image's data.

Services of the cloud are trusted with bytes that they wrote themselves: the image is active at once, and
the digests follow.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import KW_ONLY, dataclass
from typing import Any

import msgspec

from tintype.blobs.pace import Pace, paced
from tintype.blobs.reading import closing
from tintype.blobs.stream import Chunks, Digests
from tintype.db import blobs as blob_rows
from tintype.db import images as image_rows
from tintype.db.engine import Database, Transaction, fetch, now
from tintype.domain import images, quotas
from tintype.domain.addresses import display_url
from tintype.domain.blobs import READY, Blob
from tintype.domain.images import ACTIVE, IMPORTING, QUEUED, Image
from tintype.domain.tasks import WEB_LANE, Task
from tintype.errors import Gone, Invalid, Unavailable
from tintype.jobs.attempts import DELETED, LOST, Attempt
from tintype.services.copies import Copies
from tintype.services.ingest import Ingest
from tintype.services.locations import Locations, is_trusted, location_of
from tintype.services.quotas import enforce_quota


@dataclass
class LocationWork:
    """The work of jobs of type location_import."""

    _database: Database
    _ingest: Ingest
    _copies: Copies
    _locations: Locations
    _: KW_ONLY
    algorithm: str
    seconds: float
    """How long reading may take."""
    min_source_rate: int
    """Bytes per second that a source on the web must deliver."""

    async def run(self, attempt: Attempt) -> None:
        """Read the bytes and make the image active.

        A server that refuses the request or redirects to a forbidden address is not retried.
        """
        try:
            await self._run(attempt)
        except Unavailable as error:
            if isinstance(error.__cause__, Invalid):
                raise Invalid(error.message) from error
            raise

    async def _run(self, attempt: Attempt) -> None:
        task = attempt.task
        location, trusted = location_of(task), is_trusted(attempt.caller)
        store, place = await self._locations.resolve(attempt.caller, location.url)
        blob = Blob(task.id, store, task.image_id or "", READY, place)
        image = await self._load(task)
        size = await self._copies.store(blob).size(blob.key)
        if size is None:
            raise Invalid(f"Nothing was found at {display_url(location.url)}.")
        self._ingest.check_size(size)
        algorithm = location.algorithm or self.algorithm
        if trusted and location.digest is None:
            unknown = {"os_hash_algo": algorithm, "os_hash_value": None}
            if image.status != ACTIVE:
                await self._publish(attempt, blob, size, unknown, final=False)
            image = await self._load(task)
        else:
            image = await self._claim(attempt)
        expected = {algorithm: location.digest} if location.digest else {}
        expected |= {"md5": location.checksum} if location.checksum else {}
        pipeline = self._ingest.pipeline(image, expected, algorithm)
        try:
            read = self._read(attempt, blob, size)
            async with asyncio.timeout(self.seconds), closing(read) as chunks:
                await pipeline.run(Chunks(_counted(chunks, attempt, size)), None, size)
        except TimeoutError:
            where = display_url(location.url)
            message = f"{where} could not be read within {self.seconds:.0f} s (imports.seconds)."
            raise Invalid(message) from None
        digests = pipeline.finish()
        await self._publish(attempt, blob, size, msgspec.structs.asdict(digests), final=True, digests=digests)

    async def undo(self, tx: Transaction, task: Task) -> None:
        """Do nothing: the bytes are not ours."""

    async def fail(self, tx: Transaction, task: Task, reason: str) -> None:
        """Set the image back to queued with the reason; an active one stays active, without digests."""
        image = await image_rows.get(tx, task.image_id or "", None, lock=True)
        if image is None or image.import_task != task.id:
            return
        changes: dict[str, Any] = {
            "import_task": None,
            "failure": reason,
            "updated_at": max(now(), image.updated_at),
        }
        if image.status == IMPORTING:  # as in Glance the store stays listed: it still has the bytes
            on_the_web = task.input["loc_url"].lower().startswith("http")
            web = [name for name, info in self._copies.infos.items() if info.read_only and on_the_web]
            after = images.changed_status(image, QUEUED, stores=tuple(web[:1]), **changes)
        elif image.status == ACTIVE:
            after = msgspec.structs.replace(image, os_hash_algo=None, **changes)
        else:
            after = msgspec.structs.replace(image, **changes)
        await image_rows.save(tx, image, after)

    def _read(self, attempt: Attempt, blob: Blob, size: int) -> AsyncIterator[bytes]:
        """Return the bytes, with a minimum rate if they come from a server that is not ours."""
        chunks = self._copies.read([blob], 0, size)
        if attempt.task.lane != WEB_LANE:
            return chunks
        return paced(chunks, Pace(self.min_source_rate))

    async def _load(self, task: Task) -> Image:
        return _checked(await fetch(self._database, image_rows.get, task.image_id or "", None), task)

    async def _claim(self, attempt: Attempt) -> Image:
        """Claim the image (`queued` → `importing`) while its bytes are read, and return it."""
        task = attempt.task
        async with self._database.write() as tx:
            image = _checked(await image_rows.get(tx, task.image_id or "", None, lock=True), task)
            await attempt.check(tx)
            if image.status != QUEUED:
                return image
            images.check_formats(image)
            taken = images.changed_status(image, IMPORTING, updated_at=max(now(), image.updated_at))
            await image_rows.save(tx, image, taken)
        return taken

    async def _publish(
        self,
        attempt: Attempt,
        blob: Blob,
        size: int,
        values: dict[str, Any],
        *,
        final: bool,
        digests: Digests | None = None,
    ) -> None:
        """Save the blob and its known values with the image; end the job if `final`."""
        text = None if digests is None else msgspec.json.encode(digests).decode()
        turn = self._locations.turn(attempt.caller, blob.store)
        async with self._database.write(durable=True, turn=turn) as tx:
            image = await image_rows.get(tx, blob.image_id, None, lock=True)
            if image is None or image.import_task != attempt.task.id:
                raise Gone(DELETED)
            if final:
                await attempt.succeed(tx, {"image_id": image.id})
            else:
                await attempt.check(tx)
            if image.status != ACTIVE:
                images.check_formats(image)
                self._locations.signatures.accept(image)
                await self._locations.check_free(tx, blob.store, blob.place or "")
                await blob_rows.adopt(tx, blob, size=size, digests=text, now=now())
            elif text is not None:
                await blob_rows.set_digests(tx, blob.id, text)
            changes = {
                **values,
                "size": size,
                "stores": (blob.store,),
                "failure": None,
                "import_task": None if final else image.import_task,
                "updated_at": max(now(), image.updated_at),
            }
            if image.status != ACTIVE:
                after = images.changed_status(image, ACTIVE, **changes)
            else:
                after = msgspec.structs.replace(image, **changes)
            await image_rows.save(tx, image, after)
            await enforce_quota(tx, attempt.caller, image.owner, quotas.STORE)


def _checked(image: Image | None, task: Task) -> Image:
    if image is None:
        raise Gone(DELETED)
    if image.import_task != task.id:
        raise Gone(LOST)
    return image


async def _counted(chunks: AsyncIterator[bytes], attempt: Attempt, size: int) -> AsyncIterator[bytes]:
    """Report the progress of the job as bytes pass."""
    done = 0
    async for chunk in chunks:
        done += len(chunk)
        attempt.progress(done, size)
        yield chunk

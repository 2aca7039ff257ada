"""Imports: bytes from the source of a method, through the plugins, into stores; then the image is active.

Each attempt starts over and first undoes what the previous one has written. Bytes staged in a store that
the import names are not moved: they become the image's data in place.

An import is a run of the ingest engine, into all stores at once. The attempt's own heartbeat renews the
leases of the blobs being written, and the worker releases the image if the attempt fails.
"""

import contextlib
import hashlib
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tintype.blobs.downloads import Download
from tintype.blobs.pace import Pace, paced
from tintype.blobs.reading import closing
from tintype.blobs.stream import Chunks, Digests, in_thread
from tintype.blobs.web import Web
from tintype.db import blobs as blob_rows
from tintype.db import images as image_rows
from tintype.db.engine import Database, Transaction, now
from tintype.domain import images, imports, quotas
from tintype.domain.blobs import CONDEMNED, READY, STAGED, WRITING, Blob
from tintype.domain.images import ACTIVE, Image, Limits
from tintype.domain.imports import COPY, DIRECT, GLANCE, METHODS, WEB, Import
from tintype.domain.stores import in_order
from tintype.domain.tasks import LEGACY_IMPORT, WEB_LANE, Task, size_text
from tintype.errors import Gone, Invalid, TintypeError
from tintype.jobs.attempts import DELETED, LOST, Attempt
from tintype.jobs.regions import Regions
from tintype.plugins.base import Plugin, Stream, Subject, create_scratch
from tintype.policy.properties import Protections
from tintype.services.copies import Copies
from tintype.services.data import UNINSPECTED
from tintype.services.imports import release_from_task
from tintype.services.ingest import STAGED_LIFETIME, Ingest, IngestAdapter, Reservation
from tintype.services.property_checks import PropertyCheck
from tintype.services.quotas import enforce_quota, quota_turn


class ImportOptions(msgspec.Struct, frozen=True):
    """The operator's options for imports."""

    plugins: Sequence[Plugin]
    scratch: Path
    """The folder for temporary files."""
    seconds: float
    """The longest time for a download, in seconds."""
    protections: Protections | None
    check: PropertyCheck | None
    copied_properties: tuple[str, ...]
    """Prefixes of properties that are copied from another region."""
    min_source_rate: int
    """Bytes per second that a source on the web must deliver."""


class Origin(msgspec.Struct, frozen=True):
    """The source of an import's bytes, and what is known of them."""

    stream: Stream
    expected: dict[str, str] = {}
    """Expected hex digests by algorithm."""
    formats: tuple[str, str] | None = None
    properties: dict[str, str] = {}
    """Properties from the source, which override the image's."""


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
        self,
        ingest: Ingest,
        copies: Copies,
        attempt: Attempt,
        plan: ImportPlan,
        source: contextlib.AsyncExitStack,
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
        message = f"Copied {size_text(digests.size)} to {', '.join(names)}." if names else ""
        failures = "".join(f" Not copied to {name}: {error}" for name, error in self.failures.items())
        await self._attempt.succeed(tx, {"image_id": image.id}, message + failures)
        text = msgspec.json.encode(digests).decode()
        for blob in blobs:
            if not await blob_rows.complete(tx, blob.id, READY, size=digests.size, digests=text, until=0):
                raise Gone(LOST)
        await blob_rows.condemn_all_of(tx, image.id, WRITING)  # in stores that were left out
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

    def _with_formats(self, image: Image) -> Image:
        disk_format, container_format = self._plan.formats
        return msgspec.structs.replace(image, disk_format=disk_format, container_format=container_format)

    async def _end_staging(self, tx: Transaction, staged: Staged) -> list[str]:
        """Adopt staged bytes, or condemn them; return their store if adopted."""
        adopted = self._plan.adopted
        if not await blob_rows.move(tx, staged.blob.id, STAGED, READY if adopted else CONDEMNED):
            raise Invalid("The staged bytes are gone; stage them again.")
        return [staged.blob.store] if adopted else []


@dataclass
class ImportWork:
    """The work of both types of import jobs."""

    _database: Database
    _ingest: Ingest
    _copies: Copies
    _web: Web
    _regions: Regions
    _options: ImportOptions

    async def run(self, attempt: Attempt) -> None:
        """Fetch the bytes and make the image active."""
        wanted = import_of(attempt.task)
        image, blobs, staged = await self._load(attempt.task)
        targets: Sequence[str] = attempt.task.input["backend"]
        plugins = () if wanted.method == COPY else self._options.plugins
        ready = staged is not None and staged.blob.metadata != UNINSPECTED
        adopted = staged is not None and ready and not plugins and staged.blob.store in targets
        rest = [name for name in targets if not (staged and adopted and name == staged.blob.store)]
        plan = ImportPlan(wanted, rest, staged, adopted, (image.disk_format, image.container_format))
        if staged is not None and adopted and not rest:
            adapter = ImportAdapter(self._ingest, self._copies, attempt, plan, contextlib.AsyncExitStack())
            await self._ingest.finish(adapter, (), staged.digests)
            return
        origin = await self._origin(attempt, wanted, image, blobs, staged)
        await self._fill(attempt, image, origin, plugins, plan)

    async def undo(self, tx: Transaction, task: Task) -> None:
        """Condemn the blobs that were being written for the image."""
        await image_rows.lock(tx, task.image_id or "")
        await blob_rows.condemn_all_of(tx, task.image_id or "", WRITING)

    async def fail(self, tx: Transaction, task: Task, reason: str) -> None:
        """Release the image with the reason: queued again, or active as before a copy."""
        await release_from_task(tx, task.image_id or "", task.id, reason, task.input["backend"])

    async def _load(self, task: Task) -> tuple[Image, list[Blob], Staged | None]:
        """Return the image, its copies and its staged bytes, whose lifetime is extended."""
        async with self._database.write() as tx:
            image = await image_rows.get(tx, task.image_id or "", None, lock=True)
            if image is None:
                raise Gone(DELETED)
            if image.import_task != task.id:
                raise Gone(LOST)
            found = await blob_rows.staged_of(tx, image.id)
            if found is not None:
                await blob_rows.keep_until(tx, found[0].id, now() + STAGED_LIFETIME)
            blobs = await blob_rows.ready_of(tx, image.id)
        if found is None:
            return image, blobs, None
        return image, blobs, Staged(found[0], found[1], msgspec.json.decode(found[2], type=Digests))

    async def _fill(
        self, attempt: Attempt, image: Image, origin: Origin, plugins: Sequence[Plugin], plan: ImportPlan
    ) -> None:
        """Stream the bytes through the plugins into the stores."""
        disk_format, container_format = origin.formats or (image.disk_format, image.container_format)
        subject = Subject(
            image.id,
            disk_format or "",
            container_format or "",
            {**image.properties, **origin.properties},
            attempt.caller.roles,
        )
        stream, expected = origin.stream, origin.expected
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(_close, stream)
            if plugins:
                stream, expected = Stream(_verified(stream.chunks, expected), stream.size), {}
                scratch = await stack.enter_async_context(create_scratch(self._options.scratch))
                for plugin in plugins:
                    stream = await plugin.apply(subject, stream, scratch)
                    stack.push_async_callback(_close, stream)
            images.check_properties(subject.properties, self._ingest.limits)
            changed = {
                name: value
                for name, value in subject.properties.items()
                if image.properties.get(name) != value
            }
            for name, value in changed.items():
                images.checked_value(name, value, self._ingest.limits)
            plan = msgspec.structs.replace(
                plan,
                formats=(subject.disk_format, subject.container_format),
                properties=changed,
                size=stream.size,
            )
            adapter = ImportAdapter(self._ingest, self._copies, attempt, plan, stack)
            blobs = [Blob(str(uuid.uuid4()), store, image.id) for store in plan.stores]
            attempt.progress(0, stream.size)
            await self._ingest.run(adapter, blobs, Chunks(stream.chunks), stream.size, expected)

    async def _remote_origin(self, attempt: Attempt, wanted: Import, image: Image) -> Origin:
        """Open an image of another region; its formats and properties must be ones that images have here."""
        check = self._options.check
        definitions = {} if check is None else await check.definitions()
        remote = await self._regions.open(attempt, wanted)
        stream = Stream(remote.chunks, remote.size)
        try:
            formats = _checked_formats(remote.disk_format, remote.container_format, self._ingest.limits)
            properties = imports.copied_properties(remote.properties, self._options.copied_properties)
            if self._options.protections is not None:
                properties = self._options.protections.settable(image, properties, attempt.caller)
            if check is not None:
                check.check(properties, definitions)
        except TintypeError:
            await _close(stream)
            raise
        return Origin(stream, remote.expected, formats, properties)

    async def _origin(
        self, attempt: Attempt, wanted: Import, image: Image, blobs: Sequence[Blob], staged: Staged | None
    ) -> Origin:
        """Open the source of a method."""
        if wanted.method == DIRECT:
            if staged is None:
                raise Invalid("The staged bytes are gone; stage them again.")
            chunks = self._copies.read([staged.blob], 0, staged.size)
            known = {staged.digests.os_hash_algo: staged.digests.os_hash_value}
            return Origin(Stream(chunks, staged.size), known)
        if wanted.method == COPY:
            if not blobs or image.size is None:
                raise Invalid("The image has no data that could be copied.")
            chunks = self._copies.read(self._copies.ordered(blobs), 0, image.size)
            if attempt.task.lane == WEB_LANE:
                chunks = paced(chunks, Pace(self._options.min_source_rate))
            return Origin(Stream(chunks, image.size), image.digests)
        if wanted.method == GLANCE:
            return await self._remote_origin(attempt, wanted, image)
        download = Download(
            self._web,
            wanted.uri or "",
            limit=self._ingest.limits.size,
            seconds=self._options.seconds,
            min_rate=self._options.min_source_rate,
        )
        chunks = await download.begin()
        size = None if download.facts is None else download.facts.size
        return Origin(Stream(chunks, size), wanted.expected)


def import_of(task: Task) -> Import:
    """Return what a job was asked to import."""
    if task.type == LEGACY_IMPORT:
        return Import(WEB, uri=task.input["import_from"])
    return imports.parse(task.input["import_req"], None, METHODS)


def _checked_formats(disk_format: str, container_format: str, limits: Limits) -> tuple[str, str]:
    """Return the formats of a remote image. Raises Invalid for formats that are not allowed here."""
    if disk_format not in limits.disk_formats or container_format not in limits.container_formats:
        raise Invalid(
            f"The image has disk format '{disk_format}' and container format '{container_format}'; allowed "
            f"here are {', '.join(limits.disk_formats)}; {', '.join(limits.container_formats)}."
        )
    return disk_format, container_format


async def _close(stream: Stream) -> None:
    async with closing(stream.chunks):
        pass


async def _verified(chunks: AsyncIterator[bytes], expected: dict[str, str]) -> AsyncIterator[bytes]:
    """Pass bytes on, and compare their digests before plugins change them. Raises Invalid at the end."""
    digests = {name: hashlib.new(name, usedforsecurity=False) for name in expected}
    async with closing(chunks):
        async for chunk in chunks:
            for digest in digests.values():
                await in_thread(digest.update, chunk)
            yield chunk
    for name, digest in digests.items():
        if (found := digest.hexdigest()) != expected[name]:
            raise Invalid(f"The {name} digest of the data is {found}; {expected[name]} was declared.")

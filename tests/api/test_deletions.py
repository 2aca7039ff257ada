"""Deletions of condemned blobs: of each by one process at a time, and no store's wait for another's."""

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update
from test_resumable import MIB, TUS, send, silent, started
from test_sweepers import files, node_of
from test_uploads import chunks, make, put

from inprocess import Prepared, Service, running
from tintype.blobs.filesystem import FilesystemStore
from tintype.db import blobs as blob_rows
from tintype.db import uploads as upload_rows
from tintype.db.engine import now
from tintype.db.tables import blobs
from tintype.domain.blobs import CONDEMNED, PARTIAL, Blob
from tintype.errors import Disconnected, Gone, TintypeError, Unavailable
from tintype.services.ingest import release_image
from tintype.settings.stores import FileStore, MemoryStore
from tintype.wiring import service as wiring

SHORT = 60_000_000
REAL_DELETE = FilesystemStore.delete


class Slow:
    """Deletions of the file store that wait to be let go, and how many of one key were at work at once."""

    def __init__(self) -> None:
        self.begun, self.go = asyncio.Event(), asyncio.Event()
        self.most = 0
        self.deletions: Counter[str] = Counter()
        self.at_work: Counter[str] = Counter()

    async def delete(self, store: FilesystemStore, key: str) -> None:
        """Delete, once that may be."""
        self.deletions[key] += 1
        self.at_work[key] += 1
        self.most = max(self.most, self.at_work[key])
        self.begun.set()
        try:
            await self.go.wait()
            await REAL_DELETE(store, key)
        finally:
            self.at_work[key] -= 1


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slow]:
    made = Slow()

    async def delete(store: FilesystemStore, key: str) -> None:
        await made.delete(store, key)

    monkeypatch.setattr(FilesystemStore, "delete", delete)
    yield made
    made.go.set()


async def rows(service: Service) -> list[Any]:
    async with service.parts.database.read() as tx:
        return list((await tx.execute(select(blobs.c.id, blobs.c.state))).all())


async def as_far_as_it_goes(work: asyncio.Task[Any], slow: Slow) -> None:
    """Wait until work has ended or waits for a deletion."""
    begun = asyncio.create_task(slow.begun.wait())
    await asyncio.wait([work, begun], return_when=asyncio.FIRST_COMPLETED)
    begun.cancel()


@asynccontextmanager
async def swept_after_each_change(
    service: Service, slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[wiring.Service]:
    """Have another node sweep whenever this one has changed the database."""
    node, write, sweeps = node_of(service), service.parts.database.write, []

    @asynccontextmanager
    async def followed(**options: Any) -> AsyncIterator[Any]:
        async with write(**options) as tx:
            yield tx
        sweeps.append(asyncio.create_task(node.sweeper.sweep()))
        await as_far_as_it_goes(sweeps[-1], slow)

    monkeypatch.setattr(service.parts.database, "write", followed)
    try:
        yield node
    finally:
        slow.go.set()
        await asyncio.gather(*sweeps)
        await node.close()


async def finish(work: Awaitable[Any], slow: Slow) -> Any:
    """Let deletions go once all who would delete have begun to."""
    task = asyncio.ensure_future(work)
    await as_far_as_it_goes(task, slow)
    await asyncio.sleep(0.5)
    slow.go.set()
    return await task


async def test_an_upload_that_is_ended_is_deleted_once(
    service: Service, slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweeper that is as fast as the request has the bytes, or the request has."""
    _, upload = await started(service, 10)
    await send(service, upload, 0, b"abc")
    async with swept_after_each_change(service, slow, monkeypatch):
        ended = await finish(service.call("alice", "DELETE", upload, headers=TUS), slow)
    assert ended.status_code == 204
    assert slow.most == 1
    assert (files(service), await rows(service)) == ([], [])


async def test_a_piece_that_others_ended_is_deleted_by_one(
    service: Service, slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweeper is deleting the bytes when the request that wrote them gives up."""
    monkeypatch.setattr("tintype.services.upload_chunks._HEARTBEAT_SECONDS", 0.05)
    _, upload = await started(service, 2 * MIB)
    piece = await silent(service, upload, MIB)
    upload_id = upload.rpartition("/")[2]
    async with service.parts.database.write() as tx:
        await blob_rows.condemn(tx, upload_id, PARTIAL)
        await upload_rows.remove(tx, upload_id)
    node = node_of(service)
    sweep = asyncio.create_task(node.sweeper.sweep())
    assert (await finish(piece, slow)).status_code == 410
    await sweep
    await node.close()
    assert slow.most == 1
    assert (files(service), await rows(service)) == ([], [])


@pytest.mark.parametrize("error", [Disconnected("cut"), Unavailable("no"), Gone("deleted")])
async def test_an_upload_that_fails_is_deleted_by_one(
    service: Service, slow: Slow, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """The lease was over and a sweeper is deleting the bytes: the writer's end does not touch its claim."""
    image = await make(service)
    begun, go = asyncio.Event(), asyncio.Event()
    upload = asyncio.create_task(put(service, image, chunks(1, begun, go)))
    await begun.wait()
    [[blob_id, _]] = await rows(service)
    nodes = [node_of(service), node_of(service)]
    async with service.parts.database.write() as tx:
        await tx.execute(update(blobs).values(lease_expires_at=0))
    first = asyncio.create_task(nodes[0].sweeper.sweep())
    await asyncio.wait_for(slow.begun.wait(), 5)
    undone = service.parts.ingest.undo(
        [Blob(blob_id, "local", image)], error, release_image, {"local": error}
    )
    giving_up = asyncio.create_task(undone)
    await asyncio.sleep(0.2)
    second = asyncio.create_task(nodes[1].sweeper.sweep())
    await asyncio.sleep(0.2)
    slow.go.set()
    await asyncio.gather(giving_up, first, second)
    go.set()
    await upload
    for node in nodes:
        await node.close()
    assert slow.most == 1
    assert (files(service), await rows(service)) == ([], [])


@pytest.mark.parametrize("failure", [None, Unavailable("no")])
async def test_what_a_job_gives_up_is_deleted_by_one(
    service: Service, slow: Slow, failure: TintypeError | None
) -> None:
    """The end of a job does not touch a sweeper's claim, whether the store answers the job or not."""
    image = await make(service)
    blob = Blob(str(uuid.uuid4()), "local", image)
    async with service.parts.database.write() as tx:
        await blob_rows.begin(tx, blob, now=now(), lease=-SHORT)
    failures = {"local": failure} if failure is not None else {}
    released = []

    async def roll_back(*_arguments: object) -> None:
        released.append(1)

    undone = service.parts.ingest.undo([blob], failure or Gone("deleted"), roll_back, failures)
    nodes = [node_of(service), node_of(service)]
    first = asyncio.create_task(nodes[0].sweeper.sweep())
    await asyncio.wait_for(slow.begun.wait(), 5)
    discarding = asyncio.create_task(undone)
    await asyncio.sleep(0.2)
    second = asyncio.create_task(nodes[1].sweeper.sweep())
    await asyncio.sleep(0.2)
    slow.go.set()
    await asyncio.gather(discarding, first, second)
    for node in nodes:
        await node.close()
    assert (slow.most, released) == (1, [])
    assert await rows(service) == []


async def condemned(service: Service, store: str = "local") -> Blob:
    """Make a blob that waits for its deletion, with its bytes."""
    blob = Blob(str(uuid.uuid4()), store, str(uuid.uuid4()), CONDEMNED)
    writer = await service.parts.stores[store].create(blob.key, 3)
    await writer.write(memoryview(b"abc"))
    await writer.commit()
    await writer.close()
    async with service.parts.database.write() as tx:
        await blob_rows.begin(tx, blob, now=now(), lease=-SHORT)
    return blob


async def test_a_lost_claim_ends_the_deletion(
    service: Service, slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who stood still for too long neither goes on beside the next one, nor touches its claim."""
    monkeypatch.setattr("tintype.services.deletions._HEARTBEAT_SECONDS", 0.1)
    blob, node = await condemned(service), node_of(service)
    first = asyncio.create_task(service.parts.ingest.deletions.claim_and_delete(blob))
    await asyncio.wait_for(slow.begun.wait(), 5)
    async with service.parts.database.write() as tx:
        await tx.execute(update(blobs).values(claimed_by="another", lease_expires_at=2**62))
    with pytest.raises(Gone):
        await asyncio.wait_for(first, 5)
    assert not await node.ingest.deletions.claim_and_delete(blob)
    await node.close()
    async with service.parts.database.read() as tx:
        claim = (await tx.execute(select(blobs.c.claimed_by, blobs.c.lease_expires_at))).one()
    assert tuple(claim) == ("another", 2**62)


async def test_blobs_that_are_held_keep_no_other_from_being_swept(service: Service) -> None:
    """More of them than are looked at in one go, and all of them are older."""
    image = await make(service)
    held = [Blob(str(uuid.uuid4()), "local", image) for _ in range(blob_rows.BATCH + 1)]
    dead = Blob(str(uuid.uuid4()), "local", image)
    async with service.parts.database.write() as tx:
        for blob in held:
            await blob_rows.begin(tx, blob, now=0, lease=-2 * SHORT)
        await blob_rows.begin(tx, dead, now=0, lease=-SHORT)
        await tx.execute(update(blobs).where(blobs.c.id != dead.id).values(lease_expires_at=7))
    service.parts.ingest.leases._held.update(blob.id for blob in held)
    await service.parts.sweeper.sweep()
    left = await rows(service)
    assert len(left) == len(held)
    assert dead.id not in {row[0] for row in left}


async def test_a_slow_store_delays_no_other(prepared: Prepared, tmp_path: Path) -> None:
    """Neither the deletions of other stores, nor what else a sweeper does; the store itself goes on later."""
    stores = {"slow": MemoryStore(limit=100 << 20), "local": FileStore()}
    async with running(prepared, tmp_path, stores=stores) as service:
        slow = service.parts.stores["slow"]
        go, begun, delete = asyncio.Event(), asyncio.Event(), slow.delete

        async def waits(key: str) -> None:
            begun.set()
            await go.wait()
            await delete(key)

        slow.delete = waits  # type: ignore[method-assign]
        first = await condemned(service, "slow")
        sweeping = asyncio.create_task(service.parts.sweeper.run())
        await asyncio.wait_for(begun.wait(), 5)
        late = await condemned(service, "slow")
        await forgotten(service, await condemned(service))
        dead = Blob(str(uuid.uuid4()), "local", await make(service))
        async with service.parts.database.write() as tx:
            await blob_rows.begin(tx, dead, now=now(), lease=-SHORT)
        await forgotten(service, dead)
        assert {row[0] for row in await rows(service)} == {first.id, late.id}
        go.set()
        await forgotten(service, first)
        await forgotten(service, late)
        sweeping.cancel()
        await asyncio.wait([sweeping])


async def test_a_sweeper_that_is_stopped_leaves_nothing_at_work(service: Service, slow: Slow) -> None:
    """Its deletions end with it: the stores are closed next."""
    await condemned(service)
    sweeping = asyncio.create_task(service.parts.sweeper.run())
    await asyncio.wait_for(slow.begun.wait(), 5)
    sweeping.cancel()
    await asyncio.wait([sweeping], timeout=5)
    assert sweeping.cancelled()
    assert slow.at_work.total() == 0


async def test_a_deletion_that_breaks_keeps_no_other_waiting(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a store raises for one blob, the next ones are deleted, and this one is tried again."""
    bad, good = await condemned(service), await condemned(service)

    async def breaks(store: FilesystemStore, key: str) -> None:
        if key == bad.key:
            raise RuntimeError("unforeseen")
        await REAL_DELETE(store, key)

    with monkeypatch.context() as patched:
        patched.setattr(FilesystemStore, "delete", breaks)
        await service.parts.sweeper.sweep()
    assert [row[0] for row in await rows(service)] == [bad.id]
    assert good.id not in files(service)
    await service.parts.sweeper.sweep()
    assert (files(service), await rows(service)) == ([], [])


async def forgotten(service: Service, blob: Blob) -> None:
    """Wake the sweeper until a blob is forgotten."""
    async with asyncio.timeout(20):
        while blob.id in {row[0] for row in await rows(service)}:
            service.parts.sweeper.wake()
            await asyncio.sleep(0.05)

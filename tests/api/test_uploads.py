"""Failing uploads: cut off, cancelled, raced, deleted meanwhile, refused by the disk."""

import asyncio
import contextlib
import errno
import os
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from inprocess import Service
from tintype.blobs import filesystem, stream
from tintype.blobs.stream import Chunks
from tintype.db import blobs as blob_rows
from tintype.db.engine import SQLite
from tintype.domain.blobs import CONDEMNED, Blob
from tintype.errors import Conflict, TintypeError, Unavailable
from tintype.services.leases import heartbeat

BINARY = {"Content-Type": "application/octet-stream"}
MIB = 1 << 20


async def make(service: Service) -> str:
    body = {"disk_format": "raw", "container_format": "bare"}
    return str((await service.call("alice", "POST", "/v2/images", json=body)).json()["id"])


async def show(service: Service, image_id: str) -> dict[str, object]:
    return dict((await service.call("alice", "GET", f"/v2/images/{image_id}")).json())


def files(service: Service) -> list[Path]:
    return [path for path in (service.folder / "images").glob("*/*") if path.is_file()]


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def put(service: Service, image_id: str, content: object) -> int:
    path = f"/v2/images/{image_id}/file"
    return (await service.call("alice", "PUT", path, content=content, headers=BINARY)).status_code


async def chunks(count: int, started: asyncio.Event, go: asyncio.Event) -> AsyncIterator[bytes]:
    """Give chunks, and wait for a word before the last of them."""
    for _ in range(count):
        yield b"x" * MIB
    started.set()
    await go.wait()
    yield b"x"


async def test_a_client_that_goes_away_leaves_nothing(service: Service) -> None:
    """The image is queued again at once, the next upload works, no byte is left of the first."""
    image_id = await make(service)

    async def cut() -> AsyncIterator[bytes]:
        yield b"x" * 9 * MIB
        raise ConnectionResetError

    caller = (await service.parts.identity.tokens.validate(service.tokens["alice"])).caller
    with pytest.raises(ConnectionResetError):
        await service.parts.data.upload(
            caller, image_id, Chunks(cut()), size=None, store_id=None, expected={}
        )
    assert (await show(service, image_id))["status"] == "queued"
    assert files(service) == []
    assert await put(service, image_id, b"abc") == 204
    assert (await show(service, image_id))["status"] == "active"


async def test_a_cancelled_upload_leaves_nothing(service: Service) -> None:
    """A task that is cancelled while threads write waits for them, then undoes everything."""
    image_id = await make(service)
    started, go = asyncio.Event(), asyncio.Event()
    upload = asyncio.create_task(put(service, image_id, chunks(9, started, go)))
    await started.wait()
    assert (await show(service, image_id))["status"] == "saving"
    upload.cancel()
    assert await upload == 503  # it is only cancelled when the service stops
    shown = await show(service, image_id)
    assert shown["status"] == "queued"
    assert shown["os_glance_failed_reason"] == "The server was stopped during the upload."
    assert files(service) == []


async def test_a_cancellation_after_the_end_takes_nothing_back(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the image is active its bytes stay, whatever becomes of the task that brought them."""
    image_id = await make(service)
    lease = service.parts.ingest.leases.keep_alive

    @contextlib.asynccontextmanager
    async def cancelled_at_the_end(*arguments: Any) -> AsyncIterator[None]:
        async with lease(*arguments):
            yield
        raise asyncio.CancelledError

    monkeypatch.setattr(service.parts.ingest.leases, "keep_alive", cancelled_at_the_end)
    assert await put(service, image_id, b"precious") == 503
    assert (await show(service, image_id))["status"] == "active"
    assert (await service.call("alice", "GET", f"/v2/images/{image_id}/file")).content == b"precious"


async def test_of_parallel_uploads_one_wins(service: Service) -> None:
    """Eight clients fill one image: one succeeds, the others meet a conflict, its bytes are whole."""
    image_id = await make(service)
    contents = [bytes([number]) * 5 * MIB for number in range(8)]
    outcomes = await asyncio.gather(*(put(service, image_id, content) for content in contents))
    assert sorted(outcomes) == [204] + [409] * 7
    stored = (await service.call("alice", "GET", f"/v2/images/{image_id}/file")).content
    assert stored == contents[outcomes.index(204)]
    assert len(files(service)) == 1


async def test_an_image_deleted_during_its_upload_is_gone(service: Service) -> None:
    """The upload ends with 410, and the bytes are deleted."""
    image_id = await make(service)
    started, go = asyncio.Event(), asyncio.Event()
    upload = asyncio.create_task(put(service, image_id, chunks(9, started, go)))
    await started.wait()
    assert (await service.call("alice", "DELETE", f"/v2/images/{image_id}")).status_code == 204
    go.set()
    assert await upload == 410
    await service.parts.sweeper.sweep()
    assert files(service) == []


async def test_a_lost_lease_ends_the_upload(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A heartbeat that finds the image deleted ends the work without waiting for the client."""
    monkeypatch.setattr("tintype.services.leases.HEARTBEAT_SECONDS", 0.05)
    image_id = await make(service)
    started, never = asyncio.Event(), asyncio.Event()
    upload = asyncio.create_task(put(service, image_id, chunks(1, started, never)))
    await started.wait()
    await service.call("alice", "DELETE", f"/v2/images/{image_id}")
    assert await asyncio.wait_for(upload, 5) == 410
    assert files(service) == []


async def test_an_expired_lease_is_swept(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upload nobody hears of any more goes back to queued; the late writer finds that it lost."""
    monkeypatch.setattr("tintype.services.ingest.LEASE", -1)
    image_id = await make(service)
    started, go = asyncio.Event(), asyncio.Event()
    upload = asyncio.create_task(put(service, image_id, chunks(1, started, go)))
    await started.wait()
    service.parts.ingest.leases._held.clear()  # the sweeper of another process knows nothing of them
    await service.parts.sweeper.sweep()
    assert (await show(service, image_id))["status"] == "queued"
    monkeypatch.setattr("tintype.services.ingest.LEASE", 60_000_000)
    assert await put(service, image_id, b"second") == 204
    go.set()
    assert await upload == 410
    shown = await show(service, image_id)
    assert (shown["status"], shown["size"]) == ("active", 6)
    assert (await service.call("alice", "GET", f"/v2/images/{image_id}/file")).content == b"second"
    assert len(files(service)) == 1


async def test_formats_cannot_be_changed_under_an_upload(service: Service) -> None:
    """What the bytes are looked at as is settled when the image becomes `saving`."""
    body = {"disk_format": "qcow2", "container_format": "ova"}
    image_id = (await service.call("alice", "POST", "/v2/images", json=body)).json()["id"]
    started, go = asyncio.Event(), asyncio.Event()
    upload = asyncio.create_task(put(service, image_id, chunks(1, started, go)))
    await started.wait()
    patch = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
    change = b'[{"op": "replace", "path": "/container_format", "value": "bare"}]'
    refused = await service.call("alice", "PATCH", f"/v2/images/{image_id}", content=change, headers=patch)
    assert refused.status_code == 403
    go.set()
    assert await upload == 204


async def test_a_heartbeat_outlives_a_busy_database(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A beat that fails is followed by others."""
    monkeypatch.setattr("tintype.services.leases.HEARTBEAT_SECONDS", 0.02)
    beats = []
    extend = blob_rows.renew

    async def fails_at_first(*arguments: Any) -> bool:
        beats.append(1)
        if len(beats) < 3:
            raise Unavailable("busy")
        return await extend(*arguments)

    monkeypatch.setattr(blob_rows, "renew", fails_at_first)
    image_id = await make(service)
    started, go = asyncio.Event(), asyncio.Event()
    upload = asyncio.create_task(put(service, image_id, chunks(1, started, go)))
    await asyncio.sleep(0.3)
    go.set()
    assert await upload == 204
    assert len(beats) > 3


async def test_a_heart_does_not_outlive_its_work() -> None:
    """Also where a beat does not hear that it is cancelled: nothing beats for what has ended."""
    beats, beating_now = [], asyncio.Event()

    async def deaf() -> None:
        beats.append(1)
        beating_now.set()
        if len(beats) == 1:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.05)

    async with heartbeat(deaf, 0.01):
        await beating_now.wait()
    await asyncio.sleep(0.2)
    assert beats == [1]


@pytest.mark.parametrize(("failure", "sweeps"), [(Conflict("in use"), 1), (Unavailable("no"), 2)])
async def test_a_blob_that_cannot_be_deleted_keeps_no_other_waiting(
    service: Service, monkeypatch: pytest.MonkeyPatch, failure: TintypeError, sweeps: int
) -> None:
    """The sweeper goes on to the next blob, and tries the bad one again; a silent store waits."""
    made = [await make(service) for _ in range(3)]
    for image_id in made:
        assert await put(service, image_id, b"abc") == 204
    bad = files(service)[0].name
    store = service.parts.ingest.store(None)
    delete = store.delete

    async def refuses(key: str) -> None:
        if key == bad:
            raise failure
        await delete(key)

    with monkeypatch.context() as patched:
        patched.setattr(store, "delete", refuses)
        for image_id in made:
            await service.call("alice", "DELETE", f"/v2/images/{image_id}")
        for _ in range(sweeps):
            await service.parts.sweeper.sweep()
        assert [path.name for path in files(service)] == [bad]
    await service.parts.sweeper.sweep()
    assert files(service) == []


async def test_blobs_of_a_store_that_is_gone_keep_no_other_waiting(service: Service) -> None:
    """A store was taken out of the settings; however many blobs wait for it, others are deleted."""
    image_id = await make(service)
    assert await put(service, image_id, b"abc") == 204
    async with service.parts.database.write() as tx:
        for number in range(150):
            blob = Blob(f"lost-{number}", "removed", image_id, CONDEMNED)
            await blob_rows.begin(tx, blob, now=0, lease=-1)
    await service.call("alice", "DELETE", f"/v2/images/{image_id}")
    await service.parts.sweeper.sweep()
    assert files(service) == []


async def test_the_sweeper_never_ends(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong in a sweep, there is a next one."""
    sweeper = service.parts.sweeper
    sweeps = []

    async def breaks() -> None:
        sweeps.append(1)
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(sweeper, "begin", breaks)
    monkeypatch.setattr("tintype.jobs.sweeper.INTERVAL", 0.01)
    running = asyncio.create_task(sweeper.run())
    await asyncio.sleep(0.2)
    running.cancel()
    assert len(sweeps) > 2


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
async def test_a_full_database_is_told_and_outlived(service: Service) -> None:
    """Writes are answered 503 while the disk is full, reads go on, and afterwards everything does."""
    image_id = await make(service)
    database = service.parts.database
    assert isinstance(database, SQLite)
    writer = database._writer
    pages = writer.exec_driver_sql("PRAGMA page_count").scalar_one()
    writer.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    body = {"name": "x" * 200, "big": "y" * 60_000}
    answers = {(await service.call("alice", "POST", "/v2/images", json=body)).status_code for _ in range(5)}
    assert answers == {503}
    assert (await show(service, image_id))["status"] == "queued"
    writer.exec_driver_sql("PRAGMA max_page_count = 1000000")
    assert (await service.call("alice", "POST", "/v2/images", json=body)).status_code == 201


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
async def test_a_busy_database_is_waited_for_once(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests behind a lock that is not let go of are all answered 503 when their own time is over."""
    monkeypatch.setattr("tintype.db.engine._BUSY_SECONDS", 0.3)
    with sqlite3.connect(service.folder / "tintype.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        posts = [service.call("alice", "POST", "/v2/images", json={}) for _ in range(8)]
        async with asyncio.timeout(2):
            answers = await asyncio.gather(*posts)
        other.execute("ROLLBACK")
    other.close()
    assert {answer.status_code for answer in answers} == {503}
    assert (await service.call("alice", "POST", "/v2/images", json={})).status_code == 201


async def test_changes_to_one_image_at_once_are_all_kept(service: Service) -> None:
    """Twenty clients each add a tag and a property to one image: nothing is refused, nothing lost."""
    image_id = await make(service)
    patch = {"Content-Type": "application/openstack-images-v2.1-json-patch"}

    async def change(number: int) -> set[int]:
        path = f"/v2/images/{image_id}"
        body = f'[{{"op": "add", "path": "/p{number}", "value": "x"}}]'.encode()
        patched, tagged = await asyncio.gather(
            service.call("alice", "PATCH", path, content=body, headers=patch),
            service.call("alice", "PUT", f"{path}/tags/t{number}"),
        )
        return {patched.status_code, tagged.status_code}

    outcomes = await asyncio.gather(*(change(number) for number in range(20)))
    assert set().union(*outcomes) == {200, 204}
    shown = await show(service, image_id)
    assert len(shown["tags"]) == 20  # type: ignore[arg-type]
    assert sum(name.startswith("p") and name[1:].isdigit() for name in shown) == 20


async def test_a_download_that_is_given_up_lets_go_of_its_file(service: Service) -> None:
    """However a reader ends, after one chunk or cancelled in the middle of one, no descriptor stays open."""
    image_id = await make(service)
    assert await put(service, image_id, b"x" * 20 * MIB) == 204
    store = service.parts.ingest.store(None)
    key = files(service)[0].name
    before = open_files()
    for _ in range(5):
        reader = store.read(key, 0, 20 * MIB)
        await anext(reader)
        assert isinstance(reader, AsyncGenerator)
        await reader.aclose()

        async def all_of_it() -> None:
            async for _ in store.read(key, 0, 20 * MIB):
                await asyncio.sleep(0)

        task = asyncio.create_task(all_of_it())
        await asyncio.sleep(0.001)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    assert open_files() == before


@pytest.mark.parametrize(("number", "status"), [(errno.ENOSPC, 413), (errno.EIO, 503)])
async def test_a_disk_that_fails_is_told_as_what_it_is(
    service: Service, monkeypatch: pytest.MonkeyPatch, number: int, status: int
) -> None:
    """A full disk is 413, a broken one 503; the image is queued again and nothing is left."""
    image_id = await make(service)

    def refuse(*_arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(filesystem._FileWriter, "_write_some", refuse)
        assert await put(service, image_id, b"abc") == status
    assert (await show(service, image_id))["status"] == "queued"
    await service.parts.sweeper.sweep()  # a store that fails is not asked to delete in the same breath
    assert files(service) == []
    assert await put(service, image_id, b"abc") == 204


async def test_a_thread_is_waited_for_when_its_task_is_cancelled() -> None:
    """Who is cancelled goes on only after the thread has let go of what it works on."""
    ended = []

    def work() -> None:
        import time

        time.sleep(0.2)
        ended.append(True)

    task = asyncio.create_task(stream.in_thread(work))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [True]


async def test_the_bytes_are_the_same_at_every_size(service: Service) -> None:
    """Around the size of a buffer, with chunks of every size, what comes out is what went in."""
    for size in (1, stream.BUFFER - 1, stream.BUFFER, stream.BUFFER + 1, 2 * stream.BUFFER + 7):
        content = os.urandom(size)

        async def in_pieces(content: bytes = content) -> AsyncIterator[bytes]:
            position, step = 0, 1
            while position < len(content):
                yield content[position : position + step]
                position, step = position + step, step * 3

        for body in (content, in_pieces()):
            image_id = await make(service)
            assert await put(service, image_id, body) == 204
            assert (await service.call("alice", "GET", f"/v2/images/{image_id}/file")).content == content
            assert (await show(service, image_id))["size"] == size
            await service.call("alice", "DELETE", f"/v2/images/{image_id}")
    await service.parts.sweeper.sweep()
    assert files(service) == []

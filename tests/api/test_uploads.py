"""Uploads that end in other ways than well: cut, cancelled, raced, deleted meanwhile, refused by the disk."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from inprocess import Service
from tintype.blobs import filesystem, stream

BINARY = {"Content-Type": "application/octet-stream"}
MIB = 1 << 20


async def make(service: Service) -> str:
    body = {"disk_format": "raw", "container_format": "bare"}
    return str((await service.call("alice", "POST", "/v2/images", json=body)).json()["id"])


async def show(service: Service, image_id: str) -> dict[str, object]:
    return dict((await service.call("alice", "GET", f"/v2/images/{image_id}")).json())


def files(service: Service) -> list[Path]:
    return [path for path in (service.folder / "images").rglob("*") if path.is_file()]


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

    caller = (await service.parts.identity.validate(service.tokens["alice"])).caller
    with pytest.raises(ConnectionResetError):
        await service.parts.data.upload(caller, image_id, cut(), size=None, store_id=None)
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
    with pytest.raises(asyncio.CancelledError):
        await upload
    assert (await show(service, image_id))["status"] == "queued"
    assert files(service) == []


async def test_a_cancellation_after_the_end_takes_nothing_back(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the image is active its bytes stay, whatever becomes of the task that brought them."""
    image_id = await make(service)
    data = service.parts.data
    finish = data._finish

    async def finish_and_be_cancelled(*arguments: object) -> None:
        await finish(*arguments)
        raise asyncio.CancelledError

    monkeypatch.setattr(data, "_finish", finish_and_be_cancelled)
    with pytest.raises(asyncio.CancelledError):
        await put(service, image_id, b"precious")
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
    monkeypatch.setattr("tintype.services.data._HEARTBEAT_SECONDS", 0.05)
    image_id = await make(service)
    started, never = asyncio.Event(), asyncio.Event()
    upload = asyncio.create_task(put(service, image_id, chunks(1, started, never)))
    await started.wait()
    await service.call("alice", "DELETE", f"/v2/images/{image_id}")
    assert await asyncio.wait_for(upload, 5) == 410
    assert files(service) == []


async def test_an_expired_lease_is_swept(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upload nobody hears of any more goes back to queued; the late writer finds that it lost."""
    monkeypatch.setattr("tintype.services.data.LEASE", -1)
    image_id = await make(service)
    started, go = asyncio.Event(), asyncio.Event()
    upload = asyncio.create_task(put(service, image_id, chunks(1, started, go)))
    await started.wait()
    await service.parts.sweeper.sweep()
    assert (await show(service, image_id))["status"] == "queued"
    monkeypatch.setattr("tintype.services.data.LEASE", 60_000_000)
    assert await put(service, image_id, b"second") == 204
    go.set()
    assert await upload == 410
    shown = await show(service, image_id)
    assert (shown["status"], shown["size"]) == ("active", 6)
    assert (await service.call("alice", "GET", f"/v2/images/{image_id}/file")).content == b"second"
    assert len(files(service)) == 1


@pytest.mark.parametrize(("number", "status"), [(errno.ENOSPC, 413), (errno.EIO, 503)])
async def test_a_disk_that_fails_is_told_as_what_it_is(
    service: Service, monkeypatch: pytest.MonkeyPatch, number: int, status: int
) -> None:
    """A full disk is 413, a broken one 503; the image is queued again and nothing is left."""
    image_id = await make(service)

    def refuse(*_arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(filesystem, "_write_all", refuse)
        assert await put(service, image_id, b"abc") == status
    assert (await show(service, image_id))["status"] == "queued"
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

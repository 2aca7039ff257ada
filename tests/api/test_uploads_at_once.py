"""How many uploads a project may run at once in a process, whichever way they come."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from test_imports import new_image

from inprocess import Prepared, Service, running
from tintype.domain.callers import Caller
from tintype.services import quotas
from tintype.settings.images import ImageSettings

BINARY = {"Content-Type": "application/octet-stream"}
TUS = {"Tus-Resumable": "1.0.0"}
CHUNK = {**TUS, "Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
ONE = ImageSettings(parallel_uploads=1)


class Slow:
    """A body whose first byte is sent, and the second only when it is told to end."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.end = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"a"
        self.begun.set()
        await self.end.wait()
        yield b"b"


async def send(service: Service, who: str, way: str, content: bytes | Slow) -> httpx2.Response:
    """Upload two bytes to a new image, in one of the ways."""
    image = await new_image(service, who)
    if way == "chunk":
        created = await service.call(who, "POST", f"{image}/uploads", headers={**TUS, "Upload-Length": "2"})
        path = created.headers["location"].removeprefix("http://testserver")
        return await service.call(who, "PATCH", path, headers=CHUNK, content=content)
    return await service.call(who, "PUT", f"{image}/{way}", headers=BINARY, content=content)


@pytest.mark.parametrize("way", ["file", "stage", "chunk"])
async def test_one_more_upload_is_refused(prepared: Prepared, tmp_path: Path, way: str) -> None:
    """In every way, with a time to come back; other projects are not affected, and the end makes room."""
    async with running(prepared, tmp_path, images=ONE) as service:
        slow = Slow()
        first = asyncio.create_task(send(service, "alice", way, slow))
        await asyncio.wait_for(slow.begun.wait(), 20)
        for other in ("file", "stage", "chunk"):
            refused = await send(service, "alice", other, b"ab")
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "5"), other
            assert "images.parallel_uploads" in refused.text
        assert (await send(service, "bob", way, b"ab")).status_code == 204
        image = await new_image(service)
        first_chunk = {**CHUNK, "Upload-Length": "2"}
        created = await service.call("alice", "POST", f"{image}/uploads", headers=first_chunk, content=b"a")
        assert created.status_code == 429
        assert (await service.call("alice", "GET", f"{image}/uploads")).json() == {"uploads": []}
        slow.end.set()
        assert (await first).status_code == 204
        assert (await send(service, "alice", way, b"ab")).status_code == 204


async def test_a_failed_upload_releases_its_slot(prepared: Prepared, tmp_path: Path) -> None:
    """Whether the image cannot be found or the bytes are fewer than declared."""
    async with running(prepared, tmp_path, images=ONE) as service:
        missing = "/v2/images/8cd2f1b2-6e1f-4b0c-9d7e-000000000000/file"
        for _ in range(2):
            assert (
                await service.call("alice", "PUT", missing, headers=BINARY, content=b"ab")
            ).status_code == 404
        image = await new_image(service)
        declared = {**BINARY, "x-openstack-image-size": "3"}
        short = await service.call("alice", "PUT", f"{image}/file", headers=declared, content=b"ab")
        assert short.status_code == 400
        assert (await send(service, "alice", "file", b"ab")).status_code == 204


async def test_a_trim_that_is_due_after_the_stop_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The timer of the last transfer may run when the threads have been shut down already."""
    monkeypatch.setattr(quotas, "_TRIM_SECONDS", 0.01)
    loop, complaints = asyncio.get_running_loop(), list[object]()
    loop.set_exception_handler(lambda _, about: complaints.append(about))
    with quotas.Slots(1, "uploads").hold(Caller("user", "user", "project")):
        await loop.shutdown_default_executor()
        await asyncio.sleep(0.05)
    assert complaints == []

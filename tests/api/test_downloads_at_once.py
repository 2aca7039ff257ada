"""How many downloads a project may have at once, and how slowly a client may read one."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from test_imports import new_image
from test_silence import listening

from browsing import browser
from inprocess import Prepared, Service, running
from tintype.api import readers
from tintype.api.readers import Reader
from tintype.blobs.filesystem import FilesystemStore
from tintype.dashboard import filenames
from tintype.errors import NotFound, Unavailable
from tintype.settings.images import ImageSettings

MIB = 1 << 20
BINARY = {"Content-Type": "application/octet-stream"}
ONE = ImageSettings(parallel_downloads=1)


async def filled(service: Service, size: int = 3 * MIB) -> str:
    image = await new_image(service)
    path = f"{image}/file"
    answer = await service.call("alice", "PUT", path, content=bytes(size), headers=BINARY)
    assert answer.status_code == 204
    return path


@pytest.mark.parametrize("failure", [Unavailable("gone"), NotFound("missing"), RuntimeError("a mistake")])
@pytest.mark.parametrize("given", [0, MIB])
async def test_a_download_that_fails_gives_its_place_back(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception, given: int
) -> None:
    """Before the first byte or in the middle: the next download has room."""

    async def failing(*_about: object) -> AsyncIterator[bytes]:
        yield bytes(given)
        raise failure

    async with running(prepared, tmp_path, images=ONE) as service:
        path = await filled(service)
        with monkeypatch.context() as patched:
            patched.setattr(FilesystemStore, "read", failing)
            for _ in range(3):
                try:
                    answer = await service.call("alice", "GET", path)
                except (RuntimeError, AssertionError):
                    continue
                assert answer.status_code != 429
        assert (await service.call("alice", "GET", path)).status_code == 200


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("HEAD", {}, 200),
        ("GET", {"If-None-Match": "*"}, 304),
        ("GET", {"Range": "bytes=99999999-"}, 416),
        ("GET", {"Range": "bytes=0-9"}, 206),
    ],
)
async def test_what_ends_at_once_takes_no_place(
    prepared: Prepared, tmp_path: Path, method: str, headers: dict[str, str], status: int
) -> None:
    """Whatever the answer is, there is room for the next request."""
    async with running(prepared, tmp_path, images=ONE) as service:
        path = await filled(service)
        for _ in range(3):
            assert (await service.call("alice", method, path, headers=headers)).status_code == status
        assert (await service.call("alice", "GET", path)).status_code == 200


async def test_a_file_name_that_cannot_be_made(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistake before the answer begins takes no place for ever."""

    def broken(_image: object) -> str:
        raise RuntimeError("a mistake")

    async with running(prepared, tmp_path, images=ONE) as service:
        path = await filled(service)
        alice = await browser(service, "alice")
        with monkeypatch.context() as patched:
            patched.setattr(filenames, "attachment", broken)
            for _ in range(2):
                answer = await alice.send("GET", f"images/{path.split('/')[3]}/file")
                assert answer.status_code == 500
        assert (await service.call("alice", "GET", path)).status_code == 200


async def test_other_projects_have_room(prepared: Prepared, tmp_path: Path) -> None:
    """The limit is each project's own; who is over it is told when to come again."""
    async with running(prepared, tmp_path, images=ONE) as service, listening(service, 60) as line:
        path = await filled(service, 12 * MIB)
        reader, writer = await line.send(f"GET {path}")
        await reader.readuntil(b"\r\n\r\n")
        refused = await service.call("alice", "GET", path)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "5")
        assert (await service.call("admin", "GET", path)).status_code == 200
        writer.close()
        deadline = asyncio.get_running_loop().time() + 10
        status = 429
        while status == 429 and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.05)
            status = (await service.call("alice", "GET", path)).status_code
        assert status == 200


@pytest.mark.parametrize(("pace", "is_lost"), [(0, True), (200, True), (5000, False)])
def test_a_rate_over_minutes(pace: int, is_lost: bool) -> None:
    """1 KB every 5 s is ended in two windows at the latest; a slow line goes on for an hour."""
    reader, now, pending = Reader(unread_seconds=60, min_rate=1024), 0.0, 1 << 20
    reader.begin(now, pending)
    while now < 3600:
        now += reader.interval
        pending -= int(pace * reader.interval)
        if pending < 64 << 10:  # more is sent
            reader.end(now, pending)
            pending += 1 << 20
            reader.begin(now, pending)
        if reader.is_lost(now, pending):
            break
    assert (now <= 2 * readers.WINDOW_SECONDS) == is_lost


@pytest.mark.parametrize(("slowest", "ends"), [(0, False), (64 * MIB, True)])
async def test_a_client_that_only_trickles_is_cut_off(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slowest: int, ends: bool
) -> None:
    """Each read shows that it is alive; that is not enough below `server.min_read_rate`."""
    monkeypatch.setattr(readers, "WINDOW_SECONDS", 0.8)
    async with running(prepared, tmp_path) as service, listening(service, 60, slowest=slowest) as line:
        path = await filled(service, 24 * MIB)
        reader, writer = await line.send(f"GET {path}")
        cut = False
        for _ in range(30):
            try:
                await reader.readexactly(1000)
            except (ConnectionError, asyncio.IncompleteReadError):
                cut = True
                break
            await asyncio.sleep(0.1)
        writer.close()
        assert cut or line.connections() == (0 if ends else 1)
        assert ends or not cut

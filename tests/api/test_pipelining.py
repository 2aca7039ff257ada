"""Requests that are sent before the answers to those in front of them: how many wait, and for how long."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from test_downloads_at_once import filled
from test_silence import Line, listening
from uvicorn.server import ServerState

from inprocess import Prepared, running
from tintype.api import protocol

MIB = 1 << 20
LIVE = b"GET /healthcheck/live HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest_asyncio.fixture
async def line(prepared: Prepared, tmp_path: Path) -> AsyncIterator[Line]:
    """Return a service behind its HTTP protocol."""
    async with running(prepared, tmp_path) as service, listening(service, 60) as line:
        yield line


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Return the status and the body of the next answer."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length: ")[2].split()[0])
    return int(head.split()[1]), await reader.readexactly(length)


async def test_as_many_requests_as_may_wait(line: Line) -> None:
    """All of them are answered, and the connection can be used again."""
    reader, writer = await asyncio.open_connection("127.0.0.1", line.port)
    async with asyncio.timeout(60):
        for _ in range(2):
            writer.write(LIVE * protocol.WAITING_REQUESTS)
            for _ in range(protocol.WAITING_REQUESTS):
                assert (await read_answer(reader))[0] == 200
    writer.close()


async def test_a_client_that_sends_requests_faster_than_it_is_answered(line: Line) -> None:
    """It reads all the while; those that may wait are answered, the next is refused, the rest not kept."""
    reader, writer = await asyncio.open_connection("127.0.0.1", line.port)
    writer.write(LIVE * 2000)
    statuses: list[int] = []
    async with asyncio.timeout(60):
        while len(statuses) < 2000 and statuses[-1:] != [400]:
            status, body = await read_answer(reader)
            statuses.append(status)
    assert statuses == [200] * (protocol.WAITING_REQUESTS + 1) + [400]
    message = json.loads(body)["error"]["message"]
    assert message == (
        f"At most {protocol.WAITING_REQUESTS} requests may wait on a connection. Read the answers first."
    )
    with contextlib.suppress(ConnectionResetError):
        assert await reader.read() == b""
    writer.close()


class Transport(asyncio.Transport):
    """A connection of which nothing comes but what is put in by hand."""

    def __init__(self, connected: socket.socket) -> None:
        super().__init__({"socket": connected, "peername": ("::1", 1), "sockname": ("::1", 2)})
        self.is_read = True

    def pause_reading(self) -> None:
        self.is_read = False

    def resume_reading(self) -> None:
        self.is_read = True

    def write(self, data: Any) -> None:
        pass

    def close(self) -> None:
        pass

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0


@pytest.fixture
def transport() -> Iterator[Transport]:
    """Return a connection."""
    with socket.socket() as connected:
        yield Transport(connected)


async def test_nothing_is_read_while_requests_wait(transport: Transport) -> None:
    """Neither an answer nor a request that wants its body makes room for a whole read before its turn."""
    is_read: list[bool] = []
    all_answered = asyncio.Event()

    async def app(_scope: object, receive: Any, send: Any) -> None:
        await receive()
        is_read.append(transport.is_read)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})
        if len(is_read) == 4:
            all_answered.set()

    config = protocol.BoundedConfig(app, silent_seconds=9, unread_seconds=9, lifespan="off", log_config=None)
    config.load()
    connection = protocol.BoundedHttpProtocol(config, ServerState(), {})
    connection.connection_made(transport)
    connection.data_received(LIVE * 4)
    async with asyncio.timeout(60):
        await all_answered.wait()
    connection.connection_lost(None)
    assert is_read == [False, False, False, True]


@pytest.mark.parametrize(
    ("behind", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET /v2/images HTTP/1.1\r\nHost: x\r\n", 408),
        (b"POST /v2/images HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    ],
    ids=["malformed head", "half a head", "malformed body"],
)
async def test_a_download_outlives_what_is_wrong_behind_it(
    line: Line, monkeypatch: pytest.MonkeyPatch, behind: bytes, status: int
) -> None:
    """The time of a head begins when there is nothing else to be answered."""
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.5)
    line.config.body_seconds = 1
    path = await filled(line.service, 24 * MIB)
    reader, writer = await line.send(f"GET {path}")
    await reader.readuntil(b"\r\n\r\n")
    writer.write(behind)
    await asyncio.sleep(2)  # nothing is read meanwhile: the download goes on for longer than a head may
    async with asyncio.timeout(60):
        assert await reader.readexactly(24 * MIB) == bytes(24 * MIB)
        assert (await read_answer(reader))[0] == status
        assert await reader.read() == b""
    writer.close()

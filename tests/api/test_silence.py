"""Silent clients: responses, timeouts, and the received data."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from test_imports import new_image, show
from uvicorn.server import ServerState

from inprocess import Prepared, Service, running
from tintype.api import protocol

MIB = 1 << 20
DATA = ("Content-Type: application/octet-stream",)
PIECE = ("Content-Type: application/offset+octet-stream", "Tus-Resumable: 1.0.0", "Upload-Offset: 0")


class Line:
    """A service behind its HTTP protocol, and connections to it."""

    def __init__(
        self, service: Service, port: int, state: ServerState, config: protocol.BoundedConfig
    ) -> None:
        self.service = service
        self.config = config
        self.port = port
        self._state = state

    def connections(self) -> int:
        """Return how many the server has."""
        return len(self._state.connections)

    async def send(
        self, request: str, *headers: str, body: bytes = b"", who: str | None = "alice"
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Send the beginning of a request, and leave it at that."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        token = [] if who is None else [f"X-Auth-Token: {self.service.tokens[who]}"]
        writer.write(
            "\r\n".join([f"{request} HTTP/1.1", "Host: x", *token, *headers, "", ""]).encode() + body
        )
        return reader, writer


@contextlib.asynccontextmanager
async def listening(service: Service, silent: int, unread: int = 60, slowest: int = 0) -> AsyncIterator[Line]:
    """Serve a service over HTTP, in this process."""
    config = protocol.BoundedConfig(
        service.parts.app,
        silent_seconds=silent,
        unread_seconds=unread,
        min_read_rate=slowest,
        lifespan="off",
        log_config=None,
    )
    config.load()
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(
        lambda: protocol.BoundedHttpProtocol(config, state, {}), "127.0.0.1", 0
    )
    try:
        yield Line(service, server.sockets[0].getsockname()[1], state, config)
    finally:
        server.close()
        for connection in list(state.connections):
            connection.transport.abort()


@pytest_asyncio.fixture
async def line(prepared: Prepared, tmp_path: Path) -> AsyncIterator[Line]:
    """Give a service that waits for one second."""
    async with running(prepared, tmp_path) as service, listening(service, 1) as line:
        yield line


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], str]:
    """Return the status, the headers and the message of an error, after which the connection ends."""
    async with asyncio.timeout(10):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    assert int(headers["content-length"]) == len(body)
    error = json.loads(body)
    return int(first.split()[1]), headers, error.get("error", error)["message"]


@pytest.mark.parametrize(
    ("framing", "body"),
    [
        ("Content-Length: 1000", b"x" * 10),
        ("Content-Length: 1000", b""),
        (f"Content-Length: {10 * MIB}", b"x" * MIB),
        (f"Content-Length: {10 * MIB}", b"x"),
        ("Transfer-Encoding: chunked", b"1000\r\n" + b"x" * 10),
    ],
    ids=["few", "none", "much", "one", "chunked"],  # the bytes are too long for a process's environment
)
@pytest.mark.parametrize("path", ["file", "stage"])
async def test_a_silent_upload_is_told(line: Line, path: str, framing: str, body: bytes) -> None:
    """408 names the setting and its value, ends the connection, and the image says the same reason."""
    image = await new_image(line.service)
    reader, writer = await line.send(f"PUT {image}/{path}", *DATA, framing, body=body)
    status, headers, message = await answer(reader)
    assert (status, headers["connection"]) == (408, "close")
    assert "silent for 1 s, the limit of server.silent_seconds" in message
    assert headers["x-openstack-request-id"].startswith("req-")
    shown = await show(line.service, image)
    assert (shown["status"], shown["os_glance_failed_reason"]) == ("queued", message)
    writer.close()


async def test_a_silent_piece_is_kept(line: Line) -> None:
    """What a resumable upload brought before it fell silent is there to go on from."""
    image = await new_image(line.service)
    tus = {"Tus-Resumable": "1.0.0", "Upload-Length": str(10 * MIB)}
    made = await line.service.call("alice", "POST", f"{image}/uploads", headers=tus)
    path = made.headers["location"].removeprefix("http://testserver")
    reader, writer = await line.send(f"PATCH {path}", *PIECE, f"Content-Length: {10 * MIB}", body=b"x" * MIB)
    status, _, message = await answer(reader)
    assert (status, "server.silent_seconds" in message) == (408, True)
    head = await line.service.call("alice", "HEAD", path, headers={"Tus-Resumable": "1.0.0"})
    assert head.headers["upload-offset"] == str(MIB)
    writer.close()


async def test_the_log_has_the_same_status(
    prepared: Prepared, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """An upload that we ended is not logged as a client that went away."""
    async with running(prepared, tmp_path) as service, listening(service, 1) as line:
        image = await new_image(service)
        reader, writer = await line.send(f"PUT {image}/file", *DATA, "Content-Length: 1000", body=b"x")
        await answer(reader)
        writer.close()
    logged = [json.loads(each) for each in capfd.readouterr().err.splitlines() if '"PUT"' in each]
    assert [each["status"] for each in logged] == [408]


@pytest.mark.parametrize("who", [None, "alice"])
async def test_other_bodies_have_little_time(
    who: str | None, prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that brings no image data is not waited for as an upload is, with a token or without."""
    monkeypatch.setattr(protocol, "BODY_SECONDS", 1)
    path = "/identity/v3/auth/tokens" if who is None else "/v2/images"
    async with running(prepared, tmp_path) as service, listening(service, 900) as line:
        reader, writer = await line.send(f"POST {path}", "Content-Length: 100", body=b"{", who=who)
        status, headers, message = await answer(reader)
        assert (status, headers["connection"]) == (408, "close")
        assert "silent for 1 s, the limit of requests without image data" in message
        writer.close()


@pytest.mark.parametrize("length", [1000, 10 * MIB])
@pytest.mark.parametrize(("who", "status"), [(None, b"401"), ("alice", b"404")])
async def test_the_rest_of_a_refused_upload_has_little_time(
    length: int,
    who: str | None,
    status: bytes,
    prepared: Prepared,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A client that has its refusal and does not send the rest is cut off soon, with one answer, not two."""
    monkeypatch.setattr(protocol, "BODY_SECONDS", 1)
    nobody = "/v2/images/00000000-0000-0000-0000-000000000000/file"
    async with running(prepared, tmp_path) as service, listening(service, 900) as line:
        reader, writer = await line.send(
            f"PUT {nobody}", *DATA, f"Content-Length: {length}", body=b"x", who=who
        )
        received = b""
        async with asyncio.timeout(10):
            with contextlib.suppress(ConnectionResetError):
                while part := await reader.read(1000):
                    received += part
        assert received.startswith(b"HTTP/1.1 " + status)
        assert received.count(b"HTTP/1.1") == 1
        writer.close()


async def test_image_data_has_more_time(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upload outlives the time of other bodies, and goes on after a pause."""
    monkeypatch.setattr(protocol, "BODY_SECONDS", 1)
    async with running(prepared, tmp_path) as service, listening(service, 900) as line:
        for length in (1000, MIB):
            image = await new_image(service)
            reader, writer = await line.send(
                f"PUT {image}/file", *DATA, f"Content-Length: {length}", body=b"x"
            )
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), 1.5)
            writer.write(b"x" * (length - 1))
            assert (await reader.readline()).startswith(b"HTTP/1.1 204")
            writer.close()


async def test_a_head_that_is_not_ended(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a head is answered, too; a connection on which nothing was said is only closed."""
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 1)
    reader, writer = await asyncio.open_connection("127.0.0.1", line.port)
    writer.write(b"GET /v2/images HTTP/1.1\r\nHost: x\r\n")
    status, headers, message = await answer(reader)
    assert (status, headers["connection"]) == (408, "close")
    assert message == "The head of the request was not complete within 1 s."
    writer.close()
    reader, writer = await asyncio.open_connection("127.0.0.1", line.port)
    async with asyncio.timeout(10):
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
    writer.close()

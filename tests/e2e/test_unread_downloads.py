"""What clients cost that ask for image data and do not read it: memory, and for how long."""

import contextlib
import os
import socket
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from processes import Api, Server, eventually, started

MIB = 1 << 20
DOWNLOADS = int(os.environ.get("UNREAD_DOWNLOADS", "60"))
EACH = 256 << 10
"""Resident bytes that an unread download may cost."""


def resident(server: Server) -> int:
    return int(psutil.Process(server.process.pid).memory_info().rss)


def settled(server: Server) -> int:
    """Return the resident memory once it does not change any more, and free pages went back."""
    time.sleep(11)
    last, now = 0, resident(server)
    deadline = time.monotonic() + 60
    while abs(now - last) > MIB // 2 and time.monotonic() < deadline:
        time.sleep(3)
        last, now = now, resident(server)
    return now


def unread(api: Api, image: str, received: int = 64 << 10) -> socket.socket:
    """Ask for an image's data, and see only that the answer has begun."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, received)
    host, port = api.server.url.removeprefix("http://").split(":")
    connection.connect((host, int(port)))
    token = api.headers["X-Auth-Token"]
    connection.sendall(f"GET {image}/file HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {token}\r\n\r\n".encode())
    return connection


@pytest.mark.needs("time")
def test_downloads_that_are_not_read_cost_little(tmp_path: Path) -> None:
    """A quarter of a MiB each while they last, and nothing a minute after their end."""
    with started(tmp_path / "data") as server, contextlib.ExitStack() as connections:
        api = Api(server)
        connections.callback(api.http.close)
        image = api.image()
        assert api.put(image, os.urandom(12 * MIB)).status_code == 204
        for _ in range(3):
            assert len(api.http.get(f"{image}/file").content) == 12 * MIB
        idle = settled(server)
        for _ in range(DOWNLOADS):
            connection = connections.enter_context(unread(api, image))
            assert connection.recv(12, socket.MSG_PEEK) == b"HTTP/1.1 200"
        held = settled(server)
        each = (held - idle) / DOWNLOADS
        print(f"idle {idle >> 20} MiB, {DOWNLOADS} downloads {held >> 20} MiB: {each / 1024:.0f} KiB each")
        connections.close()
        assert each <= EACH
        eventually(lambda: resident(server) <= idle * 1.1, 60)
        print(f"after their end {resident(server) >> 20} MiB")


@pytest.mark.parametrize("taken", [0, 8 * MIB])
def test_a_project_has_so_many_downloads_at_once(tmp_path: Path, taken: int) -> None:
    """Beyond the limit: 429 with the time to wait. However a download ends, there is room for another."""
    limit: dict[str, Any] = {"TINTYPE_IMAGES_PARALLEL_DOWNLOADS": "3"}
    with started(tmp_path / "data", **limit) as server, contextlib.ExitStack() as connections:
        api = Api(server)
        connections.callback(api.http.close)
        image = api.image()
        assert api.put(image, os.urandom(24 * MIB)).status_code == 204
        open_ones = [connections.enter_context(unread(api, image)) for _ in range(3)]
        for connection in open_ones:
            read = 1
            while read < taken:
                read += len(connection.recv(MIB))
            assert connection.recv(1)
        refused = api.http.get(f"{image}/file")
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "5")
        assert "images.parallel_downloads" in refused.json()["error"]["message"]
        assert api.http.head(f"{image}/file").status_code == 200
        for connection in open_ones:
            connection.close()
        eventually(lambda: api.http.get(f"{image}/file").status_code == 200)
        for _ in range(5):
            assert api.http.get(f"{image}/file").status_code == 200

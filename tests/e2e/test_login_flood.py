"""A flood of wrong logins from one address: its cost for the service and for other users."""

import contextlib
import json
import re
import select
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from processes import Server, eventually, started

FLOOD = 500
SECONDS = 120
"""A bound that a busy machine meets, too; what counts is asserted by counts."""
WAITING = 5
"""Attempts of one address that may wait in each process, as these tests set it."""

pytestmark = pytest.mark.needs("time")


@pytest.fixture(scope="module", params=["1", "2"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a server of one process, and one of two."""
    folder = tmp_path_factory.mktemp("flood") / "data"
    bound: dict[str, Any] = {"TINTYPE_IDENTITY_LOGIN_QUEUE_PER_ADDRESS": str(WAITING)}
    with started(folder, "--workers", request.param, **bound) as server:
        yield server


def log_in(server: Server, name: str, password: str, address: str) -> socket.socket:
    """Send a log-in from an address of loopback, and do not wait for its answer."""
    user = {"name": name, "domain": {"id": "default"}, "password": password}
    identity = {"methods": ["password"], "password": {"user": user}}
    body = json.dumps({"auth": {"identity": identity, "scope": "unscoped"}}).encode()
    host, port = server.url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), SECONDS, source_address=(address, 0))
    head = (
        f"POST /identity/v3/auth/tokens HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    connection.sendall(head.encode() + body)
    return connection


def answer(connection: socket.socket) -> str:
    """Read an answer to its end."""
    with closing(connection):
        return b"".join(iter(lambda: connection.recv(65536), b"")).decode()


def seconds_of_right_log_in(server: Server, name: str, password: str) -> float:
    """Log in with the right password from another address than the flood's, and return how long it took."""
    before = time.monotonic()
    assert answer(log_in(server, name, password, "127.0.0.2")).startswith("HTTP/1.1 201")
    return time.monotonic() - before


def failures(server: Server) -> int:
    """Return how many wrong log-ins were counted, which is how many were hashed."""
    with closing(sqlite3.connect(server.folder / "tintype.db", timeout=10)) as database:
        return int(database.execute("SELECT coalesce(sum(count), 0) FROM failed_logins").fetchone()[0])


def admin(server: Server) -> tuple[str, str]:
    """Return the first admin's name and password."""
    auth = yaml.safe_load(server.clouds.read_text())["clouds"]["tintype"]["auth"]
    return auth["username"], auth["password"]


def workers(server: Server) -> int:
    """Return how many processes serve."""
    return max(1, len(re.findall(r"spawn_main", _commands(server.process.pid))))


def _commands(parent: int) -> str:
    found = []
    for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        with contextlib.suppress(OSError):
            found.append(Path(f"/proc/{pid}/cmdline").read_text())
    return "\n".join(found)


def test_clients_that_are_gone_are_not_hashed_for(server: Server) -> None:
    """Of 500 attempts sent at once and closed, few were begun; a right log-in waits for no other."""
    before = failures(server)
    for number in range(FLOOD):
        log_in(server, f"nobody-{number}", "wrong", "127.0.0.1").close()
    took = seconds_of_right_log_in(server, *admin(server))
    eventually(lambda: idle(server), SECONDS)
    hashed = failures(server) - before
    print(f"{FLOOD} wrong log-ins, closed: {hashed} hashed; the right one took {took:.2f} s")
    assert took < SECONDS
    assert hashed < FLOOD / 2


def test_clients_that_wait_are_bounded(server: Server) -> None:
    """500 that wait for their answers: each is told at once that the queue is full, or heard."""
    before, most = failures(server), WAITING * workers(server)
    connections = [log_in(server, f"waiting-{number}", "wrong", "127.0.0.1") for number in range(FLOOD)]
    took = seconds_of_right_log_in(server, *admin(server))
    answers = [answer(connection) for connection in connections]
    refused = [each for each in answers if each.startswith("HTTP/1.1 429")]
    hashed = failures(server) - before
    print(f"{FLOOD} wrong log-ins: {hashed} hashed, {len(refused)} refused; the right one took {took:.2f} s")
    assert len(refused) + hashed == FLOOD
    assert len(refused) > most, "the flood came too slowly to be one"
    for each in refused:
        told = re.search(r"(?i)\r\nretry-after: (\d+)\r\n", each)
        assert told is not None
        assert 1 <= int(told[1]) <= 60
    assert all(each.startswith("HTTP/1.1 401") for each in answers if each not in refused)
    assert took < SECONDS


def test_the_queue_is_free_again(server: Server) -> None:
    """Behind the floods as many attempts of the same address are heard as before."""
    for number in range(WAITING):
        assert answer(log_in(server, f"later-{number}", "wrong", "127.0.0.1")).startswith("HTTP/1.1 401")


def idle(server: Server) -> bool:
    """Say whether no attempt has been counted for a while."""
    before = failures(server)
    select.select([], [], [], 0.5)
    return failures(server) == before

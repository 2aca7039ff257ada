"""Large bodies on connections that are used again: they are received past the HTTP parser."""

import hashlib
import os
import random
import socket
import time
from collections.abc import Iterator

import pytest

from processes import Api, eventually, started

MIB = 1 << 20


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """Give a server."""
    with started(tmp_path_factory.mktemp("connections") / "data", TINTYPE_LOG_STYLE="json") as server:
        api = Api(server)
        yield api
        api.http.close()


def request(api: Api, method: str, path: str, data: bytes | None = None, *headers: str) -> bytes:
    """Give a request as it goes over the wire."""
    lines = [f"{method} {path} HTTP/1.1", "Host: x", f"X-Auth-Token: {api.headers['X-Auth-Token']}", *headers]
    if data is not None:
        lines += ["Content-Type: application/octet-stream", f"Content-Length: {len(data)}"]
    return "\r\n".join([*lines, "", ""]).encode() + (data or b"")


def answers(connection: socket.socket, count: int) -> list[int]:
    """Give the status codes of so many answers, read one after the other."""
    file = connection.makefile("rb")
    codes = []
    for _ in range(count):
        codes.append(int(file.readline().split()[1]))
        length = 0
        while (line := file.readline().strip().lower()) != b"":
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        file.read(length)
    return codes


@pytest.mark.parametrize("seed", range(6))
def test_uploads_in_a_row_however_they_are_cut(api: Api, seed: int) -> None:
    """Bodies of all sizes and what stands between them, sent in random pieces: each image has its bytes."""
    chance = random.Random(seed)
    sizes = [
        chance.choice([0, 1, 65_535, 65_536, 65_537, 4 * MIB, chance.randrange(9 * MIB)]) for _ in range(5)
    ]
    bodies = [os.urandom(size) for size in sizes]
    images = [api.image() for _ in bodies]
    stream = b"".join(
        request(api, "PUT", f"{image}/file", body) + request(api, "GET", image)
        for image, body in zip(images, bodies, strict=True)
    )
    with api.dial() as connection:
        while stream:
            cut = chance.choice([1, 100, 70_000, 3 * MIB, len(stream)])
            connection.sendall(stream[:cut])
            stream = stream[cut:]
            time.sleep(chance.choice([0, 0, 0.002]))
        assert answers(connection, 2 * len(bodies)) == [204, 200] * len(bodies)
    for image, body in zip(images, bodies, strict=True):
        shown = api.show(image)
        assert (shown["status"], shown["size"]) == ("active", len(body))
        assert shown["checksum"] == hashlib.md5(body, usedforsecurity=False).hexdigest()
        assert api.http.get(f"{image}/file").content == body
        api.http.delete(image)


def test_what_is_refused_early_is_dropped(api: Api) -> None:
    """An answer before the body has come whole: the rest is no request, and the connection can be used."""
    unknown = "/v2/images/00000000-0000-0000-0000-000000000000/file"
    image = api.http.post("/v2/images", json={"disk_format": "qcow2", "container_format": "bare"}).json()[
        "id"
    ]
    wrong = request(api, "PUT", f"/v2/images/{image}/file", os.urandom(30 * MIB))
    with api.dial() as connection:
        connection.sendall(request(api, "PUT", unknown, os.urandom(20 * MIB)))
        assert answers(connection, 1) == [404]
        connection.sendall(wrong)
        assert answers(connection, 1) == [415]
        connection.sendall(request(api, "GET", f"/v2/images/{image}"))
        assert answers(connection, 1) == [200]
    assert api.show(f"/v2/images/{image}")["status"] == "queued"


def test_a_client_that_waits_to_be_asked(api: Api) -> None:
    """`Expect: 100-continue`, as curl says with anything large."""
    image, data = api.image(), os.urandom(10 * MIB)
    whole = request(api, "PUT", f"{image}/file", data, "Expect: 100-continue")
    with api.dial() as connection:
        connection.sendall(whole[: -len(data)])
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(data)
        assert answers(connection, 1) == [204]
    assert api.show(image)["checksum"] == hashlib.md5(data, usedforsecurity=False).hexdigest()


def test_a_large_body_that_breaks_off(api: Api) -> None:
    """The image is free again within a second, and the connection's descriptors are back."""
    image = api.image()
    before = api.descriptors()  # with the connection that the image was made on, and is looked at
    with api.dial() as connection:
        connection.sendall(request(api, "PUT", f"{image}/file", os.urandom(20 * MIB))[: 15 * MIB])
        eventually(lambda: api.show(image)["status"] == "saving", 2)
    eventually(lambda: api.show(image)["status"] == "queued", 1)
    assert "broke off" in str(api.show(image)["os_glance_failed_reason"])
    eventually(lambda: api.descriptors() <= before, 2)


@pytest.mark.parametrize(
    ("codings", "status"),
    [
        (["chunked"], 204),
        ([" Chunked "], 204),
        (["gzip, chunked"], 501),
        (["gzip", "chunked"], 501),
        (["x, chunked"], 501),
        (["gzip"], 400),  # the end of the body cannot be told: RFC 9112, section 6.3
        (["chunked, gzip"], 400),
        (["identity"], 400),
    ],
)
def test_transfer_codings(api: Api, codings: list[str], status: int) -> None:
    """What is not decoded is refused, never stored as it came."""
    image = api.image()
    headers = [f"Transfer-Encoding: {coding}" for coding in codings]
    connection = api.connect("PUT", f"{image}/file", "Content-Type: application/octet-stream", *headers)
    with connection:
        connection.sendall(b"3\r\nabc\r\n0\r\n\r\n")
        assert answers(connection, 1) == [status]
    assert api.show(image)["status"] == ("active" if status == 204 else "queued")


@pytest.mark.parametrize(
    "wrong",
    [
        b"nonsense\r\n\r\n",
        b"POST /v2/images HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET http://[::1 HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused_in_its_turn(api: Api, wrong: bytes) -> None:
    """Requests before it on the connection get their own answers first: its refusal is the last one."""
    image = api.image()
    whole = [request(api, "GET", path) for path in (image, "/v2/nothing", "/healthcheck/live", image)]
    for _ in range(10):
        with api.dial() as connection:
            connection.sendall(b"".join(whole) + wrong)
            assert answers(connection, 5) == [200, 404, 200, 200, 400]
            assert connection.recv(1) == b""


def test_a_client_that_goes_away_with_requests_waiting(api: Api) -> None:
    """The request at work learns of it as well: its answer is given up, and the log tells of no failure."""
    image = api.image()
    api.put(image, os.urandom(40 * MIB))
    log = api.server.folder.parent / "data.log"
    before, descriptors = log.stat().st_size, api.descriptors()
    for _ in range(5):
        with api.dial() as connection:
            connection.sendall(request(api, "GET", f"{image}/file") + request(api, "GET", image) * 2)
            connection.recv(100)
    eventually(lambda: log.read_text()[before:].count('/file"') >= 5)
    eventually(lambda: api.descriptors() <= descriptors)
    assert "Traceback" not in log.read_text()[before:]

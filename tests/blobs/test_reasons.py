"""Why a download failed, in words that are true: the network, TLS, HTTP, and how far it came."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import web
from certificates import Authority
from tintype.blobs.downloads import Download
from tintype.blobs.web import Web
from tintype.domain.addresses import WebRules, networks
from tintype.errors import Invalid, TintypeError, Unavailable

QUERY = "?X-Amz-Signature=s3cr3t"


async def failure(url: str, trust: ssl.SSLContext | None = None) -> TintypeError:
    """Return what a download fails with."""
    way = Web(WebRules(networks(["127.0.0.0/8"]), ports=frozenset(range(1, 65536))), trust=trust)
    try:
        with pytest.raises(TintypeError) as failed:
            async for _ in await Download(way, url, limit=1 << 20, seconds=20).begin():
                pass
    finally:
        await way.close()
    assert "s3cr3t" not in failed.value.message
    return failed.value


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try once, and wait for a short time."""
    monkeypatch.setattr("tintype.blobs.downloads._TRIES", 1)
    monkeypatch.setattr("tintype.blobs.web._HEAD_SECONDS", 1.0)
    monkeypatch.setattr("tintype.blobs.network._REFUSAL_SECONDS", 0.1)


@contextlib.contextmanager
def speaking(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """Have a server that does as it likes with each connection; its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, contextlib.suppress(OSError):
                    answer(connection)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


async def test_nothing_listens() -> None:
    """A closed port is told from a source that is only slow."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    failed = await failure(f"http://127.0.0.1:{port}/disk{QUERY}")
    assert isinstance(failed, Unavailable)
    assert failed.message == (
        f"Cannot read http://127.0.0.1:{port}/disk: connection refused: nothing listens on that port."
    )


async def test_a_name_that_does_not_exist() -> None:
    """It is refused in the same words as a name that exists inside only."""
    with web.names({"absent.example": [[]]}):
        failed = await failure("https://absent.example/disk")
    reason = "the host was not found in DNS, or has an address that is not public"
    assert failed.message == f"URI does not pass filtering: absent.example: {reason}."


@pytest.mark.parametrize(
    ("certificate", "trusted", "says"),
    [
        (
            {"by_itself": True},
            False,
            "its TLS certificate is self-signed; an operator can trust it by imports.cafile",
        ),
        (
            {},
            False,
            "its TLS certificate is signed by an authority that is not trusted; an operator can",
        ),
        ({"since": -30}, True, "its TLS certificate has expired."),
        ({"since": 30}, True, "its TLS certificate is not valid yet."),
        ({"name": "127.0.0.9"}, True, "its TLS certificate is for another IP address."),
    ],
)
async def test_certificates(certificate: dict[str, Any], trusted: bool, says: str, tmp_path: Path) -> None:
    """Which check a certificate fails is told, at once: it fails the next time, too."""
    authority = Authority(tmp_path)
    trust = ssl.create_default_context(cafile=authority.file) if trusted else None
    with web.serving(lambda request: request.give(b"x"), tls=authority.context(**certificate)) as server:
        failed = await failure(f"{server.url}/disk{QUERY}", trust)
        assert isinstance(failed, Invalid)
        assert failed.message.startswith(f"Cannot read {server.url}/disk: {says}"), failed.message
        assert server.seen == []


async def test_a_certificate_for_another_name(tmp_path: Path) -> None:
    """The host of the URL counts, not its address."""
    authority = Authority(tmp_path)
    trust = ssl.create_default_context(cafile=authority.file)
    with (
        web.serving(lambda request: request.give(b"x"), tls=authority.context("other.example")) as server,
        web.names({"mirror.example": [["127.0.0.1"]]}),
    ):
        failed = await failure(f"https://mirror.example:{server.server_port}/", trust)
        assert "its TLS certificate is for another host name" in failed.message


async def test_http_on_a_tls_port_and_the_reverse(tmp_path: Path) -> None:
    """The scheme is named as what to check; neither is called silence."""
    with web.serving(lambda request: request.give(b"x")) as server:
        failed = await failure(server.url.replace("http:", "https:"))
        assert isinstance(failed, Invalid)
        assert "does not speak TLS on that port, but perhaps plain HTTP" in failed.message

    def alert(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(b"\x15\x03\x01\x00\x02\x02\x46")

    with speaking(alert) as port:
        failed = await failure(f"http://127.0.0.1:{port}/")
        assert "its answer is not HTTP: check scheme and port of the URL" in failed.message


def close(_connection: socket.socket) -> None:
    """Say nothing."""


def read_and_close(connection: socket.socket) -> None:
    connection.recv(1000)


def wait(connection: socket.socket) -> None:
    while connection.recv(1000):
        pass


@pytest.mark.parametrize(
    ("scheme", "answer", "says"),
    [
        ("http", read_and_close, "it closed the connection without an answer"),
        ("https", read_and_close, "it closed the connection during the TLS handshake"),
        ("http", wait, "no answer within 1 s"),
    ],
)
async def test_no_answer(scheme: str, answer: Callable[[socket.socket], None], says: str) -> None:
    """A connection that was closed is told from one that is silent."""
    with speaking(answer) as port:
        failed = await failure(f"{scheme}://127.0.0.1:{port}/disk{QUERY}")
        assert failed.message == f"Cannot read {scheme}://127.0.0.1:{port}/disk: {says}."


async def test_a_body_that_is_cut_short() -> None:
    """How many bytes of how many came is told."""

    def answer(request: web.Request) -> None:
        request.give(b"x" * 700, length=1000)
        request.close_connection = True

    with web.serving(answer) as server:
        failed = await failure(f"{server.url}/disk{QUERY}")
    expected = f"Cannot read {server.url}/disk: it closed the connection early, after 700 of 1000 bytes."
    assert failed.message == expected


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (401, "answered HTTP 401 Unauthorized: it asks for credentials."),
        (403, "answered HTTP 403 Forbidden: it does not allow it."),
        (404, "answered HTTP 404 Not Found: check the URL."),
        (410, "answered HTTP 410 Gone."),
        (503, "answered HTTP 503 Service Unavailable."),
        (599, "answered HTTP 599."),
    ],
)
async def test_statuses(status: int, says: str) -> None:
    """What the source answered is told with its URL, without the signature in it."""
    with web.serving(lambda request: request.give(b"", status=status)) as server:
        assert (await failure(f"{server.url}/disk{QUERY}")).message == f"{server.url}/disk {says}"


async def test_redirects_without_end() -> None:
    """Where the last one led to is told."""
    with web.serving(
        lambda request: request.redirect(request.path.partition("?")[0] + "x" + QUERY)
    ) as server:
        failed = await failure(f"{server.url}/")
    assert failed.message == f"There were more than 5 redirects; the last one led to {server.url}/xxxxxx."

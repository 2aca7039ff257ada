"""Downloads from a bucket whose gateway goes away in the middle, and is back a moment later."""

import asyncio
import contextlib
import hashlib
import http.server
import os
import socketserver
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import ceph as cluster
from ceph import Ceph
from restarting import restarting
from tintype.blobs.s3 import S3Store
from tintype.errors import Conflict, NotFound, Unavailable
from tintype.settings import stores as store_settings
from tintype.testing.stores import by_writing
from tintype.wiring.stores import own_settings

MIB = 1 << 20


def store_at(endpoint: str, bucket: str = cluster.BUCKET) -> S3Store:
    chosen = store_settings.S3Store(
        bucket=bucket, endpoint=endpoint, access_key=cluster.KEY, secret_key=cluster.SECRET, timeout=10
    )
    return S3Store("s3", **own_settings(chosen))


@pytest.mark.needs("ceph")
@pytest.mark.xdist_group("ceph")
async def test_a_gateway_that_restarts(ceph: Ceph) -> None:
    """At 44 of 60 MiB it cuts every connection and refuses new ones for a second: no byte is lost."""
    data = os.urandom(60 * MIB)
    direct = store_at(ceph.endpoint)
    await direct.call("create_bucket")
    await by_writing(direct)("cut", data)
    with restarting(ceph.endpoint, after=44 * MIB, seconds=1.0) as gateway:
        store, found = store_at(gateway.url), hashlib.sha256()
        async for piece in store.read("cut", 0, len(data)):
            found.update(piece)
        await store.close()
    assert gateway.restarts >= 1
    assert found.digest() == hashlib.sha256(data).digest()
    await direct.delete("cut")
    await direct.close()


class _Bucket(http.server.BaseHTTPRequestHandler):
    """An S3 of one object, whose ranges fail as a test wants."""

    protocol_version = "HTTP/1.1"
    data = os.urandom(24 * MIB)
    tag = "first"
    failures: list[Any] = []
    """What the next requests for ranges from the second on get in place of an answer."""

    def do_GET(self) -> None:
        if "Range" not in self.headers:  # the check of the bucket
            self._send(200, b'<?xml version="1.0"?><ListBucketResult></ListBucketResult>')
            return
        first, last = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
        failure = self.failures.pop(0) if first and self.failures else None
        if isinstance(failure, int):
            code = {404: "NoSuchKey", 403: "AccessDenied", 503: "SlowDown"}[failure]
            self._send(failure, f"<Error><Code>{code}</Code></Error>".encode())
            return
        body = self.data[first : last + 1]
        more = {"Content-Range": f"bytes {first}-{last}/{len(self.data)}", "ETag": f'"{self.tag}"'}
        self._send(206, body, cut=failure == "cut", **more)
        if failure == "changes":
            type(self).tag = "second"

    def _send(self, status: int, body: bytes, *, cut: bool = False, **headers: str) -> None:
        self.send_response(status)
        date = {"Last-Modified": "Fri, 01 Jan 2021 00:00:00 GMT", "Content-Type": "application/xml"}
        for name, value in {**date, **headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = cut

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def bucket() -> Iterator[str]:
    """Serve the bucket; gives its address."""

    class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
        daemon_threads = True

        def handle_error(self, *_about: object) -> None:
            """Expect readers to go away."""

    _Bucket.tag, _Bucket.failures = "first", []
    server = Server(("127.0.0.1", 0), _Bucket)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


async def read_all(url: str) -> bytes:
    store = store_at(url)
    try:
        return b"".join([piece async for piece in store.read("x", 0, len(_Bucket.data))])
    finally:
        await store.close()


@pytest.mark.parametrize("failures", [["cut"], ["cut", "cut", 503], [503] * 9, ["cut", 403]])
async def test_failures_that_pass_in_the_middle(bucket: str, failures: list[object]) -> None:
    """A range that is cut short or refused is asked for again."""
    _Bucket.failures = failures
    assert await read_all(bucket) == _Bucket.data
    assert failures == []


async def test_an_object_that_changes_in_the_middle(bucket: str) -> None:
    """Bytes of two versions are never put together."""
    _Bucket.failures = ["changes"]
    with pytest.raises(Unavailable, match="changed while it was read"):
        await read_all(bucket)


async def test_an_object_that_is_deleted_in_the_middle(bucket: str) -> None:
    """Nobody waits for what is gone."""
    _Bucket.failures = [404]
    with pytest.raises(NotFound):
        await read_all(bucket)


@pytest.mark.needs("ceph")
@pytest.mark.xdist_group("ceph")
async def test_an_upload_that_goes_on_while_it_is_deleted(ceph: Ceph) -> None:
    """Whoever writes learns that it is gone, and a last deletion leaves neither object nor parts."""
    store = store_at(ceph.endpoint)
    await store.call("create_bucket")
    writer = await store.create("lost", None)

    async def write() -> None:
        for _ in range(20):
            await writer.write(memoryview(bytes(8 * MIB)))
        await writer.commit()

    writing = asyncio.create_task(write())
    has_begun = False
    while not writing.done():
        has_begun = has_begun or bool([found async for found in store.uploads("")])
        with contextlib.suppress(Conflict):
            if has_begun:
                await store.delete("lost")
        await asyncio.sleep(0.02)
    with pytest.raises(NotFound):
        await writing
    await writer.close()
    await store.delete("lost")
    assert "Contents" not in await store.call("list_objects_v2", Prefix="tintype/lost")
    assert [found async for found in store.uploads("")] == []
    await store.close()

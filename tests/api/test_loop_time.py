"""No request within the limits of size keeps the event loop, and so everybody else, for long.

What is measured is the processor time of the handler, against that of an ordinary request.
"""

import asyncio
import json
import time
from collections.abc import MutableMapping
from typing import Any

from test_silence import listening

from inprocess import Service

MOST = 40
"""Times the processor time of the reference request that any other may take."""
OUR_PATCH = "application/openstack-images-v2.1-json-patch"
OLD_PATCH = "application/openstack-images-v2.0-json-patch"
JSON = "application/json"
BARE = {"disk_format": "raw", "container_format": "bare"}


async def processor_time(service: Service, method: str, path: str, **request: Any) -> tuple[int, float]:
    """Return the status of a request, and the milliseconds that the event loop computed for it."""
    raw, _, query = path.partition("?")
    body, media_type = request.get("body", b""), request.get("media_type", JSON)
    scope = {
        "type": "http",
        "http_version": "1.1",
        "scheme": "http",
        "server": ("testserver", 80),
        "client": ("127.0.0.1", 1),
        "method": method,
        "path": raw,
        "raw_path": raw.encode(),
        "query_string": query.encode(),
        "headers": [
            (b"host", b"testserver"),
            (b"x-auth-token", service.tokens["alice"].encode()),
            (b"content-type", media_type.encode()),
            *request.get("headers", ()),
        ],
    }
    statuses: list[int] = []

    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if not messages:
            await asyncio.Event().wait()
        return messages.pop()

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    begun = time.thread_time()
    await service.parts.app(scope, receive, send)
    return statuses[0], (time.thread_time() - begun) * 1000


def flood(text: str, size: int = 1 << 20) -> bytes:
    """Return a JSON array of as many copies of a text as a body may have."""
    return f"[{','.join([text] * ((size - 2) // (len(text) + 1)))}]".encode()


BODIES: dict[str, tuple[str, str, bytes, str]] = {
    "properties": ("POST", "/v2/images", json.dumps({f"p{n}": "" for n in range(70_000)}).encode(), JSON),
    "properties under the bound": (
        *("POST", "/v2/images"),
        json.dumps({f"p{n}": "" for n in range(4_500)}).encode(),
        JSON,
    ),
    "tags": ("POST", "/v2/images", json.dumps({"tags": [str(n) for n in range(100_000)]}).encode(), JSON),
    "tags under the bound": (
        *("POST", "/v2/images"),
        json.dumps({"tags": [str(n) for n in range(9_000)]}).encode(),
        JSON,
    ),
    "one tag repeated": ("POST", "/v2/images", json.dumps({"tags": ["a"] * 9_000}).encode(), JSON),
    "objects": ("POST", "/v2/images", flood("{}"), JSON),
    "nested": ("POST", "/v2/images", b"[" * (1 << 20), JSON),
    "nested objects": ("POST", "/v2/images", b'{"a":' * 200_000, JSON),
    "numbers": ("POST", "/v2/images", flood("1"), JSON),
    "a long number": ("POST", "/v2/images", b'{"a": ' + b"9" * 1_000_000 + b"}", JSON),
    "long fractions": ("POST", "/v2/images", flood("0." + "1" * 50_000), JSON),
    "escapes": ("POST", "/v2/images", flood('"' + "\\u00e9" * 10_000 + '"'), JSON),
    "quotes": ("POST", "/v2/images", flood('"\\""'), JSON),
    "long values": (
        *("POST", "/v2/images"),
        json.dumps({f"p{n}": "x" * 60_000 for n in range(17)}).encode(),
        JSON,
    ),
    "operations": ("PATCH", "", flood('{"op": "add", "path": "/p", "value": "x"}'), OUR_PATCH),
    "operations under the bound": (
        *("PATCH", ""),
        flood('{"op": "add", "path": "/p", "value": "x"}', 40_000),
        OUR_PATCH,
    ),
    "long pointers": ("PATCH", "", flood('{"op":"remove","path":"/' + "/ " * 20_000 + '"}'), OUR_PATCH),
    "spaces in pointers": ("PATCH", "", flood('{"op":"remove","path":"/' + " " * 40_000 + '"}'), OUR_PATCH),
    "old operations": ("PATCH", "", flood('{"add": "/p", "value": "x"}'), OLD_PATCH),
    "tags in operations": (
        *("PATCH", ""),
        flood('{"op":"replace","path":"/tags","value":["a","b","c","d","e","f","g","h"]}', 70_000),
        OUR_PATCH,
    ),
    "member": ("POST", "/members", flood('{"member":"a"}'), JSON),
    "import": (
        "POST",
        "/import",
        b'{"method":{"name":"web-download","x":' + flood('"a"', 1_000_000) + b"}}",
        JSON,
    ),
    "objects of a namespace": (
        *("POST", "/v2/metadefs/namespaces"),
        json.dumps({"namespace": "n", "objects": [{"name": f"o{n}"} for n in range(50_000)]}).encode(),
        JSON,
    ),
    "objects under the bound": (
        *("POST", "/v2/metadefs/namespaces"),
        json.dumps({"namespace": "n", "objects": [{"name": f"o{n}"} for n in range(3_000)]}).encode(),
        JSON,
    ),
    "properties of a namespace": (
        *("POST", "/v2/metadefs/namespaces"),
        json.dumps(
            {
                "namespace": "n",
                "properties": {f"p{n}": {"title": "t", "type": "string"} for n in range(3_000)},
            }
        ).encode(),
        JSON,
    ),
    "credentials": (
        *("POST", "/identity/v3/auth/tokens"),
        b'{"auth":{"identity":{"methods":' + flood('"password"', 900_000) + b"}}}",
        JSON,
    ),
}
QUERIES: dict[str, str] = {
    "parameters": "&".join(["a"] * 60_000),
    "commas": "name=in:" + "," * 60_000,
    "quoted commas": 'name=in:"' + "," * 60_000 + '"',
    "quotes": "name=in:" + '"",' * 30_000,
    "an open quote": 'name=in:"' + "\\a" * 60_000,
    "values": "name=in:" + ",".join(f"v{n}" for n in range(1000)),
    "escapes": "name=" + "%41" * 40_000,
    "sort keys": "sort=" + "name," * 24_000,
    "sort key parameters": "&".join(["sort_key=name"] * 140),
    "a long value": "x=" + "y" * 120_000,
    "a long time": "created_at=2020-01-01T" + "0" * 120_000,
    "a long number": "size_min=" + "9" * 120_000,
    "spaces before a number": "size_min=" + " " * 120_000 + "x",
    "zeros behind a number": "size=5." + "0" * 120_000 + "x",
    "many zeros": "size=" + "5.0" * 40_000 + "x",
}


async def reference(service: Service) -> float:
    """Return the milliseconds of an ordinary request: an image with all properties and tags it may have."""
    body = json.dumps({f"p{n}": "value" for n in range(128)} | {"tags": [f"t{n}" for n in range(128)]})
    return min(
        [(await processor_time(service, "POST", "/v2/images", body=body.encode()))[1] for _ in range(5)]
    )


async def least(service: Service, method: str, path: str, **request: Any) -> tuple[int, float]:
    """Return the status, and the lesser time of two."""
    found = [await processor_time(service, method, path, **request) for _ in range(2)]
    return found[0][0], min(spent for _, spent in found)


async def test_bodies(service: Service) -> None:
    """Counts are checked before contents."""
    image = (await service.call("alice", "POST", "/v2/images", json=BARE)).json()["id"]
    most, slow = MOST * await reference(service), {}
    for name, (method, path, body, media_type) in BODIES.items():
        where = path if path.startswith(("/v2", "/identity")) else f"/v2/images/{image}{path}"
        assert len(body) <= (1 << 20) + 64, name
        status, spent = await least(service, method, where, body=body, media_type=media_type)
        print(f"{name}: {status}, {spent:.1f} ms")
        if spent > most:
            slow[name] = spent
    assert slow == {}, f"at most {most:.1f} ms"


async def test_query_strings(service: Service) -> None:
    """Of the length that the server takes."""
    most, slow = MOST * await reference(service), {}
    for name, query in QUERIES.items():
        assert len(query) <= 128 << 10, name
        for path in ("/v2/images", "/v2/metadefs/namespaces"):
            status, spent = await least(service, "GET", f"{path}?{query}")
            assert status == 400 or len(query) <= 64 << 10, name
            print(f"{path} {name}: {status}, {spent:.1f} ms")
            if spent > most:
                slow[name] = spent
    assert slow == {}, f"at most {most:.1f} ms"


HEADERS: dict[str, tuple[str, str, bytes, bytes]] = {
    "digests": ("GET", "/file", b"if-none-match", b'"a",' * 15_000),
    "weak digests": ("GET", "/file", b"if-none-match", b"W/" * 30_000),
    "ranges": ("GET", "/file", b"range", b"bytes=" + b"0-1," * 15_000),
    "a long range": ("GET", "/file", b"range", b"bytes=" + b"9" * 60_000 + b"-"),
    "metadata of an upload": ("POST", "/uploads", b"upload-metadata", b"a YQ==," * 8_000),
    "a long offset": ("POST", "/uploads", b"upload-length", b"9" * 60_000),
    "stores": ("POST", "/import", b"x-image-meta-store", b"a," * 30_000),
    "digests of content": ("PUT", "/file", b"repr-digest", b"sha-256=:YQ==:," * 4_000),
    "media types": ("GET", "/nothing", b"accept", b"text/plain;q=0.1," * 3_500),
    "a long token": ("GET", "", b"x-service-token", b"a" * 60_000),
    "a media type": ("PATCH", "", b"content-type", b"a;" * 30_000),
    "forwarded": ("GET", "", b"forwarded", b"for=a;host=b," * 4_500),
}


async def test_headers(service: Service) -> None:
    """Of as many bytes as a request may have."""
    image = (await service.call("alice", "POST", "/v2/images", json=BARE)).json()["id"]
    octets = {"Content-Type": "application/octet-stream"}
    await service.call("alice", "PUT", f"/v2/images/{image}/file", content=b"x", headers=octets)
    most, slow = MOST * await reference(service), {}
    for name, (method, path, header, value) in HEADERS.items():
        more = [(header, value), (b"tus-resumable", b"1.0.0")]
        status, spent = await least(service, method, f"/v2/images/{image}{path}", headers=more)
        print(f"{name}: {status}, {spent:.1f} ms")
        if spent > most:
            slow[name] = spent
    assert slow == {}, f"at most {most:.1f} ms"


async def test_cookies(service: Service) -> None:
    """A header full of escapes is not read."""
    headers = [(b"cookie", b'a="' + b"\\101" * 15_000 + b'"'), (b"x-requested-with", b"XMLHttpRequest")]
    for path in ("/api/glance/images", "/api/glance/events", "/api/session"):
        status, spent = await least(service, "GET", path, headers=headers)
        print(f"{path}: {status}, {spent:.1f} ms")
        assert (status, spent < MOST * await reference(service)) == (400, True)


async def test_requests_in_crumbs(service: Service) -> None:
    """Thousands of headers, and bodies in chunks of a byte, are refused before they are all read."""
    head = b"PUT /v2/images/x/file HTTP/1.1\r\nHost: x\r\n"
    async with listening(service, 5) as line:
        for sent, said in (
            (head + b"a: b\r\n" * 300, b"at most 256 headers"),
            (head + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 5_000, b"16 bytes on average"),
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", line.port)
            writer.write(sent)
            answered = await asyncio.wait_for(reader.read(), 20)
            assert (answered.split()[1], said in answered) == (b"400", True), answered
            writer.close()

"""Hostile requests to every route as bytes, generated from a seed.

A generator that is not bound to an HTTP client: wrong framing, odd headers, broken encodings, bodies of
every wrong shape, by callers with every kind of token. `attacking.py` sends what this makes.
"""

import collections
import dataclasses
import json
import random
import re
import urllib.parse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from disks import QCOW2

ROUTES: Final = Path(__file__).parents[1] / "docs" / "reference" / "routes.md"
"""The table of routes; a test of the house holds it against the code."""
TEXTS: Final = (
    *("", "\0", "a\0b", "../../etc/passwd", "%00", "%2e%2e%2f", "'; DROP TABLE images;--", "x" * 300),
    *("\U0001d518\U0001d52b", "\u202e", "\x9b31m", "\x1b[2J", "\ud800", "é", "\u00a0", "\u2028", "\ufeff"),
    *("null", "None", "true", "-1", "9" * 40, "1e999", "nan", "{id}", "{", "[", '"', "\\", "\n", "\r\n"),
    *("in:", 'in:"', "gt:", "eq:", "neq:1", "lt:9999-99-99", "2020-13-45T99:99:99Z", "0001-01-01"),
    *("9999-12-31T23:59:59-23:59", "name:asc", "name:", ":asc", ",,,", "x" * 4000, "," * 3000),
)
QUOTED: Final = {text: urllib.parse.quote(text.encode("utf-8", "surrogatepass"), safe="") for text in TEXTS}
VALUES: Final[tuple[Any, ...]] = (
    *TEXTS,
    *(None, True, False, 0, -1, 2**31, 2**63, 2**70, 10**400, 1.5, 1e308, [], {}, [[]], {"a": {}}, ["a", 1]),
)
ATTRIBUTES: Final = (
    *("id", "name", "owner", "visibility", "protected", "os_hidden", "disk_format", "container_format"),
    *("min_disk", "min_ram", "tags", "status", "size", "locations", "checksum", "virtual_size", "stores"),
    *("os_hash_value", "hw_disk_bus", "img_signature", "custom", "created_at", "self", "schema", "x" * 256),
)
QUERIES: Final = (
    *("limit", "marker", "sort", "sort_key", "sort_dir", "name", "id", "status", "size_min", "size_max"),
    *("tag", "created_at", "updated_at", "visibility", "member_status", "os_hidden", "protected", "owner"),
    *("x_min", "custom", "container_format", "disk_format", "checksum", "changes-since", "resource_types"),
    *("prefix", "type", "user", "project.id", "scope.project.id", "role.id", "include_limits", "filters"),
)
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "LOCK")
TYPES: Final = (
    *("application/json", "application/octet-stream", "application/offset+octet-stream", "text/plain"),
    *("application/openstack-images-v2.1-json-patch", "application/openstack-images-v2.0-json-patch"),
    *("multipart/form-data; boundary=b", "multipart/form-data", "application/json; charset=utf-16", "", "/"),
)
RANGES: Final = (
    *(
        "bytes=0-1",
        "bytes=-0",
        "bytes=5-1",
        "bytes=-1",
        "bytes=0-,1-",
        "bytes=99999999999999999999-",
        "x=1-2",
    ),
    *("bytes 0-1/2", "bytes 5-1/2", "bytes 0-0/*", "bytes */5", "bytes=0-0, 2-2", "bytes=--1", "bytes=1"),
)
ODD_HEADERS: Final = (
    *("Range", "Content-Range", "X-Image-Meta-Store", "X-OpenStack-Image-Size", "Accept", "Host", "Origin"),
    *("X-Subject-Token", "X-OpenStack-Request-ID", "Expect", "Cookie", "If-None-Match", "If-Range", "Via"),
    *("Upload-Offset", "Upload-Length", "Upload-Metadata", "Upload-Checksum", "Tus-Resumable", "Forwarded"),
    *("X-HTTP-Method-Override", "X-Forwarded-Host", "X-Forwarded-For", "X-Image-Cache-Clear-Target", "TE"),
    *("X-Service-Token", "X-Auth-Token", "Access-Control-Request-Method", "Content-Encoding"),
)
HASHING: Final = re.compile(r"/(auth/tokens|users|password|application_credentials|session)/?(\{\w+\})?$")
"""Paths whose valid requests hash a secret: a million of these would take days."""


@dataclasses.dataclass(frozen=True)
class Message:
    """One request as bytes, and what its sender can expect."""

    data: bytes
    is_head: bool = False
    keeps: bool = True
    """Whether it is whole, so that another one may follow on the connection."""
    is_broken_off: bool = False
    """Whether its end never comes: the server owes no answer."""
    has_coding: bool = False
    """Whether it names a transfer coding, which may be refused with 501."""


@dataclasses.dataclass
class Caller:
    """The headers with which a caller uses the API and the dashboard."""

    name: str
    api: bytes
    page: bytes


class Generator:
    """Generates requests from a seed. Requests refer to earlier resources by their position."""

    def __init__(
        self, seed: int, routes: Sequence[tuple[str, tuple[str, ...]]], callers: Sequence[Caller]
    ) -> None:
        self.random = random.Random(seed)
        self._routes = routes
        self._callers = callers
        self._voided = [caller for caller in callers if caller.name in {"nobody", "wrong", "expired"}]
        self._able = [caller for caller in callers if caller.name in {"alice", "admin"}]
        self.images: collections.deque[str] = collections.deque(maxlen=30)
        self.uploads: collections.deque[tuple[str, str]] = collections.deque(maxlen=20)
        self.tasks: collections.deque[str] = collections.deque(maxlen=20)
        self.people: collections.deque[str] = collections.deque(maxlen=20)
        self.projects: list[str] = []

    def plain(self) -> Message:
        """Return a request that is valid HTTP with any content."""
        chance, pick = self.random.random, self.random.choice
        route, allowed = pick(self._routes)
        method = pick(allowed) if chance() < 0.8 else pick(METHODS)
        caller = self._caller(route, method)
        upload = pick(self.uploads) if self.uploads and "{upload}" in route and chance() < 0.8 else None
        path = self._path(route, upload)
        body, media = self._body(route, method)
        lines = [b"%s %s HTTP/1.1\r\nHost: %s\r\n" % (method.encode(), path, self._host())]
        lines.append(caller.page if route.startswith("/api/") else caller.api)
        if media:
            lines.append(b"Content-Type: %s\r\n" % media.encode())
        if "/uploads" in route and chance() < 0.8:
            lines.append(
                b"Tus-Resumable: 1.0.0\r\nUpload-Length: 20\r\nUpload-Offset: %d\r\n" % pick((0, 0, 5, 20))
            )
        while chance() < 0.3:
            lines.append(self._odd_header())
        has_coding = False
        if body and chance() < 0.15:
            lines += [b"Transfer-Encoding: chunked\r\n\r\n", self._chunked(body)]
        elif chance() < 0.01:
            has_coding = True
            lines += [
                b"Transfer-Encoding: %s, chunked\r\n\r\n" % pick((b"gzip", b"x", b"identity")),
                self._chunked(body),
            ]
        elif body or method in {"POST", "PUT", "PATCH"}:
            lines.append(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        else:
            lines.append(b"\r\n")
        return Message(b"".join(lines), method == "HEAD", has_coding=has_coding)

    def broken(self) -> Message:
        """Return invalid or incomplete HTTP, to be sent last on a connection."""
        chance, pick = self.random.random, self.random.choice
        whole = self.plain()
        head, _, body = whole.data.partition(b"\r\n\r\n")
        form = self.random.randrange(15)
        if form == 0:  # it breaks off
            return dataclasses.replace(
                whole,
                data=whole.data[: self.random.randrange(len(whole.data))],
                keeps=False,
                is_broken_off=True,
            )
        if form == 1:  # more is promised than comes
            data = (
                re.sub(rb"(?i)content-length: \d+", b"", head) + b"\r\nContent-Length: 90000\r\n\r\n" + body
            )
            return dataclasses.replace(whole, data=data, keeps=False, is_broken_off=True)
        if form == 2:
            value = pick(
                (b"-1", b"+5", b"0x5", b"5, 5", b"5 5", b"", b"9" * 30, b"\xb2", b"5\r\nContent-Length: 6")
            )
            data = head + b"\r\nContent-Length: " + value + b"\r\n\r\n" + body
        elif form == 3:
            chunk = pick(
                (
                    b"zz\r\nabc\r\n0\r\n\r\n",
                    b"-3\r\nabc\r\n",
                    b"f" * 40 + b"\r\nabc",
                    b"3\r\nabcdef\r\n0\r\n\r\n",
                    b"\r\n",
                )
            )
            data = b"POST /v2/images HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk
        elif form == 4:
            coding = pick(
                (
                    b"chunked, gzip",
                    b"gzip",
                    b"identity",
                    b"chunked\r\nContent-Length: 3",
                    b"\x0bchunked",
                    b"cHunKed, chunked",
                )
            )
            data = (
                b"PUT /v2/images/x/file HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
                + coding
                + b"\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
            )
        elif form == 5:
            odd = pick(
                (
                    b"X-Folded: a\r\n b",
                    b"X-Bare: a\nb: c",
                    b"X Space: a",
                    b"X-Nul: a\0b",
                    b": empty",
                    b"X-CR: a\rb",
                    b"\xff\xfe: x",
                    b"NoColon",
                    b"Host : x",
                )
            )
            data = head + b"\r\n" + odd + b"\r\n\r\n" + body
        elif form == 6:
            line = pick(
                (
                    b"GET",
                    b"GET /",
                    b"GET  / HTTP/1.1",
                    b"GET / HTTP/9.9",
                    b"GET / HTTQ/1.1",
                    b"get / HTTP/1.1",
                    b"BREW / HTTP/1.1",
                    b"GET /\xff\xfe HTTP/1.1",
                    b"GET /a b HTTP/1.1",
                    b"CONNECT a:1 HTTP/1.1",
                    b"GET * HTTP/1.1",
                    b"OPTIONS * HTTP/1.1",
                    b"GET http://[::1 HTTP/1.1",
                    b"PRI * HTTP/2.0",
                    b"GET //[ HTTP/1.1",
                )
            )
            data = line + b"\r\nHost: x\r\n\r\n"
        elif form == 7:
            data = (
                b"GET /v2/images HTTP/1.0\r\n"
                + pick((b"", b"Connection: keep-alive\r\n", b"Connection: \xff\r\n"))
                + b"\r\n"
            )
        elif form == 8:
            data = head + b"\r\nConnection: close\r\n\r\n" + body
        elif form == 9:
            size = pick((70_000, 140_000, 400_000)) if chance() < 0.1 else 9000
            data = head + b"\r\nX-Huge: " + b"h" * size + b"\r\n\r\n" + body
        elif form == 10:
            data = self.random.randbytes(self.random.randint(1, 200)) + b"\r\n\r\n"
        elif form == 11:
            data = b"GET /" + b"%2e" * pick((10, 3000, 30_000)) + b" HTTP/1.1\r\nHost: x\r\n\r\n"
        elif form == 13:
            data = head + b"\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n" + body
        elif form == 12:
            data = head + b"\r\n" + b"X-Many: 1\r\n" * pick((90, 1000)) + b"\r\n" + body
        else:
            data = head.replace(b"\r\n", b"\n") + b"\n\n" + body
        return Message(data, whole.is_head, keeps=False, has_coding=True)

    def note(self, sent: bytes, body: bytes) -> None:
        """Remember the resource that a response with 201 or 202 created."""
        path = sent.split(b" ", 2)[1]
        if b"/uploads" in path:
            return
        found = re.search(rb'"id": ?"([0-9a-f-]{32,36})"', body)
        if found is None:
            return
        made = found[1].decode()
        pool = self.people if b"/identity/" in path else self.tasks if b"tasks" in path else self.images
        pool.append(made)

    def _caller(self, route: str, method: str) -> Caller:
        """Return a caller whose token stays valid: other requests need the tokens."""
        voids = method in {"DELETE", "PUT", "POST"} and (
            route.endswith("/auth/tokens") or "/api/session" in route
        )
        if voids:
            return self.random.choice(self._voided)
        return self.random.choice(self._callers if self.random.random() < 0.5 else self._able)

    def _host(self) -> bytes:
        return (
            b"x"
            if self.random.random() < 0.97
            else self.random.choice((b"", b"a:99999", b"[::1]", b"\xff", b"a b", b"../", b"a@b", b"x" * 300))
        )

    def _path(self, route: str, upload: tuple[str, str] | None) -> bytes:
        chance = self.random.random
        if upload is not None:
            path = route.replace("{id}", upload[0]).replace("{upload}", upload[1])
        else:
            path = re.sub(r"\{(\w+)(\.\.\.)?\}", lambda found: self._segment(found[1], route), route)
        if chance() < 0.03:
            path = self.random.choice(
                (
                    f"/{path}",
                    f"{path}//",
                    f"{path}/..",
                    path.upper(),
                    path.replace("/v2", "/v2.15"),
                    "/" + path[1:].replace("/", "%2F"),
                    f"{path};a=b",
                    path + "/x" * 300,
                )
            )
        if chance() < 0.4:
            path += "?" + "&".join(self._parameter() for _ in range(self.random.choice((1, 1, 2, 3, 8))))
        elif chance() < 0.03:
            path += self.random.choice(
                ("?", "?&&&", "?=", "?%", "?%zz=%", "?a=%ff", "?a=%00", "?limit=%F0%9D%94%98", "?a=b#c")
            )
        return path.encode("utf-8", "surrogatepass")

    def _parameter(self) -> str:
        return f"{self.random.choice(QUERIES)}={self._quoted(self.random.choice(TEXTS))}"

    def _segment(self, name: str, route: str) -> str:
        pick, chance = self.random.choice, self.random.random()
        if chance > 0.8:
            return self._quoted(pick(TEXTS))
        if route.startswith("/identity/"):
            return pick(self.people) if self.people else "x"
        if "tasks" in route and self.tasks and name == "id":
            return pick(self.tasks)
        if name in {"id", "upload"} and self.images:
            return pick(self.images)
        if name == "member":
            return pick(self.projects)
        if name in {"namespace", "name"}:
            return f"{name}{self.random.randrange(8)}"
        return pick(("local", "second", "a", "image", "images", "namespace", "OS::Nova::Flavor"))

    def _quoted(self, text: str) -> str:
        if self.random.random() < 0.1:
            return QUOTED[text] + self.random.choice(("%ff", "%c0%af", "%2500", "%ed%a0%80", "%f4%90%80%80"))
        return QUOTED[text]

    def _odd_header(self) -> bytes:
        pick, chance = self.random.choice, self.random.random()
        name = pick(ODD_HEADERS)
        if chance < 0.4:
            value = pick(RANGES).encode()
        elif chance < 0.7:
            value = re.sub(r"[\0-\x1f\x7f]", "", pick(TEXTS)).encode("utf-8", "surrogatepass")
        else:
            value = pick(
                (
                    b"\xff\xfe",
                    b"100-continue",
                    b"chunked",
                    b"5",
                    b"PATCH",
                    b"DELETE",
                    b"h2c",
                    b"a" * 8000,
                    b"sha1 !!",
                    b"name !!!,x",
                )
            )
        if name == "X-Subject-Token" and chance < 0.5:
            value = pick((b"x", b"a.b.c", b""))
        return b"%s: %s\r\n" % (name.encode(), value)

    def _chunked(self, body: bytes) -> bytes:
        parts = []
        for at in range(
            0, len(body), step := self.random.choice((1000, 7, 100)) if len(body) < 2000 else 10_000
        ):
            part = body[at : at + step]
            parts.append(b"%x%s\r\n%s\r\n" % (len(part), self.random.choice((b"", b"", b";a=b")), part))
        return b"".join((*parts, b"0\r\n", self.random.choice((b"", b"", b"X-Trailer: t\r\n")), b"\r\n"))

    def _body(self, route: str, method: str) -> tuple[bytes, str]:
        chance, pick = self.random.random, self.random.choice
        if method in {"GET", "HEAD", "OPTIONS", "DELETE"} and chance() < 0.9:
            return b"", ""
        if chance() < 0.7 and (not HASHING.search(route) or chance() < 0.02):
            made = self._fitting(route, method)
            if made is not None:
                return made
        media = pick(TYPES) if chance() < 0.4 else "application/json"
        kind = chance()
        if kind < 0.1:
            return b"", media
        if kind < 0.2:
            return self.random.randbytes(self.random.randint(1, 60)), media
        if kind < 0.25:
            deep = pick((50, 900, 5000))
            return pick((b"[", b'{"a":')) * deep, media
        if kind < 0.3:
            return pick(
                (
                    b"NaN",
                    b"Infinity",
                    b'{"a":1,"a":2}',
                    b'"\\ud800"',
                    b'{"name":"\\udfff"}',
                    b"\xef\xbb\xbf{}",
                    b"9" * 5000,
                    b'{"min_ram":1e999}',
                    b'{"x":-0}',
                    b"\0",
                    b'"\xff"',
                    b"[1,]",
                    b"{'a':1}",
                    b"null",
                    b"0",
                    b'""',
                )
            ), media
        if media.startswith("multipart"):
            return self._form(), media
        text = json.dumps(self._value(3)).encode()
        return (text[: self.random.randint(0, len(text))], media) if kind < 0.4 else (text, media)

    def _form(self) -> bytes:
        name = self.random.choice(("data", "name", 'x"y', "", "\xff"))
        part = f'--b\r\nContent-Disposition: form-data; name="{name}"; filename="a"\r\n\r\n'.encode()
        return self.random.choice(
            (
                part,
                part + b"x" * 200 + b"\r\n--b--\r\n",
                b"--b--",
                b"--b\r\n\r\n",
                b"--b\r\n" + b"A: b\r\n" * 500,
            )
        )

    def _fitting(self, route: str, method: str) -> tuple[bytes, str] | None:
        """Return a nearly valid body, to get past the first checks of the route."""
        pick, number = self.random.choice, self.random.randrange
        document: Any
        if method == "PATCH" and route.startswith("/v2/images/{id}") and "uploads" not in route:
            steps = [self._step() for _ in range(number(4))]
            return json.dumps(steps).encode(), pick(TYPES[4:6])
        if route.endswith(("/file", "/stage")) or ("/uploads" in route and method in {"POST", "PATCH"}):
            data = pick((b"", b"x" * 20, b"x" * 5, QCOW2, self.random.randbytes(3000), b"x" * 70_000))
            return (
                data,
                "application/offset+octet-stream" if "/uploads" in route else "application/octet-stream",
            )
        if route.endswith("/images") or route == "/api/glance/images":
            document = {
                "disk_format": pick(("raw", "qcow2", "iso", "x")),
                "container_format": "bare",
                "name": "n",
            }
            document |= {pick(ATTRIBUTES): pick(VALUES) for _ in range(pick((0, 0, 1, 2)))}
        elif route.endswith("/members"):
            document = {"member": pick(self.projects)}
        elif "/members/" in route:
            document = {"status": pick(("accepted", "rejected", "pending", "x"))}
        elif route.endswith(("/import", "/copies")):
            document = {
                "method": self._import_method(),
                "stores": pick((["local"], ["second"], ["x"], [], "local")),
                "all_stores_must_succeed": pick((True, False, "x")),
            }
        elif route.endswith("/tasks"):
            document = {
                "type": "import",
                "input": {
                    "import_from": self._address(),
                    "import_from_format": "raw",
                    "image_properties": {
                        "name": pick(VALUES),
                        "disk_format": "raw",
                        "container_format": "bare",
                    },
                },
            }
        elif route.endswith("/locations"):
            document = {
                "url": self._address(),
                "validation_data": pick((None, {}, {"os_hash_algo": "sha512", "os_hash_value": "a" * 128})),
            }
        elif "metadefs" in route:
            document = self._definition(route)
        elif route.startswith("/identity/") or "session" in route:
            document = self._identity(route)
        else:
            return None
        if self.random.random() < 0.3 and isinstance(document, dict) and document:
            document = {**document, pick(list(document)): self._value(2)}
        return json.dumps(document).encode(), "application/json"

    def _step(self) -> dict[str, Any]:
        pick = self.random.choice
        path = "/" + pick(
            (*ATTRIBUTES, *TEXTS[:20], "tags/-", "locations/0", "locations/-", "a~1b", "a~2", "a/b", "")
        )
        value = pick(VALUES) if self.random.random() < 0.7 else self._value(2)
        return {
            "op": pick(("add", "replace", "remove", "replace", "move", "test", None)),
            "path": path,
            "value": value,
        }

    def _address(self) -> str:
        """Return an address that never leaves this machine."""
        return self.random.choice(
            (
                "http://127.0.0.1:9/x",
                "https://127.0.0.1/",
                "http://[::1]:1/",
                "http://0x7f.1/",
                "http://169.254.169.254/",
                "file:///etc/passwd",
                "http://localhost:22/",
                "http://127.0.0.1:99999/",
                "http://a@127.0.0.1/",
                "http:///",
                "//",
                "http://[",
                "ftp://127.0.0.1/",
                "http://127.0.0.1/\r\nX: y",
            )
        )

    def _import_method(self) -> Any:
        name = self.random.choice(("glance-direct", "web-download", "copy-image", "glance-download", "x"))
        return {"name": name, "uri": self._address(), "glance_image_id": "x", "glance_region": "RegionOne"}

    def _definition(self, route: str) -> Any:
        pick, number = self.random.choice, self.random.randrange
        if route.endswith("/resource_types"):
            return {
                "name": pick(("OS::Nova::Flavor", "OS::Glance::Image", "x")),
                "prefix": pick(("hw_", *TEXTS[:6])),
            }
        if route.endswith("/tags"):
            return {"tags": [{"name": f"t{number(9)}"} for _ in range(number(5))]}
        prop = {
            "title": "T",
            "type": pick(("string", "integer", "x", "array")),
            "enum": ["a"],
            "minimum": pick(VALUES[-16:]),
            "pattern": pick(("(a+)+$", "[", "^x{1000}{1000}$")),
        }
        if route.endswith("/properties") or "/properties/" in route:
            return {"name": f"name{number(8)}", **prop}
        if "/objects" in route:
            return {"name": f"name{number(8)}", "required": pick(([], ["p"], "p")), "properties": {"p": prop}}
        return {
            "namespace": f"namespace{number(8)}",
            "visibility": pick(("private", "public", "x")),
            "properties": {"p": prop},
            "objects": [{"name": "o", "properties": {"p": prop}}],
            "resource_type_associations": [{"name": "OS::Nova::Flavor"}],
        }

    def _identity(self, route: str) -> Any:
        pick, number = self.random.choice, self.random.randrange
        domain = pick(({"id": "default"}, {"name": "Default"}, {"id": "x"}, None, {}))
        if "session" in route:
            return {"username": f"u{number(9)}", "password": "x", "project": pick(VALUES)}
        if route.endswith("/auth/tokens"):
            user = {
                pick(("name", "id")): pick(("admin", "alice", *TEXTS[:8])),
                "domain": domain,
                "password": pick(("x", *VALUES[-12:])),
            }
            scope: Any = pick(
                (
                    None,
                    "unscoped",
                    {"project": {"name": "alpha", "domain": domain}},
                    {"system": {"all": True}},
                    {"project": {}},
                )
            )
            methods = pick((["password"], ["token"], ["application_credential"], ["totp"], [], "password"))
            identity = {
                "methods": methods,
                "password": {"user": user},
                "token": {"id": pick(TEXTS)},
                "application_credential": {"id": "x", "secret": "y"},
            }
            return {"auth": {"identity": identity, "scope": scope}}
        noun = route.split("/")[3].removesuffix("s") if route.count("/") > 2 else "x"
        if "application_credentials" in route:
            return {
                "application_credential": {
                    "name": f"c{number(9)}",
                    "roles": pick(([], [{"name": "member"}], [{}])),
                    "expires_at": pick((None, "2099-01-01T00:00:00", *TEXTS[:8])),
                }
            }
        if route.endswith("/password"):
            return {"user": {"password": "x", "original_password": pick(VALUES)}}
        return {
            noun: {
                "name": f"{noun}{number(9)}",
                "password": "x" * 12,
                "enabled": pick((True, False, "x")),
                "domain_id": pick(("default", "x", None)),
                "description": pick(VALUES),
            }
        }

    def _value(self, depth: int) -> Any:
        kind, pick = self.random.random(), self.random.choice
        if depth == 0 or kind < 0.3:
            return pick(VALUES)
        if kind < 0.5:
            return [self._value(depth - 1) for _ in range(self.random.randrange(4))]
        if kind < 0.6:
            return [self._step()]
        return {
            pick((*ATTRIBUTES, *TEXTS[:12])): self._value(depth - 1) for _ in range(self.random.randrange(4))
        }


def routes() -> list[tuple[str, tuple[str, ...]]]:
    """Return every path of the route table with its methods; image paths occur several times."""
    found: dict[str, tuple[str, ...]] = {}
    for method, path in re.findall(r"^\| `([A-Z]+) (/\S*)` \|", ROUTES.read_text(), re.MULTILINE):
        found[path] = (*found.get(path, ()), method)
    often = {path: 3 if "/images" in path else 1 for path in found} | {
        "/v2/images": 10,
        "/api/glance/images": 5,
    }
    return [(path, methods) for path, methods in found.items() for _ in range(often[path])]

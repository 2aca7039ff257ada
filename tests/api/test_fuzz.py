"""Malformed requests to every route in the table: a 4xx that says what is wrong, never a 5xx."""

import json
import random
import re
from typing import Any

import httpx2

from browsing import AJAX, browser
from inprocess import Service
from tintype.domain import metadef_documents as documents
from tintype.services.catalogue import Catalogue

REQUESTS = 4000
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
NASTY_TEXTS = (
    *(
        "",
        "\0",
        "a\0b",
        "../../etc/passwd",
        "%00",
        "%2e%2e%2f",
        "'; DROP TABLE images;--",
        "\U0001d518\U0001d52b",
        "\u202e",
        "x" * 300,
    ),
    *(
        "null",
        "None",
        "true",
        "-1",
        "9" * 40,
        "1e999",
        "nan",
        "{id}",
        "{",
        "[",
        '"',
        "\\",
        "\n",
        "in:",
        'in:"',
        "gt:",
        "eq:",
    ),
    *(
        "2020-13-45T99:99:99Z",
        "0001-01-01",
        "9999-12-31T23:59:59-23:59",
        "name:asc",
        "name:",
        ":asc",
        ",,,",
        "é",
        "\ud800",
    ),
)
NASTY_VALUES: tuple[Any, ...] = (
    *NASTY_TEXTS,
    None,
    True,
    0,
    -1,
    2**31,
    2**63,
    2**70,
    1.5,
    [],
    {},
    [[]],
    {"a": {}},
    ["a", 1],
)
NAMES = (
    *(
        "id",
        "name",
        "owner",
        "visibility",
        "protected",
        "os_hidden",
        "disk_format",
        "container_format",
        "min_disk",
    ),
    *(
        "min_ram",
        "tags",
        "status",
        "size",
        "locations",
        "member",
        "status",
        "auth",
        "op",
        "path",
        "value",
        "add",
        "custom",
    ),
    *("namespace", "display_name", "description", "properties", "objects", "title", "type", "enum", "items"),
    *("required", "prefix", "properties_target", "resource_type_associations", "default", "minimum"),
)
FILTERS = (
    *(
        "limit",
        "marker",
        "sort",
        "sort_key",
        "sort_dir",
        "name",
        "id",
        "status",
        "size",
        "size_min",
        "size_max",
        "tag",
    ),
    *(
        "created_at",
        "updated_at",
        "visibility",
        "member_status",
        "os_hidden",
        "protected",
        "owner",
        "x_min",
        "custom",
    ),
    *("container_format", "disk_format", "checksum", "changes-since", "resource_type", "resource_types"),
)
HEADERS = (
    *("Range", "Content-Range", "Content-Type", "X-Image-Meta-Store", "X-OpenStack-Image-Size", "Accept"),
    *("Host", "X-Subject-Token", "X-OpenStack-Request-ID", "Transfer-Encoding", "Expect", "Cookie"),
)
TYPES = (
    *(
        "application/json",
        "application/octet-stream",
        "text/plain",
        "",
        "application/openstack-images-v2.1-json-patch",
    ),
    "application/openstack-images-v2.0-json-patch",
)


class Fuzzer:
    """Makes hostile requests from a seed, so that a failure can be made again."""

    def __init__(self, seed: int, ids: list[str]) -> None:
        self.random = random.Random(seed)
        self.ids = ids

    def request(self, routes: list[str]) -> tuple[str, str, dict[str, Any]]:
        pick = self.random.choice
        path = re.sub(r"\{\w+\}", lambda _: self.segment(), pick(routes))
        if self.random.random() < 0.4:
            path += "?" + "&".join(
                f"{pick(FILTERS)}={self.quoted(pick(NASTY_TEXTS))}" for _ in range(self.random.randint(1, 3))
            )
        headers: dict[str, Any] = {"Content-Type": pick(TYPES)} if self.random.random() < 0.8 else {}
        for _ in range(self.random.randint(0, 2)):
            value = pick((*NASTY_TEXTS, "bytes=0-1", "bytes=-0", "bytes=5-1", "bytes 0-1/2", "chunked", "5"))
            headers[pick(HEADERS)] = re.sub(r"[\0\r\n]", "", value).encode("utf-8", "surrogatepass")
        return pick(METHODS), path, {"content": self.body(), "headers": headers}

    def segment(self) -> str:
        return self.random.choice((*self.ids, *self.ids, self.quoted(self.random.choice(NASTY_TEXTS))))

    def quoted(self, text: str) -> str:
        data = text.encode("utf-8", "surrogatepass")
        if self.random.random() < 0.1:
            data += b"\xff"
        return "".join(f"%{byte:02x}" for byte in data)

    def body(self) -> bytes:
        kind = self.random.random()
        if kind < 0.15:
            return b""
        if kind < 0.3:
            return self.random.randbytes(self.random.randint(1, 60))
        text = json.dumps(self.value(3)).encode()
        if kind < 0.4:
            return text[: self.random.randint(0, len(text))]
        if kind < 0.45:
            return b'{"a": "x", ' + text[1:]
        return text

    def value(self, depth: int) -> Any:
        kind = self.random.random()
        if depth == 0 or kind < 0.3:
            return self.random.choice(NASTY_VALUES)
        if kind < 0.5:
            return [self.value(depth - 1) for _ in range(self.random.randint(0, 3))]
        if kind < 0.65:
            path = "/" + self.random.choice((*NAMES, *NASTY_TEXTS))
            op = self.random.choice(("add", "replace", "remove", "move"))
            return [{"op": op, "path": path, "value": self.value(depth - 1)}]
        return {self.random.choice(NAMES): self.value(depth - 1) for _ in range(self.random.randint(0, 4))}


def answered(response: httpx2.Response, options: dict[str, Any]) -> bool:
    """Say whether an answer is none of a fault here: 501 is right for a transfer coding, and only for it."""
    codings = [name for name in dict(options.get("headers") or {}) if name.lower() == "transfer-encoding"]
    return response.status_code < 500 or (response.status_code == 501 and bool(codings))


async def test_no_request_is_answered_with_a_server_error(service: Service) -> None:
    """Thousands of hostile requests by all callers: each is answered below 500, and the service lives on."""
    made = [
        (await service.call("alice", "POST", "/v2/images", json={"name": "x"})).json()["id"] for _ in range(3)
    ]
    spaces = [each.namespace for each in await Catalogue(service.parts.database).export()]
    fuzzer = Fuzzer(20_261_121, [*made, "alpha", service.projects["bob"], *spaces[:2], "n"])
    others = ("/identity/v3/auth/tokens", "/api/")  # a page's are below
    routes = [path for path in service.parts.routes if not path.startswith(others)]
    callers = ["alice", "bob", "carol", "admin", None]
    seen: dict[int, int] = {}
    for number in range(REQUESTS):
        method, path, options = fuzzer.request(routes)
        response = await service.call(callers[number % 5], method, path, **options)
        seen[response.status_code] = seen.get(response.status_code, 0) + 1
        assert answered(response, options), (number, method, path, options, response.text)
        assert response.headers["x-openstack-request-id"].startswith("req-")
        if (
            response.content
            and response.status_code >= 400
            and response.headers.get("content-type") == "application/json"
        ):
            assert response.json()["error"]["message"]
    assert {200, 400, 401, 403, 404, 405} <= set(seen), seen
    listed = await service.call("admin", "GET", "/v2/images?visibility=all&limit=1000")
    for each in await Catalogue(service.parts.database).export():
        assert documents.from_file(documents.document(each)), "what a refused request left behind is whole"
    for image in listed.json()["images"]:
        shown = await service.call("admin", "GET", f"/v2/images/{image['id']}")
        assert shown.json() == image, "what a refused request left behind is whole"


async def test_no_request_of_a_page_is_answered_with_a_server_error(service: Service) -> None:
    """The same at the dashboard, by people who are logged in: failures are sentences."""
    people = [await browser(service, name) for name in ("alice", "bob", "carol", "admin")]
    made = [(await people[0].make())["id"] for _ in range(3)]
    fuzzer = Fuzzer(20_261_126, [*made, "alpha", service.projects["beta"], "OS::Nova::Flavor"])
    ours = [path for path in service.parts.routes if path.startswith("/api/glance/")]
    routes = [path for path in ours if "/events" not in path]  # which have no end
    seen: dict[int, int] = {}
    for number in range(REQUESTS):
        method, path, options = fuzzer.request(routes)
        person = people[number % 4]
        known = {**AJAX, "X-CSRFToken": person.session["csrf_token"]}
        given = options.pop("headers", None) or {}
        response = await person.http.request(method, path, headers={**known, **given}, **options)
        seen[response.status_code] = seen.get(response.status_code, 0) + 1
        assert answered(response, {"headers": given}), (number, method, path, options, response.text)
        is_json = response.headers.get("content-type") == "application/json"
        if response.content and response.status_code >= 400 and is_json:
            said = response.json()  # what reaches no path is refused as the API does
            assert said if isinstance(said, str) else said["error"]["message"], (
                number,
                method,
                path,
                response.text,
            )
    assert {200, 204, 400, 403, 404, 405} <= set(seen), seen


async def test_hostile_logins_are_refused(service: Service) -> None:
    """The one route that hashes passwords takes any body, too: of no shape, and of nearly the right one."""
    fuzzer = Fuzzer(1, [])
    pick = fuzzer.random.choice
    for number in range(400):
        body = fuzzer.body()
        if number % 2:
            domain = pick(({"id": "default"}, {"name": "Default"}, fuzzer.value(1)))
            user = {pick(("name", "id")): fuzzer.value(1), "domain": domain, "password": fuzzer.value(1)}
            methods = pick((["password"], ["token"], fuzzer.value(1)))
            identity = {"methods": methods, "password": {"user": user}, "token": {"id": fuzzer.value(1)}}
            scope = pick((None, {"project": {pick(("name", "id")): fuzzer.value(1), "domain": domain}}))
            body = json.dumps({"auth": {"identity": identity, "scope": scope}}).encode()
        response = await service.call(None, "POST", "/identity/v3/auth/tokens", content=body)
        assert 400 <= response.status_code < 500, (body, response.text)
        assert response.json()["error"]["message"]

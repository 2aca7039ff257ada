"""Images and namespaces, callers, and every request that policy rules protect.

What is made, and what is asked, is the same for Tintype and for Glance: both go through the same states.
"""

import json
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import httpx2
import msgspec

BINARY = {"Content-Type": "application/octet-stream"}
JSON_PATCH = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
RAW = {"disk_format": "raw", "container_format": "bare"}
CALLERS = {
    "service": ("services", "service"),
    "system": (None, "admin,member,reader"),
    "reader": ("alpha", "reader,image_viewer"),
    "other": ("beta", "member,reader,image_viewer"),
    "admin": ("admin", "admin,member,reader,cloud_image_admin"),
    "owner": ("alpha", "member,reader,image_admin"),
}
"""Project (None: a token of the whole system) and roles; the ones who may do least ask first."""
IMAGES = ("own", "shared", "community", "public")
SPACES = ("open", "closed")
NOWHERE = "http://192.0.2.1/disk"

Send = Callable[..., Awaitable[httpx2.Response]]
"""Sends a request as one of the callers: caller, method, path, and options of httpx."""


class Request(msgspec.Struct, frozen=True):
    """A request, named as in the documentation."""

    route: str
    method: str
    path: str
    options: dict[str, Any] = {}
    what: str = ""
    """Tells requests of one route apart."""


class World:
    """Images and namespaces of the project alpha, with new ids."""

    def __init__(
        self,
        callers: Sequence[str] = tuple(CALLERS),
        images: Sequence[str] = IMAGES,
        spaces: Sequence[str] = SPACES,
    ) -> None:
        self.callers, self.images, self.spaces = callers, images, spaces
        self.round = uuid.uuid4().hex[:8]
        names = (*images, "queued", "staged", *(f"doomed-{caller}" for caller in callers))
        self.ids = {name: str(uuid.uuid4()) for name in names}
        self.names = {image: name for name, image in self.ids.items()}

    async def make(self, send: Send) -> None:
        """Create everything, under the default policy."""
        for name, image in self.ids.items():
            visibility = "private" if name in {"own", "staged"} else name if name in IMAGES else "public"
            body = {**RAW, "id": image, "name": name, "owner": "alpha", "visibility": visibility}
            await _done(await send("admin", "POST", "/v2/images", json=body))
            path = f"/v2/images/{image}"
            if name in IMAGES:
                await _done(await send("owner", "PUT", f"{path}/file", content=b"abc", headers=BINARY))
        if "shared" in self.images:
            members = f"/v2/images/{self.ids['shared']}/members"
            for project in ("beta", *(f"gone-{caller}" for caller in self.callers)):
                await _done(await send("owner", "POST", members, json={"member": project}))
            await _done(await send("other", "PUT", f"{members}/beta", json={"status": "accepted"}))
        stage = f"/v2/images/{self.ids['staged']}/stage"
        await _done(await send("owner", "PUT", stage, content=b"abc", headers=BINARY))
        for name in self.spaces:
            space = {
                "namespace": f"{name}-{self.round}",
                "visibility": "public" if name == "open" else "private",
                "owner": "alpha",
                "objects": [{"name": "o"}],
                "tags": [{"name": "t"}],
                "properties": {"p": {"title": "p", "type": "string"}},
                "resource_type_associations": [{"name": "OS::Glance::Image"}],
            }
            await _done(await send("admin", "POST", "/v2/metadefs/namespaces", json=space))

    def requests(self, caller: str) -> Iterator[tuple[str, Request]]:
        """Yield every request with the name of its image or namespace."""
        yield from (("-", each) for each in _of_nothing(f"{SPACES[0]}-{self.round}"))
        for name in self.images:
            yield from ((name, each) for each in _of_image(self.ids[name], caller, name))
        yield from (("queued", each) for each in _of_queued(self.ids["queued"]))
        yield "staged", _import(self.ids["staged"], "glance-direct")
        doomed = f"doomed-{caller}"
        path = f"/v2/images/{self.ids[doomed]}"
        yield "doomed", Request("DELETE /v2/images/{id}", "DELETE", path)
        for name in self.spaces:
            yield from ((name, each) for each in _of_namespace(f"{name}-{self.round}"))

    def told(self, answer: httpx2.Response, request: Request) -> str:
        """Summarize a response: its status, and the images and namespaces in it."""
        said = str(answer.status_code)
        if answer.status_code != 200 or request.method != "GET" or request.route.endswith("/file"):
            return said
        body = answer.json()
        shown: list[str] = []
        if request.route == "GET /v2/images":
            shown = sorted(self.names[each["id"]] for each in body["images"] if each["id"] in self.names)
        elif request.route == "GET /v2/metadefs/namespaces":
            found = [each["namespace"].partition("-") for each in body["namespaces"]]
            shown = sorted(name for name, _, made_in in found if made_in == self.round)
        elif request.route == "GET /v2/images/{id}":
            shown = [*sorted({"direct_url", "stores"} & set(body)), f"{len(body['locations'])} locations"]
        elif request.route == "GET /v2/images/{id}/locations":
            shown = [f"{len(body)} locations"]
        elif request.route == "GET /v2/tasks":
            pass  # a peer that other tests used has their tasks, too
        elif isinstance(body, dict):
            parts = ("members", "objects", "properties", "resource_type_associations", "tags", "tasks")
            shown = [f"{len(body[part])} {part}" for part in parts if part in body]
        return f"{said} {' '.join(shown)}".strip()


async def _done(answer: httpx2.Response) -> None:
    assert answer.status_code < 300, f"{answer.request.method} {answer.request.url}: {answer.text}"


def _of_nothing(taken: str) -> Iterator[Request]:
    images, nobody = "/v2/images", str(uuid.UUID(int=1))
    yield Request(f"GET {images}", "GET", f"{images}?visibility=all&limit=1000")
    yield Request(f"POST {images}", "POST", images, {"json": {}})
    for visibility in ("public", "community"):
        shown = {"json": {"visibility": visibility}}
        yield Request(f"POST {images}", "POST", images, shown, visibility)
    yield Request(f"POST {images}", "POST", images, {"json": {"owner": "gamma"}}, "for others")
    yield Request("GET /v2/tasks", "GET", "/v2/tasks")
    yield Request("POST /v2/tasks", "POST", "/v2/tasks", {"json": {"type": "nonsense", "input": {}}})
    yield Request("GET /v2/tasks/{id}", "GET", f"/v2/tasks/{nobody}")
    yield Request("GET /v2/info/stores/detail", "GET", "/v2/info/stores/detail")
    yield Request("GET /v2/cache", "GET", "/v2/cache")
    types, spaces = "/v2/metadefs/resource_types", "/v2/metadefs/namespaces"
    yield Request(f"GET {types}", "GET", types)
    yield Request(f"GET {spaces}", "GET", f"{spaces}?limit=3")
    body: dict[str, Any] = {"namespace": taken, "objects": [{"name": "o"}], "tags": [{"name": "t"}]}
    body |= {"properties": {"p": {"title": "p", "type": "string"}}}
    body |= {"resource_type_associations": [{"name": "OS::Glance::Image"}]}
    yield Request(f"POST {spaces}", "POST", spaces, {"json": body})


def _of_image(image: str, caller: str, name: str) -> Iterator[Request]:
    route, path = "/v2/images/{id}", f"/v2/images/{image}"

    def one(method: str, end: str = "", what: str = "", **options: Any) -> Request:
        template = end.partition("?")[0].replace(f"gone-{caller}", "{member}").replace("/beta", "/{member}")
        template = "/tags/{tag}" if end.startswith("/tags") else template
        return Request(f"{method} {route}{template}", method, f"{path}{end}", options, what)

    def patch(what: str, *changes: dict[str, Any]) -> Request:
        content = json.dumps(changes)
        return one("PATCH", what=what, content=content, headers=JSON_PATCH)

    yield one("GET")
    yield patch("a property", {"op": "add", "path": "/x", "value": "y"})
    yield patch("nothing")
    before = "private" if name == "own" else name
    for visibility in ("public", "community", before):
        change = {"op": "replace", "path": "/visibility", "value": visibility}
        yield patch(visibility if visibility != before else "as it was", change)
    yield patch("owner", {"op": "replace", "path": "/owner", "value": "alpha"})
    place = {"url": NOWHERE, "metadata": {}}
    yield patch("add a location", {"op": "add", "path": "/locations/-", "value": place})
    yield one("PUT", "/tags/t")
    yield one("DELETE", "/tags/t")
    yield one("GET", "/members")
    yield one("GET", "/members/beta")
    yield one("POST", "/members", json={"member": "beta"})
    yield one("PUT", "/members/beta", json={"status": "accepted"})
    yield one("DELETE", f"/members/gone-{caller}")
    yield one("GET", "/tasks")
    yield one("GET", "/file")
    yield one("GET", "/file?prefer=fast", "from a store")
    yield one("PUT", "/file", content=b"abc", headers=BINARY)
    yield one("PUT", "/stage", content=b"abc", headers=BINARY)
    yield _import(image, "copy-image")
    yield _import(image, "glance-direct")
    yield one("GET", "/locations")
    yield one("POST", "/locations", json={"url": NOWHERE})
    yield Request("PUT /v2/cache/{id}", "PUT", f"/v2/cache/{image}")
    yield Request("DELETE /v2/cache/{id}", "DELETE", f"/v2/cache/{image}")
    yield one("POST", "/actions/deactivate")
    yield one("GET", "", "deactivated")
    yield one("GET", "/file", "deactivated")
    yield one("POST", "/actions/reactivate")


def _import(image: str, method: str) -> Request:
    body = {"method": {"name": method}, "stores": ["fast"] if method == "copy-image" else ["nowhere"]}
    return Request(
        "POST /v2/images/{id}/import", "POST", f"/v2/images/{image}/import", {"json": body}, method
    )


def _of_queued(image: str) -> Iterator[Request]:
    """Return a request that is refused after the rules, so that the image stays queued."""
    route, wrong = "POST /v2/images/{id}/locations", {"os_hash_algo": "sha256", "os_hash_value": "x"}
    body = {"url": NOWHERE, "validation_data": wrong}
    yield Request(route, "POST", f"/v2/images/{image}/locations", {"json": body}, "on the web")
    other = {"url": "rbd://fsid/pool/image/snap", "validation_data": wrong}
    yield Request(route, "POST", f"/v2/images/{image}/locations", {"json": other}, "in a pool")
    yield Request("DELETE /v2/stores/{store}/{id}", "DELETE", f"/v2/stores/fast/{image}")


def _of_namespace(name: str) -> Iterator[Request]:
    """Return a request that changes nothing, or is refused after the rules."""
    route, path = "/v2/metadefs/namespaces/{namespace}", f"/v2/metadefs/namespaces/{name}"
    there, nothing = {"title": "p", "type": "string"}, "zz"

    def one(method: str, end: str = "", key: str = "", **options: Any) -> Request:
        template = f"{end}/{{name}}" if key else end.partition("?")[0]
        whole = f"{path}{end}/{key}" if key else f"{path}{end}"
        return Request(f"{method} {route}{template}", method, whole, options, key or end.partition("?")[2])

    visibility = "public" if name.startswith("open") else "private"
    yield one("GET")
    yield one("PUT", json={"namespace": name, "visibility": visibility, "owner": "alpha"})
    bodies = {
        "properties": ("p", {"name": "p", **there}),
        "objects": ("o", {"name": "o"}),
        "tags": ("t", {"name": "t"}),
    }
    for kind, (key, body) in bodies.items():
        yield one("GET", f"/{kind}")
        yield one("GET", f"/{kind}", key)
        yield one("PUT", f"/{kind}", key, json=body)
        yield one("DELETE", f"/{kind}", nothing)
    yield one("GET", "/properties", "p?resource_type=OS::Glance::Image")
    yield one("POST", "/properties", json=bodies["properties"][1])
    yield one("POST", "/objects", json=bodies["objects"][1])
    yield one("POST", "/tags", "t")
    yield one("POST", "/tags", json={"tags": [{"name": "t"}]})
    yield one("GET", "/resource_types")
    yield one("POST", "/resource_types", json={"name": "OS::Glance::Image"})
    yield one("DELETE", "/resource_types", nothing)
    for kind in bodies:
        yield one("DELETE", f"/{kind}")
    yield one("DELETE")

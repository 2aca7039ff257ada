"""Unusual spellings of paths are normalized for the rest of the service."""

import json
import time
import uuid
from pathlib import Path
from urllib.parse import quote

import pytest

from browsing import AJAX, browser
from inprocess import Prepared, Service, running
from tintype.settings import CacheSettings, Server

RAW = {"disk_format": "raw", "container_format": "bare"}


def at(path: str) -> str:
    """Return a URL whose path is exactly this one."""
    return f"http://testserver{path}"


async def test_every_advertised_version_is_a_prefix(prepared: Prepared, tmp_path: Path) -> None:
    """Whatever `/versions` names can stand in a path, and nothing else can."""
    async with running(prepared, tmp_path, cache=CacheSettings(folder="cache")) as service:
        versions = (await service.call(None, "GET", "/versions")).json()["versions"]
        assert len(versions) == 19
        for version in versions:
            assert (await service.call("alice", "GET", f"/{version['id']}/images")).status_code == 200
        for other in ("v2.19", "v2.", "v2.-1", "v2.01", "v1", "v3"):
            assert (await service.call("alice", "GET", f"/{other}/images")).status_code == 404


async def test_the_log_has_the_path_as_sent_and_the_route(
    prepared: Prepared, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An operator can search for what a client wrote, and group by what it meant."""
    async with running(prepared, tmp_path) as service:
        await service.call("alice", "GET", at("//v2.3//images/a%2Fb%0Ac//file?prefer=x"))
    line = json.loads(capsys.readouterr().err.strip().splitlines()[-1])
    assert line["path"] == "//v2.3//images/a%2Fb%0Ac//file"
    assert line["route"] == "/v2/images/{id}/file"


async def test_limits_count_a_path_as_its_route(prepared: Prepared, tmp_path: Path) -> None:
    """A caller gains nothing by writing a path in another way: policy and throttle hold."""
    async with running(prepared, tmp_path, server=Server(rate_limit=0.01, rate_burst=4)) as service:
        assert (await service.call("carol", "POST", at("//v2.1//images"), json={})).status_code == 403
        assert (await service.call("carol", "DELETE", at("//v2//cache"))).status_code == 403
        paths = ("//v2/images", "/v2.0/images", "/v2//images")
        answers = [(await service.call("carol", "GET", at(path))).status_code for path in paths]
        assert answers == [200, 200, 429]
    async with running(prepared, tmp_path / "policy") as service:
        for path in ("//v2/tasks", "/v2.9//tasks", "/v2/info//stores/detail"):
            assert (await service.call("alice", "GET", at(path))).status_code == 403, path
        for path in ("//metrics", "/healthcheck//detail/"):
            assert (await service.call(None, "GET", at(path))).status_code == 401, path


async def test_a_missing_name_never_clears_the_cache(prepared: Prepared, tmp_path: Path) -> None:
    """`DELETE /v2/cache/` comes from a script whose image id is empty; so does the page's `cache//`."""
    async with running(prepared, tmp_path, cache=CacheSettings(folder="cache")) as service:
        for path in ("/v2/cache/", "/v2/cache//", "//v2.14/cache/"):
            assert (await service.call("admin", "DELETE", at(path))).status_code == 404, path
        admin = await browser(service, "admin")
        known = {**AJAX, "X-CSRFToken": admin.session["csrf_token"]}
        for path in ("/api/glance/cache//", "/api/glance/images//", "//api/glance/cache///"):
            answer = await admin.http.request("DELETE", at(path), headers=known)
            assert answer.status_code == 404, path
        assert (await admin.http.request("DELETE", "/api/glance/cache/", headers=known)).status_code == 204


async def test_the_page_and_the_identity_hold_with_slashes(service: Service) -> None:
    """Paths that end with a slash themselves are found as before."""
    for path in ("/dashboard/", "/identity/v3/", "/identity/", "/identity//v3", "//dashboard//app.js"):
        answer = await service.call(None, "GET", at(path))
        assert answer.status_code in {200, 300}, path
    assert (await service.call(None, "GET", "/dashboard")).status_code == 308


async def test_a_path_of_slashes_costs_nothing(service: Service) -> None:
    """Thousands of them are looked through once, not once for each."""
    slashes = "/" * 4000
    start = time.process_time()
    for method in ("GET", "DELETE"):
        for path in (slashes, f"{slashes}v2{slashes}", f"/v2/images/x/tags{slashes}"):
            assert (await service.call("alice", method, at(path))).status_code in {200, 300, 404, 405}
    assert time.process_time() - start < 1


NAMES = ["a/b", "a//b", "a/", "a/tags/b", "x/.../y", "ü/ß", "a%2Fb", "a?b/c"]


@pytest.mark.parametrize("name", NAMES)
async def test_names_with_slashes(service: Service, name: str) -> None:
    """Tags, members, and what is in metadata definitions: with slashes as they are, or in percent."""
    raw, whole = quote(name), quote(name, safe="")
    image = (await service.call("alice", "POST", "/v2/images", json={"tags": [name]})).json()["id"]
    members = f"/v2/images/{image}/members"
    space = f"n{uuid.uuid4().hex}"
    definitions = f"/v2/metadefs/namespaces/{space}"
    made = await service.call("admin", "POST", "/v2/metadefs/namespaces", json={"namespace": space})
    assert made.status_code == 201
    for path in (raw, whole):
        assert (await service.call("alice", "PUT", at(f"/v2/images/{image}/tags/{path}"))).status_code == 204
        tagged = await service.call("alice", "GET", f"/v2/images/{image}")
        assert tagged.json()["tags"] == [name]
        gone = await service.call("alice", "DELETE", at(f"/v2/images/{image}/tags/{path}"))
        assert gone.status_code == 204
        await service.call("alice", "POST", members, json={"member": name})
        shown = await service.call("alice", "GET", at(f"{members}/{path}"))
        assert (shown.status_code, shown.json().get("member_id")) == (200, name)
        assert (await service.call("alice", "DELETE", at(f"{members}/{path}"))).status_code == 204
        for kind, body in (
            ("properties", {"name": name, "title": "T", "type": "string"}),
            ("objects", {"name": name}),
            ("tags", None),
        ):
            here = f"{definitions}/{kind}/{path}"
            given = await service.call(
                "admin", "POST", at(here if body is None else f"{definitions}/{kind}"), json=body
            )
            assert given.status_code == 201, given.text
            assert (await service.call("admin", "GET", at(here))).json()["name"] == name
            assert (await service.call("admin", "DELETE", at(here))).status_code == 204


async def test_a_namespace_with_slashes(service: Service) -> None:
    """Its own name may have them, before the names of what it contains."""
    name = f"Own::Disks/{uuid.uuid4().hex}/fast"
    made = await service.call("admin", "POST", "/v2/metadefs/namespaces", json={"namespace": name})
    assert made.status_code == 201
    for path in (quote(name), quote(name, safe="")):
        one = at(f"/v2/metadefs/namespaces/{path}")
        assert (await service.call("admin", "GET", one)).json()["namespace"] == name
        assert (await service.call("admin", "POST", f"{one}/tags/a/b")).status_code == 201
        assert (await service.call("admin", "GET", f"{one}//tags")).json() == {"tags": [{"name": "a/b"}]}
        assert (await service.call("admin", "DELETE", f"{one}/tags/a/b")).status_code == 204
        assert (await service.call("admin", "DELETE", f"{one}/")).status_code == 404
    assert (await service.call("admin", "DELETE", one)).status_code == 204


async def test_ids_in_capitals(prepared: Prepared, tmp_path: Path) -> None:
    """A UUID is found however it is written: in paths, filters and markers."""
    async with running(prepared, tmp_path, cache=CacheSettings(folder="cache")) as service:
        images = [
            (await service.call("alice", "POST", "/v2/images", json=RAW)).json()["id"] for _ in range(2)
        ]
        first, second = (image.upper() for image in images)
        for query, expected in (
            (f"id={first}", {images[0]}),
            (f"id=eq:{first}", {images[0]}),
            (f"id=in:{first},{images[1]}", set(images)),
            (f'id=in:"{first}","{second}"', set(images)),
        ):
            listed = (await service.call("alice", "GET", f"/v2/images?{query}")).json()["images"]
            assert {image["id"] for image in listed} == expected, query
        paged = await service.call("alice", "GET", f"/v2/images?sort=created_at:asc&marker={first}")
        assert [image["id"] for image in paged.json()["images"]] == [images[1]]
        octets = {"Content-Type": "application/octet-stream"}
        tus = {"Tus-Resumable": "1.0.0", "Upload-Length": "3"}
        begun = await service.call("alice", "POST", f"/v2/images/{second}/uploads", headers=tus)
        upload = begun.headers["location"].rpartition("/")[2].upper()
        answers = {
            f"GET /v2/images/{first}": 200,
            f"GET /v2/images/{first}/members": 200,
            f"GET /v2/images/{first}/tasks": 200,
            f"PUT /v2/images/{first}/tags/x": 204,
            f"PUT /v2/images/{first}/file": 204,
            f"GET /v2/images/{first}/file": 200,
            f"PUT /v2/cache/{first}": 202,
            f"GET /v2/cache/nodes/{first}": 200,
            f"DELETE /v2/cache/{first}": 204,
            f"GET /v2/images/{first}/locations": 200,
            f"HEAD /v2/images/{second}/uploads/{upload}": 200,
            f"DELETE /v2/images/{second}/uploads/{upload}": 204,
            f"DELETE /v2/stores/local/{first}": 403,
            f"DELETE /v2/images/{first}": 204,
        }
        for request, status in answers.items():
            method, path = request.split(" ")
            content = b"abc" if path.endswith("/file") and method == "PUT" else None
            headers = {**octets, **tus} if content else tus
            answer = await service.call("admin", method, path, headers=headers, content=content)
            assert answer.status_code == status, (request, answer.text)


@pytest.mark.parametrize("name", ["X_AUTH_TOKEN", "X-AUTH_TOKEN", "x_auth-token", "x-Auth-Token"])
async def test_tokens_in_headers_with_underscores(service: Service, name: str) -> None:
    """WSGI servers took these for X-Auth-Token, and scripts send them: API, identity and numbers do, too."""
    mine = {name: service.tokens["admin"]}
    for path in ("/v2/images", "/identity/v3/auth/catalog", "/metrics", "/healthcheck/detail"):
        assert (await service.call(None, "GET", path, headers=mine)).status_code == 200, path
    subject = {**mine, name.upper().replace("AUTH", "SUBJECT"): service.tokens["alice"]}
    shown = await service.call(None, "GET", "/identity/v3/auth/tokens", headers=subject)
    assert shown.json()["token"]["user"]["name"] == "alice"
    assert (await service.call(None, "GET", "/v2/images", headers={name: "wrong"})).status_code == 401


async def test_only_tokens_may_have_underscores(service: Service) -> None:
    """The dashed header wins, two tokens are none, and no other header has another name."""
    alice, bob = service.tokens["alice"], service.tokens["bob"]
    url = "/v2/images"
    won = await service.call("alice", "GET", url, headers={"X_Auth_Token": "wrong"})
    assert won.status_code == 200
    same = await service.call(None, "GET", url, headers={"X_Auth_Token": alice, "X-Auth_Token": alice})
    assert same.status_code == 200
    two = await service.call(None, "GET", url, headers={"X_Auth_Token": alice, "X-Auth_Token": bob})
    assert two.status_code == 400
    assert alice not in two.text
    twice = [("X-Auth-Token", alice), ("X-Auth-Token", bob)]
    assert (await service.client.get(url, headers=twice)).status_code == 400
    for other in ("XAuthToken", "X.Auth.Token", "Auth_Token", "_X-Auth-Token"):
        assert (await service.call(None, "GET", url, headers={other: alice})).status_code == 401
    image = (await service.call("alice", "POST", url, json=RAW)).json()["id"]
    stored = await service.call(
        "alice",
        "PUT",
        f"{url}/{image}/file",
        content=b"abc",
        headers={"Content-Type": "application/octet-stream", "X_Image_Meta_Store": "nowhere"},
    )
    assert stored.status_code == 204

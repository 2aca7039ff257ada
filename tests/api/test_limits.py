"""Limits on requests and images."""

import json

import pytest

from inprocess import Service

TEXT = {"Accept": "text/plain"}


async def make(service: Service, **attributes: object) -> str:
    response = await service.call("alice", "POST", "/v2/images", json=attributes)
    assert response.status_code == 201, response.text
    return str(response.json()["id"])


async def test_properties_tags_and_members_have_a_most(service: Service) -> None:
    """128 of each are taken, one more is refused with 413 and nothing is changed."""
    full = {f"p{number}": "x" for number in range(128)}
    image_id = await make(service, **full, tags=[str(number) for number in range(128)])
    more = await service.call("alice", "POST", "/v2/images", json={**full, "one": "more"})
    assert more.status_code == 413
    patch = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
    body = b'[{"op": "add", "path": "/one", "value": "more"}]'
    url = f"/v2/images/{image_id}"
    assert (await service.call("alice", "PATCH", url, content=body, headers=patch)).status_code == 413
    assert (await service.call("alice", "PUT", f"{url}/tags/more")).status_code == 413
    for number in range(128):
        added = await service.call("alice", "POST", f"{url}/members", json={"member": f"m{number}"})
        assert added.status_code == 200
    assert (await service.call("alice", "POST", f"{url}/members", json={"member": "more"})).status_code == 413
    after = (await service.call("alice", "GET", url)).json()
    assert "one" not in after
    assert len(after["tags"]) == 128


@pytest.mark.parametrize("path", ["/v2/images", "/identity/v3/auth/tokens"])
async def test_a_body_of_ten_megabytes_is_refused(service: Service, path: str) -> None:
    """Metadata is small; what is not is refused before it is kept in memory."""
    response = await service.call("alice", "POST", path, content=b'{"name": "' + b"x" * 10_000_000 + b'"}')
    assert response.status_code == 413


async def test_long_urls_and_headers_are_refused(service: Service) -> None:
    """Nobody needs eight kilobytes of path or 64 of headers."""
    assert (await service.call("alice", "GET", "/v2/images/" + "x" * 9000)).status_code == 400
    assert (
        await service.call("alice", "GET", "/v2/images", headers={"X-Long": "x" * 70_000})
    ).status_code == 431


async def test_property_values_of_any_length_are_found(service: Service) -> None:
    """A long value is indexed by its digest, and still filters by equality."""
    long = "v" * 5000
    image_id = await make(service, long=long)
    found = (await service.call("alice", "GET", f"/v2/images?long={long}")).json()["images"]
    assert [image["id"] for image in found] == [image_id]
    assert (await service.call("alice", "GET", f"/v2/images?long={long[:-1]}")).json()["images"] == []
    assert (await service.call("alice", "POST", "/v2/images", json={"long": "v" * 65_536})).status_code == 400


async def test_properties_have_a_size_in_all(service: Service) -> None:
    """One value may be large, all together are bounded: a page of images must stay a page."""
    image_id = await make(service, a="v" * 60_000, b="v" * 60_000)
    patch = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
    body = json.dumps([{"op": "add", "path": "/c", "value": "v" * 60_000}]).encode()
    refused = await service.call("alice", "PATCH", f"/v2/images/{image_id}", content=body, headers=patch)
    assert refused.status_code == 413


@pytest.mark.parametrize(
    "query", ["tag=x&" * 200, "".join(f"p{n}=1&" for n in range(200)), f"id=in:{'a,' * 1001}"]
)
async def test_lists_have_a_most_of_filters(service: Service, query: str) -> None:
    """More filters than an image could match are a mistake, told as one."""
    assert (await service.call("alice", "GET", f"/v2/images?{query}")).status_code == 400
    many = "&".join(f"p{number}=1" for number in range(32))
    assert (await service.call("alice", "GET", f"/v2/images?{many}")).json()["images"] == []


async def test_a_name_that_stands_twice_is_found_quickly(service: Service) -> None:
    """As many names as a body may have, the last of them twice, are not compared each with each."""
    names = ", ".join(f'"{number}": ""' for number in range(4_990))
    body = f'{{{names}, "4989": ""}}'.encode()
    refused = await service.call(None, "POST", "/identity/v3/auth/tokens", content=body)
    assert "occurs twice" in refused.json()["error"]["message"]


async def test_one_host_is_named(service: Service) -> None:
    """Two hosts in one request are a trick; a server and a proxy may take different ones."""
    headers = [("Host", "a"), ("Host", "b")]
    assert (await service.client.get("/versions", headers=headers)).status_code == 400


async def test_deeply_nested_json_is_refused(service: Service) -> None:
    """No stack is exhausted by brackets."""
    for depth, status in ((9_000, 400), (100_000, 413)):
        body = b'{"name": ' + b"[" * depth + b"]" * depth + b"}"
        assert (await service.call("alice", "POST", "/v2/images", content=body)).status_code == status


async def test_errors_come_as_text_where_the_client_wants_that(service: Service) -> None:
    """Whoever asks for text gets text with our message; whatever program asks, all others get JSON."""
    response = await service.call("alice", "GET", "/v2/images/nope", headers=TEXT)
    assert response.status_code == 404
    assert response.headers["content-type"].startswith("text/plain")
    assert "No image found with ID nope" in response.text
    for accept in ("*/*", "", "application/json", "text/html, application/json"):
        headers = {"Accept": accept, "User-Agent": "python-glanceclient"}
        answer = await service.call("alice", "GET", "/v2/images/nope", headers=headers)
        assert answer.headers["content-type"] == "application/json"
        assert answer.json()["error"]["message"] == "No image found with ID nope"


async def test_every_refusal_has_one_form(service: Service) -> None:
    """The identity's, the limits' and the protocols' failures are written as all others."""
    image = (await service.call("alice", "POST", "/v2/images", json={})).json()["id"]
    tus = {"Tus-Resumable": "1.0.0"}
    for status, answer in (
        (401, await service.call(None, "GET", "/v2/images")),
        (401, await service.call(None, "GET", "/identity/v3/auth/tokens")),
        (400, await service.call(None, "POST", "/identity/v3/auth/tokens", json={})),
        (404, await service.call("alice", "GET", "/nowhere")),
        (405, await service.call("alice", "PATCH", "/v2/images")),
        (412, await service.call("alice", "POST", f"/v2/images/{image}/uploads")),
        (431, await service.call("alice", "GET", "/v2/images", headers={"X-Long": "x" * 70_000})),
        (400, await service.call("alice", "POST", f"/v2/images/{image}/uploads", headers=tus)),
        (401, await service.call(None, "GET", "/metrics")),
    ):
        assert answer.status_code == status, answer.text
        error = answer.json()["error"]
        assert list(error) == ["code", "title", "message", "request_id"]
        assert (error["code"], error["request_id"]) == (status, answer.headers["x-openstack-request-id"])


async def test_options_names_the_methods(service: Service) -> None:
    """Every route says what may be done there, to anybody."""
    for path, route in service.parts.routes.items():
        response = await service.call(None, "OPTIONS", path)
        assert (response.status_code, response.headers["allow"]) == (200, route.allow)


async def test_the_address_shown_is_the_one_asked(service: Service) -> None:
    """Links carry the host that a client used; a host that is none is not repeated."""
    shown = await service.call(None, "GET", "/versions", headers={"Host": "images.example:8443"})
    assert shown.json()["versions"][0]["links"][0]["href"] == "http://images.example:8443/v2/"
    evil = await service.call(None, "GET", "/versions", headers={"Host": 'x"><script>'})
    assert "script" not in evil.text

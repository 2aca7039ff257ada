"""The service's address in links, redirects and the catalogue, behind a proxy."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from browsing import AJAX, browser
from inprocess import PASSWORD, Prepared, Service, running
from tintype.settings import Server

THROUGH = {
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "cloud.example",
    "X-Forwarded-Port": "8443",
    "X-Forwarded-Prefix": "/image",
}
RAW = {"disk_format": "raw", "container_format": "bare"}
SEEN = "https://cloud.example:8443/image"


@pytest_asyncio.fixture
async def proxied(prepared: Prepared, tmp_path: Path) -> AsyncIterator[Service]:
    """Give a service that trusts the address that the tests come from."""
    async with running(prepared, tmp_path, server=Server(trusted_proxies=("127.0.0.0/8",))) as service:
        yield service


async def seen(service: Service, headers: dict[str, str]) -> str:
    """Return the base URL that a request with these headers is told."""
    answer = await service.call(None, "GET", "/versions", headers=headers)
    return str(answer.json()["versions"][0]["links"][0]["href"]).removesuffix("/v2/")


async def test_every_absolute_link_has_the_prefix(proxied: Service) -> None:
    """Versions, Location, uploads, the catalogue of the identity, and whom a 401 sends to log in."""
    assert await seen(proxied, THROUGH) == SEEN
    made = await proxied.call("admin", "POST", "/v2/images", json=RAW, headers=THROUGH)
    image = made.json()["id"]
    assert made.headers["location"] == f"{SEEN}/v2/images/{image}"
    tus = {**THROUGH, "Tus-Resumable": "1.0.0", "Upload-Length": "3"}
    begun = await proxied.call("admin", "POST", f"/v2/images/{image}/uploads", headers=tus)
    assert begun.headers["location"].startswith(f"{SEEN}/v2/images/{image}/uploads/")
    space = await proxied.call(
        "admin", "POST", "/v2/metadefs/namespaces", json={"namespace": "n"}, headers=THROUGH
    )
    assert space.headers["location"] == f"{SEEN}/v2/metadefs/namespaces/n"
    catalog = await proxied.call("alice", "GET", "/identity/v3/auth/catalog", headers=THROUGH)
    urls = {each["type"]: {place["url"] for place in each["endpoints"]} for each in catalog.json()["catalog"]}
    assert urls == {"image": {SEEN}, "identity": {f"{SEEN}/identity/v3"}}
    assert catalog.json()["links"]["self"] == f"{SEEN}/identity/v3/auth/catalog"
    refused = await proxied.call(None, "GET", "/v2/images", headers=THROUGH)
    assert refused.headers["www-authenticate"] == f'Keystone uri="{SEEN}/identity"'


async def test_links_from_the_root_stay_as_they_are(proxied: Service) -> None:
    """`self`, `file`, `first`, `next` and `schema` are paths of the API, without a prefix, as Glance's."""
    for number in range(2):
        await proxied.call("alice", "POST", "/v2/images", json={"name": str(number)}, headers=THROUGH)
    page = (await proxied.call("alice", "GET", "/v2/images?limit=1", headers=THROUGH)).json()
    assert (page["first"], page["schema"]) == ("/v2/images?limit=1", "/v2/schemas/images")
    assert page["next"].startswith("/v2/images?limit=1&marker=")
    (image,) = page["images"]
    assert image["self"] == f"/v2/images/{image['id']}"


async def test_the_page_under_a_prefix(proxied: Service) -> None:
    """Browsers are led to it below the prefix, and keep its session for nothing else on that host."""
    for path, accept in (("/", "text/html"), ("/dashboard", "*/*")):
        led = await proxied.call(None, "GET", path, headers={**THROUGH, "Accept": accept})
        assert led.headers["location"] == "/image/dashboard/"
    body = {"username": "alice", "password": PASSWORD}
    answer = await proxied.client.post("/api/session/", json=body, headers={**AJAX, **THROUGH})
    cookies = answer.headers.get_list("set-cookie")
    assert len(cookies) == 2
    assert all("Path=/image;" in cookie and "Secure" in cookie for cookie in cookies)
    for cookie in cookies:
        name, value = cookie.partition(";")[0].split("=", 1)
        proxied.client.cookies.set(name, value)
    known = {**AJAX, **THROUGH, "X-CSRFToken": answer.json()["csrf_token"]}
    gone = await proxied.client.delete("/api/session/", headers=known)
    assert all("Path=/image;" in cookie for cookie in gone.headers.get_list("set-cookie"))
    alone = await browser(proxied, "bob")
    assert [cookie.path for cookie in alone.http.cookies.jar] == ["/", "/"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"X-Forwarded-Port": None}, "https://cloud.example/image"),
        ({"X-Forwarded-Port": "443"}, "https://cloud.example/image"),
        ({"X-Forwarded-Port": "80"}, "https://cloud.example/image"),  # of the hop behind the one with TLS
        ({"X-Forwarded-Host": "cloud.example:9000"}, "https://cloud.example:9000/image"),
        ({"X-Forwarded-Host": "[2001:db8::1]"}, "https://[2001:db8::1]:8443/image"),
        ({"X-Forwarded-Host": None}, "https://testserver:8443/image"),
        ({"X-Forwarded-Host": "evil.example, cloud.example"}, SEEN),  # the last one is the proxy's own word
        ({"X-Forwarded-Prefix": "/image/"}, SEEN),
        ({"X-Forwarded-Prefix": "/a/b-1/~c.d"}, "https://cloud.example:8443/a/b-1/~c.d"),
        ({"X-Forwarded-Proto": "gopher"}, "http://cloud.example:8443/image"),
    ],
)
async def test_what_proxies_say(proxied: Service, changes: dict[str, str | None], expected: str) -> None:
    """Each header counts by itself; ports that a scheme implies are left out."""
    headers = {name: value for name, value in {**THROUGH, **changes}.items() if value is not None}
    assert await seen(proxied, headers) == expected


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        (
            "X-Forwarded-Prefix",
            [
                "//evil.example",
                "/..",
                "/a/../b",
                "/a//b",
                "image",
                "/a?b",
                "/a b",
                '/"><x>',
                "/%2e%2e",
                "/" * 9,
            ],
            "https://cloud.example:8443",
        ),
        (
            "X-Forwarded-Host",
            ["evil.example/x", "a@b", 'x"><script>', "a b", "a:b", "", "http://x", "a:123456"],
            "https://testserver:8443/image",
        ),
        (
            "X-Forwarded-Port",
            ["0", "65536", "99999999", "-1", "x", "80a", "8 0", "", "1@evil.example"],
            "https://cloud.example/image",
        ),
    ],
)
async def test_hostile_values_are_ignored(
    proxied: Service, name: str, values: list[str], expected: str
) -> None:
    """What cannot be a host, a port or a prefix is as if it were not there."""
    for value in values:
        assert await seen(proxied, {**THROUGH, name: value}) == expected, value


async def test_nobody_else_is_believed(prepared: Prepared, tmp_path: Path) -> None:
    """Without trusted proxies, and from addresses that are none, the headers mean nothing."""
    for number, proxies in enumerate(((), ("192.0.2.0/24",))):
        settings = Server(trusted_proxies=proxies)
        async with running(prepared, tmp_path / str(number), server=settings) as service:
            assert await seen(service, THROUGH) == "http://testserver"
            led = await service.call(None, "GET", "/dashboard", headers=THROUGH)
            assert led.headers["location"] == "dashboard/"


async def test_the_setting_wins(prepared: Prepared, tmp_path: Path) -> None:
    """`public_url` is what all are told, whatever a proxy says; its path is the prefix."""
    settings = Server(trusted_proxies=("127.0.0.1",), public_url="https://images.example/cloud/")
    async with running(prepared, tmp_path, server=settings) as service:
        assert await seen(service, THROUGH) == "https://images.example/cloud"
        led = await service.call(None, "GET", "/dashboard", headers=THROUGH)
        assert led.headers["location"] == "/cloud/dashboard/"


async def test_two_hosts_are_refused_behind_a_proxy_too(proxied: Service) -> None:
    """A proxy's word does not hide that a request has two hosts."""
    headers = [("Host", "a"), ("Host", "b"), *THROUGH.items()]
    assert (await proxied.client.get("/versions", headers=headers)).status_code == 400

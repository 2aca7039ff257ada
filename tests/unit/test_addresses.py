"""Where downloads may not lead: encodings, credentials, ports, schemes, networks, names and redirects."""

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import web
from tintype.blobs.downloads import Download
from tintype.blobs.web import Web
from tintype.domain.addresses import WebRules, display_url, networks
from tintype.errors import Invalid, StartError, TintypeError

REFUSED = [
    # schemes
    *("file:///etc/passwd", "ftp://example.org/x", "gopher://example.org/", "javascript:alert(1)", "data:,x"),
    *("//example.org/x", "example.org/x", "", "http:", "http://", "http:///x", "https:example.org"),
    # loopback, in every clothing
    *("http://127.0.0.1/", "http://127.1/", "http://127.0.1/", "http://2130706433/", "http://0x7f000001/"),
    *("http://0x7f.0.0.1/", "http://0177.0.0.1/", "http://017700000001/", "http://127.0.0.1./", "http://0/"),
    *("http://0.0.0.0/", "http://[::1]/", "http://[::]/", "http://[::ffff:127.0.0.1]/", "http://localhost/"),
    *("http://[::ffff:7f00:1]/", "http://[::127.0.0.1]/", "http://[0:0:0:0:0:ffff:127.0.0.1]/"),
    *(
        "http://127.0.0.1%2f@example.org/",
        "http://\uff11\uff12\uff17.0.0.1/",
        "http://127。0。0。1/",
        "http://127.0.0.1%00/",
    ),
    # private, link-local, metadata, shared, reserved
    *("http://10.0.0.1/", "http://172.16.0.1/", "http://172.31.255.255/", "http://192.168.1.1/"),
    *("http://169.254.169.254/latest/meta-data/", "http://[fe80::1]/", "http://[fe80::1%25eth0]/"),
    *("http://[fd00:ec2::254]/", "http://[fc00::1]/", "http://100.64.0.1/", "http://100.100.100.200/"),
    *("http://192.0.0.192/", "http://198.18.0.1/", "http://192.0.2.1/", "http://203.0.113.7/"),
    *("http://224.0.0.1/", "http://255.255.255.255/", "http://240.0.0.1/", "http://[ff02::1]/"),
    *("http://[2001:db8::1]/", "http://[2001::1]/", "http://[fec0::1]/", "http://[100::1]/"),
    # IPv4 in IPv6
    *("http://[::ffff:169.254.169.254]/", "http://[64:ff9b::7f00:1]/", "http://[64:ff9b::10.0.0.1]/"),
    *("http://[2002:7f00:1::]/", "http://[2002:a00:1::]/", "http://[64:ff9b:1::1]/"),
    # credentials, ports, and what a URL has not
    *("http://user@8.8.8.8/", "http://user:secret@8.8.8.8/", "http://8.8.8.8@127.0.0.1/", "http://@8.8.8.8/"),
    *(
        "http://8.8.8.8:22/",
        "http://8.8.8.8:0/",
        "http://8.8.8.8:99999/",
        "http://8.8.8.8:-1/",
        "http://8.8.8.8:8a/",
    ),
    *(
        "http://8.8.8.8\\@127.0.0.1/",
        "http://8.8.8.8/\r\nX-Evil: 1",
        "http://8.8.8.8/a b",
        "http://8.8.8.8\t/",
    ),
    *(
        "http://[8.8.8.8]/",
        "http://[::1/",
        "http://ex ample.org/",
        "http://-x.example/",
        "http://x..example/",
    ),
    *(
        "http://example.org\x00/",
        "http://" + "a" * 254 + "/",
        "http://8.8.8.8/" + "a" * 8200,
        "http://8.8.8.8/ü",
    ),
    *("HTTP://LOCALHOST/", "hTTp://127.0.0.1/", " http://127.0.0.1/", "http://a.1/", "http://1.2.3.4.5/"),
]


@pytest.mark.parametrize("url", REFUSED, ids=range(len(REFUSED)))
async def test_refused(url: str) -> None:
    """None of these is gone to, and the caller is told that the filter was it."""
    way = Web(WebRules())
    with pytest.raises(Invalid, match="does not pass filtering"):
        await way.check(url)
    with pytest.raises(Invalid):
        await Download(way, url, limit=1 << 20, seconds=5).begin()
    await way.close()


def test_there_are_enough_of_them() -> None:
    """The list is as long as it says."""
    assert len(set(REFUSED)) == len(REFUSED) >= 60


@pytest.mark.parametrize(
    "url",
    [
        *("http://8.8.8.8/", "https://8.8.8.8/x?y=z#part", "http://8.8.8.8:80/", "https://1.1.1.1:443"),
        *("http://[2001:4860:4860::8888]/", "http://[64:ff9b::8.8.8.8]/", "http://[2002:808:808::]/"),
    ],
)
async def test_allowed(url: str) -> None:
    """What is public is, in every form."""
    way = Web(WebRules())
    await way.check(url)
    await way.close()


@given(st.ip_addresses(v=4))
def test_no_clothing_makes_an_address_another(address: ipaddress.IPv4Address) -> None:
    """An IPv4 address is reachable in IPv6 forms exactly where it is by itself."""
    rules = WebRules()
    plain = rules.reachable(str(address))
    assert rules.reachable(f"::ffff:{address}") == plain
    assert rules.reachable(f"64:ff9b::{address}") == plain
    if plain:
        assert address.is_global


def test_what_an_operator_says() -> None:
    """Allowed networks are let through, denied ones never, ports and schemes as they are named."""
    rules = WebRules(networks(["10.1.0.0/16"]), networks(["8.8.0.0/16", "10.1.2.0/24"]), frozenset({8080}))
    assert [rules.reachable(each) for each in ("10.1.1.1", "10.1.2.1", "10.2.0.1", "8.8.8.8", "1.1.1.1")] == [
        *(True, False, False, False, True)
    ]
    rules.check_url("http://example.org:8080/")
    for url in ("http://example.org/", "https://example.org/"):
        with pytest.raises(Invalid, match="port"):
            rules.check_url(url)
    with pytest.raises(Invalid, match="scheme"):
        WebRules(schemes=frozenset({"https"})).check_url("http://example.org/")
    with pytest.raises(StartError, match="not a network"):
        networks(["10.0.0.1/8"])


async def fetched(url: str, server: web.Server, **rules: Any) -> bytes:
    """Download from a server of ours, on its port."""
    chosen: dict[str, Any] = {
        "allowed": networks(["127.0.0.1/32"]),
        "ports": frozenset({80, server.server_port}),
        **rules,
    }
    way = Web(WebRules(**chosen))
    try:
        chunks = await Download(way, url, limit=1 << 20, seconds=20).begin()
        return b"".join([chunk async for chunk in chunks])
    finally:
        await way.close()


async def test_a_name_with_one_address_inside_is_refused() -> None:
    """Each address of a name is checked, not only the one that would be taken."""
    with (
        web.serving(lambda request: request.give(b"x")) as server,
        web.names({"mixed.example": [["8.8.8.8", "10.0.0.1"]], "none.example": [[]]}),
    ):
        for name, note in (
            ("mixed", "mixed.example has the address 10.0.0.1"),
            ("none", "none.example has no address"),
        ):
            with pytest.raises(Invalid, match="does not pass filtering") as refused:
                await fetched(f"http://{name}.example:{server.server_port}/", server)
            assert note not in refused.value.message
            assert refused.value.__notes__ == [note]


async def test_a_name_that_changes_its_mind() -> None:
    """A name is checked when it is connected to: what it was a moment before does not matter."""
    with (
        web.serving(lambda request: request.give(b"secret")) as server,
        web.names({"rebind.example": [["8.8.8.8"], ["127.0.0.1"]]}) as asked,
    ):
        rules = WebRules(ports=frozenset({server.server_port}))
        way = Web(rules)
        url = f"http://rebind.example:{server.server_port}/"
        await way.check(url)
        with pytest.raises(Invalid, match="does not pass filtering"):
            await Download(way, url, limit=1 << 20, seconds=5).begin()
        await way.close()
        assert (asked, server.seen) == (["rebind.example", "rebind.example"], [])


async def test_the_address_that_was_checked_is_the_one_connected_to() -> None:
    """One look-up a connection: a second answer is never asked for."""
    with (
        web.serving(lambda request: request.give(b"good")) as server,
        web.names({"once.example": [["127.0.0.1"], ["10.0.0.1"]]}) as asked,
    ):
        assert await fetched(f"http://once.example:{server.server_port}/", server) == b"good"
        assert asked == ["once.example"]
        assert server.seen[0][2]["Host"] == f"once.example:{server.server_port}"


@pytest.mark.parametrize(
    "location",
    [
        *("http://127.0.0.2:{port}/", "http://10.0.0.1/", "http://169.254.169.254/", "file:///etc/passwd"),
        *("http://[::1]:{port}/", "//10.0.0.1/", "http://user:x@127.0.0.1:{port}/", "http://127.0.0.1:22/"),
        *("http://0x7f000002/", "ftp://127.0.0.1/", "http://inside.example:{port}/", "/loop"),
    ],
)
async def test_redirects_are_checked_each(location: str) -> None:
    """A redirect to where one may not go ends the download, also behind a good one; so does a circle."""

    def answer(request: web.Request) -> None:
        if request.path == "/start":
            request.redirect("/second")
        else:
            request.redirect(location.format(port=request.server.server_port))

    with web.serving(answer) as server, web.names({"inside.example": [["10.0.0.1"]]}):
        with pytest.raises(Invalid):
            await fetched(f"{server.url}/start", server)
        assert len(server.seen) <= 6


async def test_redirects_that_are_followed() -> None:
    """To a good place, five times at most, relative ones too."""

    def answer(request: web.Request) -> None:
        step = int(request.path.removeprefix("/"))
        if step < 5:
            request.redirect(f"{step + 1}", status=(301, 302, 303, 307, 308)[step])
        else:
            request.give(b"there")

    with web.serving(answer) as server:
        assert await fetched(f"{server.url}/0", server) == b"there"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 418, 500])
async def test_what_a_source_answers(status: int) -> None:
    """A source that does not give the thing is told with its URL and status."""
    with web.serving(lambda request: request.give(b"", status=status)) as server:
        with pytest.raises(TintypeError) as failure:
            await fetched(f"{server.url}/", server)
        assert failure.value.message.startswith(f"{server.url}/ answered HTTP {status} ")


async def test_broken_connections_are_gone_on_with() -> None:
    """By range, where the thing is still the same; each connection brings some more."""
    data, step = bytes(range(256)) * 400, 30_000
    ends = iter([step, 2 * step, 3 * step])
    with web.serving(lambda request: request.ranged(data, until=next(ends, None))) as server:
        assert await fetched(f"{server.url}/", server) == data
        asked = [headers.get("Range") for _, _, headers in server.seen]
        assert asked[0] is None
        assert len(asked) == 4
        assert all(headers.get("If-Range") == '"v1"' for _, _, headers in server.seen[1:])


async def test_a_source_that_changes_in_the_middle() -> None:
    """Bytes of two things are never put together."""
    turn = iter(["v1", "v2"])

    def answer(request: web.Request) -> None:
        version = next(turn, "v3")
        request.send_response(200)
        request.send_header("ETag", f'"{version}"')
        request.send_header("Content-Length", "100000")
        request.end_headers()
        request.wfile.write(version.encode() * 20_000)
        request.wfile.flush()
        request.close_connection = True

    with web.serving(answer) as server, pytest.raises(Invalid, match="changed"):
        await fetched(f"{server.url}/", server)


async def test_limits_of_size_and_time() -> None:
    """Too many bytes, declared or not, and a drip that never ends, are given up."""
    with web.serving(lambda request: request.give(b"x" * 100, length=1 << 40)) as server:
        failing = fetched(f"{server.url}/", server)
        with pytest.raises(TintypeError, match="may have at most 1048576"):
            await failing
    with web.serving(lambda request: request.drip(b"x" * 1000, 0.02, 1000)) as server:
        way = Web(WebRules(networks(["127.0.0.0/8"]), ports=frozenset({server.server_port})))
        chunks = await Download(way, f"{server.url}/", limit=1 << 20, seconds=0.5).begin()
        with pytest.raises(Invalid, match=r"not be read within 0 s \(imports.seconds\), only \d+ bytes"):
            async for _ in chunks:
                pass
        await way.close()


SECRET = "s3cr3t"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"https://user:{SECRET}@example.org:8443/a/disk.qcow2", "https://example.org:8443/a/disk.qcow2"),
        (f"https://{SECRET}@example.org/x?X-Amz-Signature={SECRET}#{SECRET}", "https://example.org/x"),
        (f"https://example.org?sig={SECRET}", "https://example.org"),
        (f"https://user:a/{SECRET}@example.org/x", "https://…"),
        (f"https://user:a?{SECRET}@example.org/x", "https://…"),
        (f"https://user:{SECRET}\\@example.org/x", "https://example.org/x"),
        (f"https://example.org/{SECRET}@other/x", "https://example.org/…"),
        (f"user:{SECRET}@example.org/x", "example.org/x"),
        (f"//user:{SECRET}@example.org/x", "/…"),
        (f"s3+https://key:{SECRET}@[::1]:80/bucket", "s3+https://[::1]:80/bucket"),
        ("http://8.8.8.8/\r\nX: 1", "http://8.8.8.8/??X: 1"),
        ("https://example.org/" + "a" * 300, "https://example.org/" + "a" * 180 + "…"),
    ],
)
def test_what_people_are_told_of_a_url(url: str, shown: str) -> None:
    """Neither passwords nor signatures are repeated, in whatever form a URL hides them."""
    assert display_url(url) == shown
    with pytest.raises(Invalid) as refused:
        WebRules(ports=frozenset({1})).check_url(url)
    assert SECRET not in refused.value.message


def test_urls_of_8192_characters() -> None:
    """Presigned URLs with session tokens are that long; one more is refused with both numbers."""
    url = "https://8.8.8.8/disk?token="
    WebRules().check_url(url.ljust(8192, "x"))
    with pytest.raises(Invalid, match="8193 characters; at most 8192"):
        WebRules().check_url(url.ljust(8193, "x"))


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_whoever_names_an_address_is_told_that_it_is_not_public(host: str) -> None:
    """Of a name nobody is told whether there is one."""
    with pytest.raises(Invalid, match=r": the address is not public\."):
        WebRules().check_addresses(host, ["::1"])
    with pytest.raises(Invalid, match=r"not found in DNS, or has an address that is not public\."):
        WebRules().check_addresses("a.example", ["::1"])

"""Downloads through a proxy: only where a setting says so, and no further than without one."""

import base64
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import web
from certificates import Authority
from proxy import Proxy, proxying
from tintype.blobs.downloads import Download
from tintype.blobs.web import Web
from tintype.domain.addresses import Target, WebRules, networks
from tintype.domain.proxies import parse_proxies
from tintype.errors import Invalid, StartError, TintypeError, Unavailable

ANYWHERE = frozenset(range(1, 65536))


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """Give a proxy."""
    with proxying() as running:
        yield running


@pytest.fixture(autouse=True)
def _once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tintype.blobs.downloads._TRIES", 1)


def way_through(
    proxy: Proxy | str, *direct: str, trust: ssl.SSLContext | None = None, allowed: str = "127.0.0.0/8"
) -> Web:
    """Return a way to the web through a proxy, for both schemes."""
    url = proxy if isinstance(proxy, str) else proxy.url
    proxies = parse_proxies("imports.proxy", [("http", url), ("https", url)], direct)
    return Web(WebRules(networks([allowed]), ports=ANYWHERE), proxies, trust=trust)


async def fetched(way: Web, url: str) -> bytes:
    """Download all of a URL, and close the way to it."""
    try:
        chunks = await Download(way, url, limit=1 << 20, seconds=20).begin()
        return b"".join([chunk async for chunk in chunks])
    finally:
        await way.close()


async def failure(way: Web, url: str) -> TintypeError:
    with pytest.raises(TintypeError) as failed:
        await fetched(way, url)
    return failed.value


async def test_plain_http_is_asked_for_whole(proxy: Proxy) -> None:
    """The proxy gets the absolute URL (RFC 9112, 3.2.2), the source the path."""
    with web.serving(lambda request: request.give(b"disk")) as server:
        assert await fetched(way_through(proxy), f"{server.url}/a?b=c") == b"disk"
        assert [seen[:2] for seen in proxy.seen] == [("GET", f"{server.url}/a?b=c")]
        assert [seen[:2] for seen in server.seen] == [("GET", "/a?b=c")]


async def test_https_is_a_tunnel_to_the_name(proxy: Proxy, tmp_path: Path) -> None:
    """CONNECT names the host; TLS is verified from end to end, and the proxy's credentials stay with it."""
    authority = Authority(tmp_path)
    trust = ssl.create_default_context(cafile=authority.file)
    proxy.credentials = "user:p@ss/word"
    with (
        web.serving(lambda request: request.give(b"disk"), tls=authority.context("mirror.example")) as server,
        web.names({"mirror.example": [["127.0.0.1"]]}),
    ):
        proxy.names["mirror.example"] = "127.0.0.1"
        url = f"https://mirror.example:{server.server_port}/disk"
        through = proxy.url.replace("://", "://user:p%40ss%2Fword@")
        assert await fetched(way_through(through, trust=trust), url) == b"disk"
        assert [seen[:2] for seen in proxy.seen] == [("CONNECT", f"mirror.example:{server.server_port}")]
        assert "authorization" not in str(server.seen).lower()
        failed = await failure(way_through(through), url)
    assert "signed by an authority that is not trusted" in failed.message


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    ("status", "kind", "says"),
    [
        (403, Invalid, "the proxy of imports.proxy"),
        (407, Invalid, "the proxy of imports.proxy accepts no request without the right credentials"),
        (502, Unavailable, "the proxy of imports.proxy"),
    ],
)
async def test_refusals_are_the_proxys(
    proxy: Proxy, scheme: str, status: int, kind: type[TintypeError], says: str
) -> None:
    """What it refuses is told as its refusal, with the status, not where it is nor its password."""
    proxy.refuses["127.0.0.1"] = status
    through = proxy.url.replace("://", "://user:s3cr3t@")
    failed = await failure(way_through(through), f"{scheme}://127.0.0.1:9/disk?sig=s3cr3t")
    assert isinstance(failed, kind)
    assert failed.message.startswith(f"Cannot read {scheme}://127.0.0.1:9/disk: {says}")
    assert f"HTTP {status} " in failed.message
    assert "s3cr3t" not in failed.message
    assert str(proxy.port) not in failed.message


async def test_a_proxy_that_is_not_there() -> None:
    """It is the proxy that cannot be reached, not the source."""
    with proxying() as gone:
        pass
    failed = await failure(way_through(gone), "http://127.0.0.1/disk")
    begin = (
        "Cannot read http://127.0.0.1/disk: the proxy of imports.proxy cannot be reached: connection refused"
    )
    assert failed.message.startswith(begin)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    "host", ["10.0.0.1", "169.254.169.254", "[::1]", "inside.example", "0x7f000001", "127.1", "2130706433"]
)
async def test_private_addresses_are_refused_before(proxy: Proxy, scheme: str, host: str) -> None:
    """Names are looked up and checked here first; the proxy is never asked for what is inside."""
    with web.names({"inside.example": [["8.8.8.8", "10.0.0.1"]]}):
        way = way_through(proxy)
        with pytest.raises(Invalid, match="does not pass filtering"):
            await way.check(f"{scheme}://{host}/")
        failed = await failure(way, f"{scheme}://{host}/")
    assert "does not pass filtering" in failed.message
    assert proxy.seen == []


async def test_redirects_are_checked_each(proxy: Proxy) -> None:
    """A source cannot lead the proxy to a private address."""
    with (
        web.serving(lambda request: request.redirect(f"http://{request.path[1:]}/")) as server,
        web.names({"inside.example": [["10.0.0.1"]]}),
    ):
        for host in ("10.0.0.1", "inside.example", "user:x@127.0.0.1"):
            failed = await failure(way_through(proxy), f"{server.url}/{host}")
            assert "does not pass filtering" in failed.message
        assert [seen[1].rpartition("/")[2] for seen in proxy.seen] == [
            *("10.0.0.1", "inside.example", "user:x@127.0.0.1")
        ]


@pytest.mark.parametrize("answer", ["unknown", "silent"])
async def test_names_that_only_the_proxy_knows(
    proxy: Proxy, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where our name servers know nothing, the proxy decides; without one the name is refused."""

    def silent(*_arguments: Any, **_options: Any) -> Any:
        raise socket.gaierror(socket.EAI_AGAIN, "no name server")

    with web.serving(lambda request: request.give(b"disk")) as server, web.names({"far.example": [[]]}):
        if answer == "silent":
            real = socket.getaddrinfo
            monkeypatch.setattr(
                socket,
                "getaddrinfo",
                lambda host, *more, **options: (
                    silent() if host == "far.example" else real(host, *more, **options)
                ),
            )
        proxy.names["far.example"] = "127.0.0.1"
        url = f"http://far.example:{server.server_port}/"
        way = way_through(proxy)
        await way.check(url)
        assert await fetched(way, url) == b"disk"
        failed = await failure(Web(WebRules(ports=ANYWHERE)), url)
    assert "far.example" in failed.message


@pytest.mark.parametrize(
    "direct", ["*", "127.0.0.1", "127.0.0.0/8", "mirror.example", "example", ".example", "*.example"]
)
async def test_what_is_reached_directly(proxy: Proxy, direct: str) -> None:
    """Hosts, domains, networks of addresses that names have, and everything."""
    with (
        web.serving(lambda request: request.give(b"disk")) as server,
        web.names({"mirror.example": [["127.0.0.1"]]}),
    ):
        url = f"http://mirror.example:{server.server_port}/"
        assert await fetched(way_through(proxy, direct), url) == b"disk"
        assert proxy.seen == []


@pytest.mark.parametrize("direct", ["irror.example", "mirror.example.org", "127.0.0.2", "10.0.0.0/8"])
async def test_what_is_not(proxy: Proxy, direct: str) -> None:
    """Half a name and other networks mean nothing."""
    with (
        web.serving(lambda request: request.give(b"disk")) as server,
        web.names({"mirror.example": [["127.0.0.1"]]}),
    ):
        proxy.names["mirror.example"] = "127.0.0.1"
        await fetched(way_through(proxy, direct), f"http://mirror.example:{server.server_port}/")
        assert len(proxy.seen) == 1


async def test_the_environment_switches_nothing_on(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP_PROXY and the like are for other programs; NO_PROXY does not lead past a proxy of the settings."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url)
        monkeypatch.setenv(name.lower(), proxy.url)
    with web.serving(lambda request: request.give(b"disk")) as server:
        way = Web(WebRules(networks(["127.0.0.0/8"]), ports=ANYWHERE))
        assert await fetched(way, f"{server.url}/") == b"disk"
        assert proxy.seen == []
        monkeypatch.setenv("NO_PROXY", "*")
        assert await fetched(way_through(proxy), f"{server.url}/") == b"disk"
        assert len(proxy.seen) == 1


def test_one_scheme_only() -> None:
    """A proxy is of the schemes that it is named for; its credentials are kept apart from its address."""
    rules = parse_proxies("imports.proxy", [("https", "http://user:p%40ss@proxy.example:3128/")])
    assert rules.choose(Target("http", "a.example", 80)) is None
    proxy = rules.choose(Target("https", "a.example", 443))
    assert proxy is not None
    assert (proxy.url, proxy.credentials) == ("http://proxy.example:3128", ("user", "p@ss"))
    assert base64.b64encode(b"user:p@ss").decode() not in str(proxy.url)


@pytest.mark.parametrize(
    "url", ["proxy:3128", "https://s3cr3t@proxy", "http://", "http://user:s3cr3t@p:x", "http://p/s3cr3t"]
)
def test_what_is_no_proxy(url: str) -> None:
    """The start ends with a line that names the setting, and repeats no password."""
    with pytest.raises(StartError, match=r"imports\.proxy must be written like") as failed:
        parse_proxies("imports.proxy", [("https", url)])
    assert "s3cr3t" not in failed.value.message


@pytest.mark.parametrize(
    "direct", ["", "10.0.0.1/8", "http://a.example", "a.example:80", "a.*.example", "a b"]
)
def test_what_names_nothing(direct: str) -> None:
    """An entry of imports.no_proxy that would match nothing stops the start."""
    with pytest.raises(StartError, match=r"imports\.no_proxy"):
        parse_proxies("imports.proxy", [], [direct])

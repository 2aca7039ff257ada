"""Proxies of the settings: how they are written, and for which requests they are used."""

import pytest

from tintype.domain import proxies
from tintype.domain.addresses import Target
from tintype.domain.proxies import Proxy, ProxyRules
from tintype.errors import StartError

HTTP, HTTPS = "http://proxy.example.org:3128", "http://secure.example.org:8080"


def rules(*direct: str) -> ProxyRules:
    return proxies.parse_proxies("imports.proxy", [("http", HTTP), ("https", HTTPS)], direct)


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        (HTTP, Proxy(HTTP)),
        ("http://proxy", Proxy("http://proxy:80")),
        ("http://PROXY/", Proxy("http://proxy:80")),
        ("http://[::1]:3128", Proxy("http://[::1]:3128")),
        ("http://me:se%20cret@proxy:1", Proxy("http://proxy:1", ("me", "se cret"))),
        ("http://me@proxy:1", Proxy("http://proxy:1", ("me", ""))),
        ("http://:x@proxy:1", Proxy("http://proxy:1", ("", "x"))),
    ],
)
def test_proxies(url: str, proxy: Proxy) -> None:
    found = proxies.parse_proxies("imports.proxy", [("http", url)])
    assert found == ProxyRules("imports.proxy", {"http": proxy})


def test_the_whole_url_has_the_credentials() -> None:
    assert Proxy(HTTP).whole_url == HTTP
    assert Proxy(HTTP, ("me", "a/b@c")).whole_url == "http://me:a%2Fb%40c@proxy.example.org:3128"


@pytest.mark.parametrize(
    "url",
    [
        *("", "proxy:3128", "https://proxy:3128", "http://", "http://proxy:x", "http://proxy:99999"),
        *("http://proxy/path", "http://proxy?x", "http://proxy/#x", "socks5://proxy", "http://[proxy"),
    ],
)
def test_what_is_no_proxy(url: str) -> None:
    """The refusal names the setting, not the URL: it may hold a password."""
    with pytest.raises(StartError) as refusal:
        proxies.parse_proxies("imports.proxy", [("http", url)])
    assert refusal.value.message == ("imports.proxy must be written like http://proxy.example.org:3128.")


def test_the_scheme_of_a_url_chooses() -> None:
    assert rules().choose(Target("http", "a.example", 80)) == Proxy(HTTP)
    assert rules().choose(Target("https", "a.example", 443)) == Proxy(HTTPS)
    assert rules().choose(Target("ftp", "a.example", 21)) is None
    assert ProxyRules().choose(Target("http", "a.example", 80)) is None


@pytest.mark.parametrize(
    ("direct", "host", "is_direct"),
    [
        ("example.org", "example.org", True),
        ("example.org", "example.org.", True),
        ("example.org", "a.example.org", True),
        ("example.org", "badexample.org", False),
        ("example.org", "example.com", False),
        ("*.example.org", "a.example.org", True),
        (".Example.org.", "a.example.org", True),
        ("a_b-c", "a_b-c", True),
        ("*", "anything", True),
        ("10.0.0.0/8", "10.0.0.1", False),  # which its addresses decide
    ],
)
def test_hosts_that_are_reached_directly(direct: str, host: str, is_direct: bool) -> None:
    """A name stands for itself and all below it."""
    assert (rules("other", direct).choose(Target("http", host, 80)) is None) is is_direct


@pytest.mark.parametrize(
    ("addresses", "bypassed"),
    [
        ([], False),
        (["10.1.2.3"], True),
        (["10.1.2.3", "192.0.2.1"], True),
        (["10.1.2.3", "192.0.2.2"], False),
        (["fd00::1%eth0"], True),
        (["fe80::1"], False),
    ],
)
def test_networks_that_are_reached_directly(addresses: list[str], bypassed: bool) -> None:
    """Where every address of the host is in one of them."""
    assert rules("10.0.0.0/8", "192.0.2.1", "fd00::/8").bypasses(addresses) is bypassed


@pytest.mark.parametrize("direct", ["", "a b", "a..b", "http://x", "10.0.0.0/33", "a*"])
def test_what_names_nothing(direct: str) -> None:
    with pytest.raises(StartError) as refusal:
        rules("ok", direct)
    assert refusal.value.message == (
        f"imports.no_proxy has '{direct}', which is not a host, domain, network (10.0.0.0/8) or *."
    )

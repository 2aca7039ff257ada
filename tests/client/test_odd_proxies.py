"""Proxies from the environment apply only to matching hosts; invalid ones are reported in one line."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tintype.client import Client, errors
from tintype.client.proxies import proxy_for


class Answering(BaseHTTPRequestHandler):
    """Answers any address, also those that it is asked for as a proxy."""

    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        body = b'{"images": []}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    made = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    made.asked = []  # type: ignore[attr-defined]
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name.upper()}_PROXY", raising=False)


UNUSABLE = [
    "socks5://p:1",
    "socks4://p:1",
    "://",
    "http://",
    "ftp://p",
    "http://[::1",
    "nonsense://u:s3cret@p",
]


@pytest.mark.parametrize("proxy", UNUSABLE)
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "HTTP_PROXY"])
def test_proxies_of_other_hosts(
    proxy: str, variable: str, server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are not looked at: another scheme's, or that of a host that needs none."""
    monkeypatch.setenv(variable, proxy)
    if variable == "HTTP_PROXY":
        monkeypatch.setenv("NO_PROXY", "::1/strange,fe80::%x,http://[,127.0.0.1")
    with Client(endpoint=f"http://127.0.0.1:{server.server_port}", token="t") as client:
        assert list(client.images.list()) == []


@pytest.mark.parametrize("proxy", UNUSABLE)
def test_a_proxy_that_cannot_be_used(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is told by its variable, without its password."""
    monkeypatch.setenv("HTTP_PROXY", proxy)
    with (
        Client(endpoint="http://image.example", token="t") as client,
        pytest.raises(errors.ClientError, match=r"HTTP_PROXY|[Pp]roxy") as refused,
    ):
        list(client.images.list())
    assert "s3cret" not in str(refused.value)


def test_a_proxy(server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests go through it."""
    monkeypatch.setenv("HTTP_PROXY", f"127.0.0.1:{server.server_port}")
    with Client(endpoint="http://image.example", token="t") as client:
        assert list(client.images.list()) == []
    assert server.asked[0].startswith("http://image.example/v2/images")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("exceptions", "host", "direct"),
    [
        ("*", "a.example", True),
        ("a.example", "a.example", True),
        ("a.example", "b.a.example", True),
        (".a.example", "b.a.example", True),
        ("*.a.example", "b.a.example", True),
        ("a.example", "ba.example", False),
        ("A.Example ", "a.example", True),
        ("a.example:9292", "a.example", True),
        ("a.example:80", "a.example", False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("::1", "::1", True),
        ("[::1]", "::1", True),
        ("fd00::/8", "fd00::1", True),
        ("http://a.example", "a.example", True),
        (",,%,/,1/2/3", "a.example", False),
    ],
)
def test_hosts_that_need_none(
    exceptions: str, host: str, direct: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`NO_PROXY` has hosts, domains, networks, with a port or without; nonsense in it is passed over."""
    monkeypatch.setenv("http_proxy", "http://p:3128")
    monkeypatch.setenv("no_proxy", exceptions)
    assert proxy_for("http", host, 9292) == (None if direct else "http://p:3128")
    assert proxy_for("https", host, 443) is None


def test_a_proxy_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """`ALL_PROXY` stands in for a scheme that has none of its own."""
    monkeypatch.setenv("ALL_PROXY", "p:1")
    assert proxy_for("https", "a", None) == "http://p:1"
    monkeypatch.setenv("HTTPS_PROXY", "https://q:2")
    assert proxy_for("https", "a", None) == "https://q:2"

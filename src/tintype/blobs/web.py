"""The HTTP client for URLs of users: it connects to checked addresses only, within limits.

httpcore makes the connections, over a network backend (`network.py`) that connects to checked addresses only.
After a redirect or a broken connection, everything is checked again.
"""

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import urljoin

import httpcore2
import msgspec

from tintype.blobs.failures import exchange_failure, status_text
from tintype.blobs.network import (
    CONNECT_SECONDS,
    CheckedNetwork,
    NoConnection,
    ProxyNetwork,
    resolve,
    resolve_for_proxy,
)
from tintype.domain.addresses import Target, WebRules, display_url
from tintype.domain.proxies import Proxy, ProxyRules
from tintype.errors import Invalid, NotFound, TintypeError, Unauthenticated, Unavailable

_CHECK_SECONDS: Final = 3.0
"""Timeout for name servers while a caller waits."""
_SILENT_SECONDS: Final = 30.0
_HEAD_SECONDS: Final = 40.0
"""Timeout for the head of a response, including connections and redirects."""
_REDIRECTS: Final = 5
_LONGEST_SKIP: Final = 32 << 20
"""Maximum number of bytes to skip before a range, if the server does not support ranges."""
_MOVED: Final = frozenset({301, 302, 303, 307, 308})
_PROXY_AUTHENTICATION: Final = 407
_OF_PROXIES: Final = frozenset({403, 502, 503, 504})
"""Statuses that may come from the proxy or from the server."""
_TRANSIENT: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_TIMEOUTS: Final = {
    "connect": CONNECT_SECONDS,
    "read": _SILENT_SECONDS,
    "write": _SILENT_SECONDS,
    "pool": _SILENT_SECONDS,
}
_AGENT: Final = ("User-Agent", "tintype")


class ResourceInfo(msgspec.Struct, frozen=True):
    """What a server says of a resource in its response headers."""

    url: str
    """The URL after redirects."""
    size: int | None
    validator: str | None
    """ETag or date that identifies this version of the bytes."""


class Web:
    """An HTTP client under some rules, perhaps through a proxy."""

    def __init__(
        self, rules: WebRules, proxies: ProxyRules | None = None, *, trust: ssl.SSLContext | None = None
    ) -> None:
        """Create it; `trust` has the certificates to trust if these are not the system's."""
        self._rules = rules
        self._proxies = proxies or ProxyRules()
        self._trust = trust or ssl.create_default_context()
        self._direct = self._pool(CheckedNetwork(rules))
        self._through = {proxy: self._pool_through(proxy) for proxy in self._proxies.proxies.values()}

    async def check(self, url: str) -> None:
        """Raise Invalid for a URL that may not be fetched, as far as that can be found out quickly.

        If name servers do not answer, the URL passes: it is checked again when it is fetched.
        """
        target = self._rules.check_url(url)
        look_up = resolve_for_proxy if self._proxies.choose(target) else resolve
        with contextlib.suppress(Unavailable):
            await look_up(self._rules, target.host, target.port, _CHECK_SECONDS)

    async def get_json(self, url: str, headers: Mapping[str, str], limit: int) -> Any:
        """Return a JSON document of at most `limit` bytes.

        Raises Unauthenticated or NotFound as the server responds, Unavailable, or Invalid if it is not JSON.
        """
        async with self._request("GET", url, headers) as (answer, _):
            if answer.status == 401:
                raise Unauthenticated(_answered(url, answer.status))
            if answer.status in {403, 404}:
                raise NotFound(_answered(url, answer.status))
            _check(answer, {200}, url)
            parts, size = [], 0
            async for part in answer.aiter_stream():
                parts.append(part)
                size += len(part)
                if size > limit:
                    raise Invalid(f"{display_url(url)} sent a document of more than {limit} bytes.")
        try:
            return msgspec.json.decode(b"".join(parts))
        except msgspec.DecodeError:
            raise Invalid(f"{display_url(url)} did not send JSON.") from None

    async def facts(self, url: str) -> ResourceInfo | None:
        """Return information about a resource without fetching it; None if it does not exist."""
        async with self._request("HEAD", url, {}) as (answer, final):
            if answer.status in {404, 410}:
                return None
            if answer.status not in {405, 501}:
                _check(answer, {200}, url)
                return _facts(answer, final)
        try:
            async with self.bytes(url, {}, 0, 1) as (facts, _):
                return facts
        except NotFound:
            return None

    @contextlib.asynccontextmanager
    async def bytes(
        self, url: str, headers: Mapping[str, str], start: int = 0, stop: int | None = None
    ) -> AsyncIterator[tuple[ResourceInfo, AsyncIterator[bytes]]]:
        """Yield the response's headers and the bytes from `start` on; `stop` is a hint to the server."""
        wanted = (
            {}
            if start == 0 and stop is None
            else {"Range": f"bytes={start}-{'' if stop is None else stop - 1}"}
        )
        async with self._request("GET", url, {**headers, **wanted}) as (answer, final):
            if answer.status in {404, 410}:
                raise NotFound(_answered(url, answer.status))
            _check(answer, {200, 206} if wanted else {200}, url)
            skip = start if answer.status == 200 else 0
            if stop is not None and skip > _LONGEST_SKIP:
                raise Unavailable(f"{display_url(url)} does not support range requests.")
            sent = _RANGE.fullmatch(_header(answer, b"content-range") or "")
            if answer.status == 206 and (sent is None or int(sent[1]) != start):
                raise Invalid(f"{display_url(url)} sent a different range than the requested one.")
            yield _facts(answer, final), _from(answer, url, skip)

    async def close(self) -> None:
        """Close connections."""
        for pool in (self._direct, *self._through.values()):
            await pool.aclose()

    @contextlib.asynccontextmanager
    async def _request(
        self, method: str, url: str, headers: Mapping[str, str]
    ) -> AsyncIterator[tuple[httpcore2.Response, str]]:
        """Send a request and follow redirects; each URL is checked like the first one."""
        for _ in range(_REDIRECTS + 1):
            target = self._rules.check_url(url)
            with _map_errors(url):
                pool = await self._choose(target)
                context = pool.stream(
                    method,
                    url.partition("#")[0].encode("ascii"),
                    headers=[*headers.items(), _AGENT, ("Accept-Encoding", "identity"), ("Accept", "*/*")],
                    extensions={"timeout": _TIMEOUTS},
                )
                async with contextlib.AsyncExitStack() as stack:
                    try:
                        async with asyncio.timeout(_HEAD_SECONDS):
                            answer = await stack.enter_async_context(context)
                    except TimeoutError:
                        raise unreadable(url, f"no answer within {_HEAD_SECONDS:.0f} s") from None
                    except httpcore2.ProxyError as error:
                        raise self._refused_by_proxy(url, _status_of(error)) from None
                    if pool is not self._direct and target.scheme == "http":
                        self._check_proxied(url, answer.status)
                    onward = _header(answer, b"location")
                    if answer.status not in _MOVED or onward is None:
                        yield answer, url
                        return
            try:
                url = urljoin(url, onward)
            except ValueError:
                raise Invalid(f"{display_url(url)} redirected to a malformed address.") from None
            if self._rules.check_url(url) != target:
                headers = {name: value for name, value in headers.items() if name != "X-Auth-Token"}
        raise Invalid(f"There were more than {_REDIRECTS} redirects; the last one led to {display_url(url)}.")

    async def _choose(self, target: Target) -> httpcore2.AsyncConnectionPool:
        """Return the connection pool to use, after checking that it may fetch the target.

        A proxy gets a name only after the name has been looked up here, if possible, and checked.
        """
        proxy = self._proxies.choose(target)
        if proxy is None:
            return self._direct
        addresses = await resolve_for_proxy(self._rules, target.host, target.port)
        return self._direct if self._proxies.bypasses(addresses) else self._through[proxy]

    def _pool(
        self, network: httpcore2.AsyncNetworkBackend, proxy: httpcore2.Proxy | None = None
    ) -> httpcore2.AsyncConnectionPool:
        return httpcore2.AsyncConnectionPool(
            ssl_context=self._trust,
            proxy=proxy,
            max_connections=100,
            max_keepalive_connections=4,
            keepalive_expiry=15.0,
            network_backend=network,
        )

    def _pool_through(self, proxy: Proxy) -> httpcore2.AsyncConnectionPool:
        credentials = proxy.credentials and (proxy.credentials[0].encode(), proxy.credentials[1].encode())
        return self._pool(ProxyNetwork(self._proxies.setting), httpcore2.Proxy(proxy.url, auth=credentials))

    def _check_proxied(self, url: str, status: int) -> None:
        """Reject a response to a plain HTTP request that may come from the proxy instead of the server."""
        if status == _PROXY_AUTHENTICATION:
            raise self._refused_by_proxy(url, status)
        if status in _OF_PROXIES:
            answerer = f"the proxy of {self._proxies.setting}, or the server behind it,"
            reason = f"{answerer} answered {status_text(status)}"
            raise unreadable(url, reason, for_good=status not in _TRANSIENT)

    def _refused_by_proxy(self, url: str, status: int) -> TintypeError:
        """Return the error for a proxy's refusal, without the proxy's address."""
        by = f"the proxy of {self._proxies.setting}"
        if status == _PROXY_AUTHENTICATION:
            reason = f"{by} accepts no request without the right credentials ({status_text(status)})"
        else:
            reason = f"{by} refused to connect to the host ({status_text(status)})"
        return unreadable(url, reason, for_good=status not in _TRANSIENT)


def _check(answer: httpcore2.Response, wanted: Iterable[int], url: str) -> None:
    """Raise an error for a response with another status: Invalid if it is permanent, else Unavailable."""
    if answer.status in wanted:
        return
    message = _answered(url, answer.status)
    raise Unavailable(message, retry_after=5) if answer.status in _TRANSIENT else Invalid(message)


def _answered(url: str, status: int) -> str:
    hint = {401: ": it asks for credentials", 403: ": it does not allow it", 404: ": check the URL"}.get(
        status, ""
    )
    return f"{display_url(url)} answered {status_text(status)}{hint}."


def unreadable(url: str, reason: str, *, for_good: bool = False) -> TintypeError:
    """Return the error for a URL that cannot be read, with the reason."""
    message = f"Cannot read {display_url(url)}: {reason}."
    return Invalid(message) if for_good else Unavailable(message, retry_after=5)


def _status_of(error: httpcore2.ProxyError) -> int:
    """Return the status with which a proxy has refused a connection."""
    number = str(error).partition(" ")[0]
    return int(number) if number.isascii() and number.isdigit() else 502


def _facts(answer: httpcore2.Response, url: str) -> ResourceInfo:
    length, size = _header(answer, b"content-length") or "", None
    if answer.status == 206:
        match = _RANGE.fullmatch(_header(answer, b"content-range") or "")
        size = int(match[3]) if match and match[3] != "*" else None
    elif length.isascii() and length.isdigit() and len(length) < 19:
        size = int(length)
    tag = _header(answer, b"etag")
    weak = tag is None or tag.startswith("W/")
    return ResourceInfo(url, size, _header(answer, b"last-modified") if weak else tag)


async def _from(answer: httpcore2.Response, url: str, skip: int) -> AsyncIterator[bytes]:
    """Yield the body without its first `skip` bytes."""
    with _map_errors(url):
        async for chunk in answer.aiter_stream():
            if skip >= len(chunk):
                skip -= len(chunk)
                continue
            yield chunk[skip:] if skip else chunk
            skip = 0


def _header(answer: httpcore2.Response, name: bytes) -> str | None:
    values = [value for key, value in answer.headers if key.lower() == name]
    return values[0].decode("latin-1").strip() if values else None


@contextlib.contextmanager
def _map_errors(url: str) -> Iterator[None]:
    """Map network errors to the service's errors, with an explanation."""
    try:
        yield
    except NoConnection as error:
        raise unreadable(url, error.reason, for_good=error.for_good) from error
    except (httpcore2.NetworkError, httpcore2.TimeoutException, httpcore2.ProtocolError) as error:
        raise unreadable(url, exchange_failure(error, _SILENT_SECONDS)) from error
    except ssl.SSLError as error:
        raise unreadable(url, "the encrypted connection broke off") from error

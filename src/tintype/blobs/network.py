"""Network backends for httpcore that connect to checked addresses only.

A host is resolved once; all its addresses are checked, and the connection is made to one of them.
"""

import asyncio
import contextlib
import functools
import socket
import ssl
from collections.abc import AsyncIterator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import httpcore2

from tintype.blobs.failures import connection_failure, is_for_good, tls_failure
from tintype.domain.addresses import WebRules, is_address
from tintype.errors import Invalid, TintypeError, Unavailable

CONNECT_SECONDS: Final = 10.0
_RESOLVE_SECONDS: Final = 10.0
_REFUSAL_SECONDS: Final = 3.0
"""Time after which a name is refused: as long as callers may have to wait for name servers."""
_NAMES: Final = ThreadPoolExecutor(8, "names")
"""Slow name servers block only these threads. A thread is created when it is first needed."""
_NO_SUCH_NAME: Final = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))
_READ: Final = 1 << 20


class NoConnection(httpcore2.ConnectError):
    """A connection could not be made; `reason` explains why."""

    def __init__(self, reason: str, *, for_good: bool = False) -> None:
        """Create it; `for_good` means that another attempt would fail for the same reason."""
        super().__init__(reason)
        self.reason = reason
        self.for_good = for_good


class CheckedNetwork(httpcore2.AsyncNetworkBackend):
    """A network backend that refuses addresses which the rules forbid."""

    def __init__(self, rules: WebRules) -> None:
        self._rules = rules
        self._network = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 (httpcore's)
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to one of a host's addresses, each of which was checked."""
        failure: Exception | None = None
        for address in await resolve(self._rules, host, port):
            try:
                return _LargeReads(
                    await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        reason = connection_failure(failure or httpcore2.ConnectError(), timeout or CONNECT_SECONDS)
        raise NoConnection(reason) from failure

    async def connect_unix_socket(self, *_arguments: Any, **_options: Any) -> httpcore2.AsyncNetworkStream:
        """Raise NoConnection: no URL leads to a Unix socket."""
        raise NoConnection("no URL leads to a Unix socket", for_good=True)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class ProxyNetwork(CheckedNetwork):
    """A network backend for connections to a configured proxy: any address is allowed."""

    def __init__(self, setting: str) -> None:
        super().__init__(WebRules(anywhere=True))
        self._setting = setting

    async def connect_tcp(
        self, host: str, port: int, *more: Any, **options: Any
    ) -> httpcore2.AsyncNetworkStream:
        """Connect; errors do not reveal the proxy's address."""
        try:
            return await super().connect_tcp(host, port, *more, **options)
        except NoConnection as error:
            reason = error.reason
        except TintypeError:
            reason = "its host name was not found"
        raise NoConnection(f"the proxy of {self._setting} cannot be reached: {reason}")


class _LargeReads(httpcore2.AsyncNetworkStream):
    """A stream with large reads: httpcore asks for 64 KiB, and each read has a fixed cost."""

    def __init__(self, inner: httpcore2.AsyncNetworkStream) -> None:
        self._inner = inner

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        """Read more than was asked for, if it is available: the parser accepts any amount."""
        return await self._inner.read(max(max_bytes, _READ), timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Write."""
        await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        """Close."""
        await self._inner.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore2.AsyncNetworkStream:
        """Start TLS on the connection."""
        try:
            return _LargeReads(await self._inner.start_tls(ssl_context, server_hostname, timeout))
        except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
            reason = tls_failure(error, timeout or CONNECT_SECONDS)
            raise NoConnection(reason, for_good=is_for_good(error)) from error

    def get_extra_info(self, info: str) -> Any:
        """Return a property of the connection."""
        return self._inner.get_extra_info(info)


async def resolve(rules: WebRules, host: str, port: int, seconds: float = _RESOLVE_SECONDS) -> list[str]:
    """Return the addresses of a host, all of them checked.

    Raises Invalid if it has none or one that is not allowed, Unavailable if no name server answers.
    """
    async with _delay_refusals(rules, host):
        addresses = await _look_up(host, port, seconds)
        rules.check_addresses(host, addresses)
    return addresses


async def resolve_for_proxy(
    rules: WebRules, host: str, port: int, seconds: float = _RESOLVE_SECONDS
) -> list[str]:
    """Return the addresses of a host, all of them checked; an empty list if the name is unknown here.

    The proxy looks names up itself, perhaps with other name servers. Raises Invalid for an address that is
    not allowed.
    """
    with contextlib.suppress(Unavailable):
        async with _delay_refusals(rules, host):
            addresses = await _look_up(host, port, seconds)
            if addresses:
                rules.check_addresses(host, addresses)
        return addresses
    return []


@contextlib.asynccontextmanager
async def _delay_refusals(rules: WebRules, host: str) -> AsyncIterator[None]:
    """Delay every refusal of a name to the same moment, so that its timing does not reveal internal names.

    Addresses are refused at once, as are names that an operator gives: they reveal nothing.
    """
    late = asyncio.get_running_loop().time() + _REFUSAL_SECONDS
    try:
        yield
    except Invalid:
        if not (rules.anywhere or is_address(host)):
            await asyncio.sleep(late - asyncio.get_running_loop().time())
        raise


async def _look_up(host: str, port: int, seconds: float) -> list[str]:
    look_up = functools.partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    try:
        async with asyncio.timeout(seconds):
            found = await asyncio.get_running_loop().run_in_executor(_NAMES, look_up)
    except UnicodeError:
        raise Invalid(f"The host name {host} is not a valid DNS name. Check the URL.") from None
    except (OSError, TimeoutError) as error:
        if getattr(error, "errno", None) in _NO_SUCH_NAME:
            return []
        message = f"The host name {host} cannot be looked up now: no name server answers. Try again later."
        raise Unavailable(message, retry_after=5) from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))

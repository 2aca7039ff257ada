"""The web, as far as the service may go there for a user: to checked addresses, within limits.

httpcore makes the connections, over a network of ours (`network.py`) that goes to checked addresses only.
What comes in between (a redirect, a broken connection) goes the same way again.
"""

import asyncio
import contextlib
import re
import ssl
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Final
from urllib.parse import urljoin

import httpcore2
import msgspec

from tintype.blobs.network import Checked, resolve
from tintype.blobs.reading import closing
from tintype.domain.addresses import WebRules
from tintype.errors import Invalid, NotFound, OverLimit, Unavailable

_CONNECT_SECONDS: Final = 10.0
_CHECK_SECONDS: Final = 3.0
"""For name servers, while a caller waits."""
_SILENT_SECONDS: Final = 30.0
_HEAD_SECONDS: Final = 40.0
"""For the head of an answer, whatever comes before it and however slowly; connections included."""
_REDIRECTS: Final = 5
_TRIES: Final = 3
"""For a source that gives nothing, until it gives something again."""
_SLOW_SECONDS: Final = 60.0
_SLOW_BYTES: Final = 64 << 10
"""Fewer bytes than that in so many seconds are given up."""
_LONGEST_SKIP: Final = 32 << 20
"""Bytes before a part that is asked for, of a server that knows no ranges."""
_MOVED: Final = frozenset({301, 302, 303, 307, 308})
_TRANSIENT: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_TIMEOUTS: Final = {"connect": _CONNECT_SECONDS, "read": _SILENT_SECONDS, "write": _SILENT_SECONDS}
_AGENT: Final = ("User-Agent", "tintype")


class Facts(msgspec.Struct, frozen=True):
    """What a server said of a thing before its bytes."""

    url: str
    """After redirects."""
    size: int | None
    validator: str | None
    """By which the same bytes are known again."""


class Web:
    """A way to the web under some rules."""

    def __init__(self, rules: WebRules, *, cafile: str | None = None) -> None:
        """Make it; `cafile` has the certificates to trust instead of the system's."""
        self._rules = rules
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=ssl.create_default_context(cafile=cafile),
            max_connections=100,
            max_keepalive_connections=4,
            keepalive_expiry=15.0,
            network_backend=Checked(rules),
        )

    async def check(self, url: str) -> None:
        """Refuse a URL that may not be gone to, as far as that can be known soon: raises Invalid.

        Where name servers are silent it passes: whoever goes there asks again.
        """
        target = self._rules.check_url(url)
        with contextlib.suppress(Unavailable):
            await resolve(self._rules, target.host, target.port, _CHECK_SECONDS)

    async def get_json(self, url: str, headers: Mapping[str, str], limit: int) -> Any:
        """Give a small document; raises NotFound, Unavailable, or Invalid for what is no JSON."""
        async with self._ask("GET", url, headers) as (answer, _):
            if answer.status in {403, 404}:
                raise NotFound(f"{url} is not there.")
            _check(answer, {200}, url)
            parts = []
            async for part in answer.aiter_stream():
                parts.append(part)
                limit -= len(part)
                if limit < 0:
                    raise Invalid(f"{url} answers with too much.")
        try:
            return msgspec.json.decode(b"".join(parts))
        except msgspec.DecodeError:
            raise Invalid(f"{url} does not answer with JSON.") from None

    async def facts(self, url: str) -> Facts | None:
        """Ask what there is, without its bytes; None where there is nothing."""
        async with self._ask("HEAD", url, {}) as (answer, final):
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
    ) -> AsyncIterator[tuple[Facts, AsyncIterator[bytes]]]:
        """Ask for bytes, from `start` on or all; a server that knows no ranges gives the ones before, too."""
        wanted = {} if start == 0 and stop is None else {"Range": _range(start, stop)}
        async with self._ask("GET", url, {**headers, **wanted}) as (answer, final):
            if answer.status in {404, 410}:
                raise NotFound("The stored bytes are missing.")
            _check(answer, {200, 206} if wanted else {200}, url)
            skip = start if answer.status == 200 else 0
            if stop is not None and skip > _LONGEST_SKIP:
                raise Unavailable(f"{_host(url)} serves no ranges.")
            if answer.status == 206 and _begin(answer) != start:
                raise Invalid(f"{_host(url)} answers with other bytes than were asked for.")
            yield _facts(answer, final), _from(answer, url, skip)

    async def close(self) -> None:
        """Let go of connections."""
        await self._pool.aclose()

    @contextlib.asynccontextmanager
    async def _ask(
        self, method: str, url: str, headers: Mapping[str, str]
    ) -> AsyncIterator[tuple[httpcore2.Response, str]]:
        """Send a request, and follow where it is sent on; each place is checked as the first one was."""
        for _ in range(_REDIRECTS + 1):
            target = self._rules.check_url(url)
            with _told(url):
                context = self._pool.stream(
                    method,
                    url.partition("#")[0].encode("ascii"),
                    headers=[*headers.items(), _AGENT, ("Accept-Encoding", "identity"), ("Accept", "*/*")],
                    extensions={"timeout": {**_TIMEOUTS, "pool": _SILENT_SECONDS}},
                )
                async with contextlib.AsyncExitStack() as stack:
                    try:
                        async with asyncio.timeout(_HEAD_SECONDS):
                            answer = await stack.enter_async_context(context)
                    except TimeoutError:
                        raise Unavailable(f"{_host(url)} does not answer.", Retry_After="5") from None
                    onward = _header(answer, b"location")
                    if answer.status not in _MOVED or onward is None:
                        yield answer, url
                        return
            url = urljoin(url, onward)
            if self._rules.check_url(url) != target:
                headers = {name: value for name, value in headers.items() if name != "X-Auth-Token"}
        raise Invalid(f"The URL leads through more than {_REDIRECTS} redirects.")


class Download:
    """One thing from the web, from front to back, across connections that break.

    Bytes are only put together where the server says that they are still the same ones.
    """

    def __init__(
        self, web: Web, url: str, *, limit: int, seconds: float, headers: Mapping[str, str] | None = None
    ) -> None:
        """Make it: for `limit` bytes and so many seconds at most."""
        self._web = web
        self._url = url
        self._limit = limit
        self._headers = headers or {}
        self._until = time.monotonic() + seconds
        self._pace = Pace()
        self._position = 0
        self.facts: Facts | None = None

    async def chunks(self) -> AsyncIterator[bytes]:
        """Give the bytes.

        Raises OverLimit where there are too many, Unavailable where they do not come or not in time,
        Invalid where there is nothing to fetch.
        """
        tries = 0
        while True:
            before = self._position
            try:
                async with closing(self._once()) as found:
                    while (chunk := await self._next(found)) is not None:
                        yield chunk
            except NotFound:
                raise Invalid(f"{_host(self._url)} has no such thing.") from None
            except Unavailable:
                tries = 1 if self._position > before else tries + 1
                can_go_on = self._position == 0 or (self.facts is not None and self.facts.validator)
                if tries >= _TRIES or not can_go_on or time.monotonic() > self._until:
                    raise
                await asyncio.sleep(min(2.0**tries, self._until - time.monotonic(), 20.0))
            else:
                return

    async def begin(self) -> AsyncIterator[bytes]:
        """Give the bytes once the first of them are there, and with them the facts."""
        chunks = self.chunks()
        first = await anext(chunks, b"")

        async def whole() -> AsyncIterator[bytes]:
            async with closing(chunks):
                yield first
                async for chunk in chunks:
                    yield chunk

        return whole()

    async def _once(self) -> AsyncIterator[bytes]:
        """Give what one connection brings."""
        headers = dict(self._headers)
        if self._position and self.facts is not None and self.facts.validator is not None:
            headers["If-Range"] = self.facts.validator
        async with self._web.bytes(self._url, headers, self._position) as (facts, chunks), closing(chunks):
            self._remember(facts)
            async for chunk in chunks:
                self._position += len(chunk)
                if self._position > self._limit:
                    raise OverLimit(f"The source has more than the {self._limit} bytes that are allowed.")
                self._pace.note(len(chunk))
                yield chunk
        size = self.facts.size if self.facts is not None else None
        if size is not None and self._position != size:
            raise Unavailable(f"The source broke off after {self._position} bytes of {size}.")

    def _remember(self, facts: Facts) -> None:
        """Note what is fetched; raises Invalid where it has changed in the middle."""
        if facts.size is not None and facts.size > self._limit:
            raise OverLimit(f"The source has {facts.size} bytes; {self._limit} are allowed.")
        if self._position and self.facts is not None:
            if (facts.size, facts.validator) != (self.facts.size, self.facts.validator):
                raise Invalid("The source changed while it was fetched.")
            return
        self.facts = facts

    async def _next(self, chunks: AsyncIterator[bytes]) -> bytes | None:
        """Give the next bytes, or None at the end; raises Invalid where the time is over."""
        try:
            async with asyncio.timeout(max(0.0, self._until - time.monotonic())):
                return await anext(chunks, None)
        except TimeoutError:
            raise Invalid("The source takes longer than is allowed.") from None


class Pace:
    """Watches whether a source gives enough to go on with it."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._bytes = 0

    def note(self, count: int) -> None:
        """Count bytes; raises Invalid where they come too slowly."""
        self._bytes += count
        if time.monotonic() - self._since > _SLOW_SECONDS:
            if self._bytes < _SLOW_BYTES:
                raise Invalid(f"The source gives fewer than {_SLOW_BYTES} bytes in {_SLOW_SECONDS:.0f} s.")
            self._since, self._bytes = time.monotonic(), 0


def _check(answer: httpcore2.Response, wanted: Iterable[int], url: str) -> None:
    """Refuse an answer of another status: for good, or for now."""
    if answer.status in wanted:
        return
    message = f"{_host(url)} answers {answer.status}."
    raise Unavailable(message, Retry_After="5") if answer.status in _TRANSIENT else Invalid(message)


def _facts(answer: httpcore2.Response, url: str) -> Facts:
    length, size = _header(answer, b"content-length") or "", None
    if answer.status == 206:
        match = _RANGE.fullmatch(_header(answer, b"content-range") or "")
        size = int(match[3]) if match and match[3] != "*" else None
    elif length.isascii() and length.isdigit() and len(length) < 19:
        size = int(length)
    tag = _header(answer, b"etag")
    weak = tag is None or tag.startswith("W/")
    return Facts(url, size, _header(answer, b"last-modified") if weak else tag)


async def _from(answer: httpcore2.Response, url: str, skip: int) -> AsyncIterator[bytes]:
    """Give the body, but for its first bytes."""
    with _told(url):
        async for chunk in answer.aiter_stream():
            if skip >= len(chunk):
                skip -= len(chunk)
                continue
            yield chunk[skip:] if skip else chunk
            skip = 0


def _begin(answer: httpcore2.Response) -> int | None:
    """Give the first byte of a partial answer; None where it does not say."""
    match = _RANGE.fullmatch(_header(answer, b"content-range") or "")
    return int(match[1]) if match else None


def _host(url: str) -> str:
    return url.split("/")[2].rpartition("@")[2]


def _range(start: int, stop: int | None) -> str:
    return f"bytes={start}-" if stop is None else f"bytes={start}-{stop - 1}"


def _header(answer: httpcore2.Response, name: bytes) -> str | None:
    values = [value for key, value in answer.headers if key.lower() == name]
    return values[0].decode("latin-1").strip() if values else None


@contextlib.contextmanager
def _told(url: str) -> Any:
    """Say in our words what the network says."""
    host = _host(url)
    try:
        yield
    except (httpcore2.NetworkError, httpcore2.TimeoutException, httpcore2.ProtocolError) as error:
        raise Unavailable(f"{host} does not answer: {type(error).__name__}.", Retry_After="5") from error
    except ssl.SSLError as error:
        raise Unavailable(f"{host} is not trusted: {error.reason}.") from error

"""The request as handlers see it, and its body as the data of an image."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable

from starlette.requests import Request

from tintype.api.base_url import base_url
from tintype.api.direct import BROKEN_OFF
from tintype.api.extensions import DIRECT, SILENCE
from tintype.blobs.stream import Buffer, Chunks, Source
from tintype.domain import digests
from tintype.domain.access_rules import allowed, dispatched_path
from tintype.domain.callers import Caller
from tintype.errors import Disconnected, Invalid, OverLimit, TooSlow, Unauthenticated, UnsupportedMedia
from tintype.observability.metrics import Metrics


class Call(Request):
    """A request: its id, its route's parameters, and its caller once authenticated."""

    request_id: str
    params: dict[str, str]
    caller: Caller
    public_url: str | None
    body_limit: int
    route_path = "none"
    """The path as in the table of routes, with parameters in braces."""
    answer_headers: tuple[tuple[bytes, bytes], ...] = ()
    """Headers of every response at this path, error responses included."""
    counted_method = "other"
    """The method for metrics: `other` unless the route has it, so that clients cannot create new labels."""
    metrics: Metrics
    failure: BaseException | None = None
    """The error behind an error response, for the log."""

    def admit(self, caller: Caller) -> None:
        """Set the caller; raise Unauthenticated if its token may not be used for this request."""
        rules = caller.access_rules
        if rules is not None:
            path = dispatched_path(self.route_path, self.params)
            if not allowed(rules, self.method, path):
                raise Unauthenticated(
                    f"The access rules of the application credential do not allow {self.method} {path}."
                )
        self.caller = caller

    @property
    def address(self) -> str:
        """The client's address; empty if the server does not know it."""
        return self.client.host if self.client else ""

    @property
    def raw_path(self) -> bytes:
        """The path as sent, without the query."""
        raw: bytes = self.scope.get("raw_path") or self.scope["path"].encode()
        return raw.partition(b"?")[0]

    @property
    def base_url_text(self) -> str:
        """The URL of the service as this client knows it, without a slash at the end."""
        return base_url(self.scope, self.public_url)

    def token(self, name: str) -> str | None:
        """Return the value of a header that carries a token, such as `X-Auth-Token`; or None.

        Some scripts send `X_AUTH_TOKEN` or `X-AUTH_TOKEN`, which WSGI servers treat as the same header:
        these are used when the header itself is absent. Raises Invalid for values that differ.
        """
        wanted = name.lower()
        values = set(self.headers.getlist(wanted))
        if not values:
            headers = self.headers.items()
            values = {value for key, value in headers if key.replace("_", "-") == wanted}
        if len(values) > 1:
            raise Invalid(f"The request has several {name} headers with different values. Send one.")
        return values.pop() if values else None

    @property
    def media_type(self) -> str:
        """The media type that the request declares for its body, without parameters, in lower case."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def check_type(self, wanted: str) -> None:
        """Raise UnsupportedMedia unless the body is image data of this media type."""
        if self.media_type != wanted:
            given = self.headers.get("content-type", "")
            raise UnsupportedMedia(f"Image data is sent as {wanted}, not as '{given}'.")

    def expected_digests(self) -> dict[str, str]:
        """Return the digests that the client declares for the whole content."""
        repr_digest, content_md5 = self.headers.get("repr-digest"), self.headers.get("content-md5")
        if repr_digest is None and content_md5 is None:
            return {}
        return digests.expected(repr_digest, content_md5)

    def data(self) -> Source:
        """Return the body as a source of bytes; reading it raises Disconnected if the connection breaks."""
        return Body(self.stream(), self.scope.get("extensions", {}).get(DIRECT), self.metrics)

    async def bounded_body(self) -> bytes:
        """Read the whole body; raises OverLimit if it exceeds the limit for metadata."""
        parts, size = [], 0
        async for part in self.stream():
            parts.append(part)
            size += len(part)
            if size > self.body_limit:
                raise OverLimit(f"The request body may have at most {self.body_limit} bytes.")
        return b"".join(parts)

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """Yield the body in chunks; raises Disconnected for a lost client, TooSlow for a silent one."""
        silence = self.scope.get("extensions", {}).get(SILENCE, _none)
        more = True
        while more:
            message = await self.receive()
            if (reason := silence()) is not None:
                raise TooSlow(reason)
            if message["type"] == "http.disconnect":
                raise Disconnected(BROKEN_OFF)
            more = message.get("more_body", False)
            if body := message.get("body"):
                yield body


def _none() -> None:
    """Return None: the default for servers that do not detect silent clients."""


class Body(Chunks):
    """A request body, received straight from the socket into the buffer if the server supports that."""

    def __init__(
        self, chunks: AsyncIterator[bytes], direct: Callable[[], Source | None] | None, metrics: Metrics
    ) -> None:
        super().__init__(chunks)
        self._metrics = metrics
        self._take_over = direct
        self._direct: Source | None = None

    async def fill(self, buffer: Buffer) -> bool:
        """Fill a buffer; ask the server for a direct source before the first read."""
        if self._take_over is not None:
            self._direct, self._take_over = self._take_over(), None
        before = buffer.used
        try:
            if self._direct is not None:
                return await self._direct.fill(buffer)
            return await super().fill(buffer)
        finally:
            self._metrics.received.inc(buffer.used - before)

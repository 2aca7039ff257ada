"""The request as handlers see it, and its body as the data of an image."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable

from starlette.requests import Request

from tintype.api.base_url import base_url
from tintype.api.direct import BROKEN_OFF
from tintype.api.extensions import DIRECT, SILENCE
from tintype.blobs.stream import Buffer, Chunks, Source
from tintype.domain.access_rules import allowed, dispatched_path
from tintype.domain.callers import Caller
from tintype.errors import Disconnected, Invalid, OverLimit, TooSlow, Unauthenticated
from tintype.observability.metrics import Metrics


class Call(Request):
    """A request on its way: with an id, its route's parameters, and the caller once that is known."""

    request_id: str
    params: dict[str, str]
    caller: Caller
    public_url: str | None
    body_limit: int
    route_path = "none"
    """As in the table of routes, with its parameters in braces."""
    answer_headers: tuple[tuple[bytes, bytes], ...] = ()
    """Headers that each answer at this path has, failures too."""
    counted_method = "other"
    """The method where the path has it: what a client makes up must not fill the metrics."""
    metrics: Metrics
    failure: BaseException | None = None
    """Why the answer is a refusal, for the log."""

    def admit(self, caller: Caller) -> None:
        """Set the caller; raise Unauthenticated where its token may not be used for this request."""
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
        """The client's address; empty where the server does not know it."""
        return self.client.host if self.client else ""

    @property
    def raw_path(self) -> bytes:
        """The path as it was sent, without the query."""
        raw: bytes = self.scope.get("raw_path") or self.scope["path"].encode()
        return raw.partition(b"?")[0]

    @property
    def base_url_text(self) -> str:
        """The URL of the service as this client knows it, without a slash at the end."""
        return base_url(self.scope, self.public_url)

    def token(self, name: str) -> str | None:
        """Return the value of a header that carries a token, such as `X-Auth-Token`; or None.

        WSGI servers take `X_AUTH_TOKEN` and `X-AUTH_TOKEN` for the same header, so scripts send them:
        they count where the header itself is absent. Raises Invalid for values that differ.
        """
        wanted = name.lower()
        values = set(self.headers.getlist(wanted))
        if not values:
            headers = self.headers.items()
            values = {value for key, value in headers if key.replace("_", "-") == wanted}
        if len(values) > 1:
            raise Invalid(f"The request has several {name} headers with different values. Send one.")
        return values.pop() if values else None

    def data(self) -> Source:
        """Return the body as it comes; filling from it raises Disconnected where it breaks off."""
        return Body(self.stream(), self.scope.get("extensions", {}).get(DIRECT), self.metrics)

    async def bounded_body(self) -> bytes:
        """Read the whole body; raises OverLimit where it is larger than metadata may be."""
        parts, size = [], 0
        async for part in self.stream():
            parts.append(part)
            size += len(part)
            if size > self.body_limit:
                raise OverLimit(f"The request body may have at most {self.body_limit} bytes.")
        return b"".join(parts)

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """Return the body as it comes; raises Disconnected where it breaks off, TooSlow for silence."""
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
    """Return that a server that cannot say so waits for bodies."""


class Body(Chunks):
    """A body that, where the server can, comes straight from the socket into the buffer."""

    def __init__(
        self, chunks: AsyncIterator[bytes], direct: Callable[[], Source | None] | None, metrics: Metrics
    ) -> None:
        super().__init__(chunks)
        self._metrics = metrics
        self._take_over = direct
        self._direct: Source | None = None

    async def fill(self, buffer: Buffer) -> bool:
        """Ask the server before anything has come as chunks."""
        if self._take_over is not None:
            self._direct, self._take_over = self._take_over(), None
        before = buffer.used
        try:
            if self._direct is not None:
                return await self._direct.fill(buffer)
            return await super().fill(buffer)
        finally:
            self._metrics.received.inc(buffer.used - before)

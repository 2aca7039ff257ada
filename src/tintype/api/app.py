"""The ASGI application: every request passes here, top to bottom.

Give it an id → find its route → authenticate → handle → answer, or map the failure → log.
"""

import asyncio
import contextlib
import re
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import msgspec
import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from tintype.api import errors as error_responses
from tintype.api.direct import BROKEN_OFF
from tintype.api.routes import Route
from tintype.api.throttle import Throttle
from tintype.auth.base import Authenticator
from tintype.blobs.stream import Buffer, Chunks, Source
from tintype.domain.callers import Caller
from tintype.errors import (
    Disconnected,
    Invalid,
    NotFound,
    OverLimit,
    TintypeError,
    TooSlow,
    Unauthenticated,
)
from tintype.observability.metrics import Metrics

DIRECT: Final = "tintype.direct_body"
"""The ASGI extension for image data: a call that makes a server patient, and gives a source or None.

The source gives the body without copies; None leaves it to `receive`.
"""
SILENCE: Final = "tintype.silence"
"""The ASGI extension by which a server waits no longer for a body: a call that gives the reason, or None."""
STOPPING: Final = "tintype.stopping"
"""The ASGI extension by which a server tells answers without an end that it stops: an event."""
_HOST: Final = re.compile(r"[A-Za-z0-9.\-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?")
_GLOBAL_ID: Final = re.compile(r"req-[0-9a-fA-F-]{36}")
_HEADER_BYTES: Final = 64 << 10
_PATH_BYTES: Final = 8 << 10
_LAST_SECONDS: Final = 15
_STOPPING: Final = "The service is stopping."
_CLOSED: Final = 499
"""Logged where the client went away before the answer; never sent."""


class Call(Request):
    """A request on its way: with an id, its route's parameters, and the caller once that is known."""

    request_id: str
    params: dict[str, str]
    caller: Caller
    base_url_text: str
    body_limit: int
    route: Route | None = None
    route_path = "none"
    """As in the table of routes, with its parameters in braces."""
    metrics: Metrics

    def data(self) -> Source:
        """Give the body as it comes; filling from it raises Disconnected where it breaks off."""
        return _Body(self.stream(), self.scope.get("extensions", {}).get(DIRECT), self.metrics)

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


class _Body(Chunks):
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


class Front(msgspec.Struct, frozen=True):
    """What the service shows to callers, and asks of them."""

    public_url: str | None
    """URL that clients reach it by; None for the one each request came to."""
    identity_url: str | None
    """URL of the identity service; None for our own."""
    body_limit: int
    """Bytes of a request's body, image data apart."""
    throttle: Throttle | None


class App:
    """The application. `lifespan` opens what the routes need and closes it again."""

    def __init__(
        self,
        routes: Mapping[str, Route],
        authenticator: Authenticator,
        log: structlog.typing.FilteringBoundLogger,
        lifespan: Callable[[], AbstractAsyncContextManager[None]],
        metrics: Metrics,
        front: Front,
    ) -> None:
        self._tree = _tree(routes)
        self._authenticator = authenticator
        self._log = log
        self._lifespan = lifespan
        self._metrics = metrics
        self._front = front
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event of ASGI."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        call = Call(scope, receive)
        call.request_id = f"req-{uuid.uuid4()}"
        call.body_limit = self._front.body_limit
        call.metrics = self._metrics
        self._running += 1
        self._metrics.running.inc()
        self._idle.clear()
        status = _CLOSED
        begun = False

        async def answer(message: Message) -> None:
            nonlocal begun, status
            if message["type"] == "http.response.start":
                begun, status = True, message["status"]
                message["headers"].append((b"x-openstack-request-id", call.request_id.encode()))
                if call.route is not None:
                    message["headers"].extend(call.route.headers)
            else:
                self._metrics.sent.inc(len(message.get("body", b"")))
            await send(message)

        try:
            response = await self._respond(call)
            await response(scope, receive, answer)
        except ClientDisconnect:
            pass
        except (TintypeError, asyncio.CancelledError) as error:  # in a body: it failed, or the service stops
            reason = error.message if isinstance(error, TintypeError) else _STOPPING
            self._log.error("response was cut", request_id=call.request_id, reason=reason)
            if not begun:
                raise
        except Exception:
            self._log.exception("request failed", request_id=call.request_id, path=scope["path"])
            if begun:
                raise
            await self._fail(call, 500, "Something went wrong here; the log has the details.")(
                scope, receive, answer
            )
        finally:
            self._running -= 1
            self._metrics.running.dec()
            if self._running == 0:
                self._idle.set()
            self._count(call, status, started)
            self._note(call, status, started)

    async def _respond(self, call: Call) -> Response:
        try:
            return await self._handle(call)
        except TintypeError as error:
            status = error_responses.status_of(error)
            headers = dict(error.headers)
            if status == 401:
                headers["WWW-Authenticate"] = (
                    f'Keystone uri="{self._front.identity_url or f"{self._base_url(call)}/identity"}"'
                )
            return self._fail(call, status, error.message, headers)
        except asyncio.CancelledError:  # the service stops, and its patience with requests is over
            return self._fail(call, 503, _STOPPING, {"Retry-After": "5"})

    async def _handle(self, call: Call) -> Response:
        headers = call.scope["headers"]
        if sum(len(name) + len(value) for name, value in headers) > _HEADER_BYTES:
            return self._fail(call, 431, f"The headers of a request may have at most {_HEADER_BYTES} bytes.")
        hosts = [value for name, value in headers if name == b"host"]
        if len(hosts) > 1 or (not hosts and call.scope["http_version"] != "1.0"):
            raise Invalid("A request has one Host header (RFC 9112, section 3.2).")
        call.base_url_text = self._base_url(call)
        route, call.route_path, call.params = self._find(call)
        call.route = route
        if call.method == "OPTIONS":
            return Response(status_code=200, headers={"Allow": route.allow, **route.options})
        endpoint = route.methods.get(call.method)
        if endpoint is None:
            message = f"The method {call.method} is not allowed for this resource. Allowed: {route.allow}."
            return self._fail(call, 405, message, {"Allow": route.allow})
        if not route.open:
            call.caller = await self._authenticate(call)
            if self._front.throttle is not None:
                self._front.throttle.take(call.caller.project_id or call.caller.user_id)
        return await endpoint(call)

    async def _authenticate(self, call: Call) -> Caller:
        token = call.headers.get("x-auth-token")
        if not token:
            raise Unauthenticated("The request you have made requires authentication.")
        return await self._authenticator.authenticate(token, call.headers.get("x-service-token"))

    def _find(self, call: Call) -> tuple[Route, str, dict[str, str]]:
        raw: bytes = call.scope.get("raw_path") or call.scope["path"].encode()
        if len(raw) > _PATH_BYTES:
            raise Invalid("The URL is too long.")
        node: Any = self._tree
        params: dict[str, str] = {}
        for part in raw.split(b"?", 1)[0].removeprefix(b"/").split(b"/"):
            segment = _decode(part)
            child = node.children.get(segment)
            if child is None and node.wild is not None and segment:
                name, child = node.wild
                params[name] = segment
            if child is None:
                raise NotFound("The resource could not be found.")
            node = child
        if node.route is None:
            raise NotFound("The resource could not be found.")
        return node.route, node.path, params

    def _base_url(self, call: Call) -> str:
        """Give the URL of the service as this client knows it, without a slash at the end."""
        if self._front.public_url is not None:
            return self._front.public_url.rstrip("/")
        host = call.headers.get("host", "")
        if not _HOST.fullmatch(host):
            server = call.scope.get("server") or ("localhost", None)
            host = server[0] if server[1] is None else f"{server[0]}:{server[1]}"
        return f"{call.scope['scheme']}://{host}"

    def _fail(
        self, call: Call, status: int, message: str, extra: Mapping[str, str] | None = None
    ) -> Response:
        return error_responses.response(status, message, call.request_id, call.headers, extra)

    def _count(self, call: Call, status: int, started: float) -> None:
        known = call.route is not None and call.method in call.route.methods
        method = call.method if known else "other"  # what a client makes up must not fill memory
        self._metrics.requests.labels(method, call.route_path, status).inc()
        self._metrics.seconds.labels(method, call.route_path).observe(time.perf_counter() - started)

    def _note(self, call: Call, status: int, started: float) -> None:
        caller = getattr(call, "caller", None)
        global_id = call.headers.get("x-openstack-request-id", "")
        with contextlib.suppress(OSError):  # standard error may be on a disk that is full
            self._log.info(
                "request",
                method=call.method,
                path=call.scope["path"],
                status=status,
                ms=round((time.perf_counter() - started) * 1000, 2),
                request_id=call.request_id,
                global_request_id=global_id if _GLOBAL_ID.fullmatch(global_id) else None,
                project_id=caller.project_id if caller else None,
                user_id=caller.user_id if caller else None,
                client=call.scope["client"][0] if call.scope.get("client") else None,
            )

    async def _end(self) -> None:
        """Let requests that were cancelled undo what they began, before the database closes beneath them."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_SECONDS):
                await self._idle.wait()

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            async with self._lifespan():
                await send({"type": "lifespan.startup.complete"})
                await receive()
                await self._end()
        except TintypeError as error:
            await send({"type": "lifespan.startup.failed", "message": error.message})
            return
        await send({"type": "lifespan.shutdown.complete"})


class _Node:
    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.wild: tuple[str, _Node] | None = None
        self.route: Route | None = None
        self.path = ""


def _tree(routes: Mapping[str, Route]) -> _Node:
    root = _Node()
    for path, route in routes.items():
        node = root
        for part in path.removeprefix("/").split("/"):
            if part.startswith("{"):
                node.wild = node.wild or (part.strip("{}"), _Node())
                node = node.wild[1]
            else:
                node = node.children.setdefault(part, _Node())
        node.route, node.path = route, path
    return root


def _decode(part: bytes) -> str:
    try:
        text = (unquote_to_bytes(part) if b"%" in part else part).decode()
    except UnicodeDecodeError:
        raise Invalid("The URL is not valid UTF-8.") from None
    if "\0" in text:
        raise Invalid("The URL must not contain a NUL character.")
    return text

"""The ASGI application: every request passes here, top to bottom.

Assign a request id → find the route → authenticate → call the handler → respond, or map the error → log.
"""

import asyncio
import contextlib
import re
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final
from urllib.parse import unquote_to_bytes

import msgspec
import structlog
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from tintype.api import errors as error_responses
from tintype.api.call import Call
from tintype.api.route import NOT_FOUND, Route, build_tree
from tintype.api.throttle import Throttle
from tintype.auth.base import Authenticator
from tintype.domain.callers import Caller
from tintype.errors import Invalid, NotFound, TintypeError, Unauthenticated, Unimplemented
from tintype.observability.failures import FailureLog, cause_of
from tintype.observability.metrics import Metrics

_GLOBAL_ID: Final = re.compile(r"req-[0-9a-fA-F-]{36}")
_HEADER_BYTES: Final = 64 << 10
_PATH_BYTES: Final = 8 << 10
_IDS: Final = frozenset({"id", "upload"})
"""Path parameters that are UUIDs; they are matched without regard to case."""
_NO_SNIFFING: Final = (b"x-content-type-options", b"nosniff")
"""Stops browsers from guessing content types: image data is untrusted."""
_ONLY_TLS: Final = (b"strict-transport-security", b"max-age=31536000")
"""Makes browsers use TLS only. Sent if the request came by TLS, to us or a trusted proxy that says so."""
_LAST_SECONDS: Final = 15
"""How long the end of the service waits for requests that were cancelled."""
_STOPPING: Final = "The service is stopping."
_CLOSED: Final = 499
"""Logged when the client disconnects before the response; never sent."""


class Front(msgspec.Struct, frozen=True):
    """What the application needs of the settings: public URLs, limits and API versions."""

    public_url: str | None
    """URL by which clients reach the service; None for the one that each request was sent to."""
    identity_url: str | None
    """URL of the identity service; None for the built-in one."""
    body_limit: int
    """Most bytes in a request's body, except image data."""
    throttle: Throttle | None
    minor_versions: Sequence[int]
    """Minor versions of the API; each is also served below its own prefix."""


class _ResponseSender:
    """Sends a response, and records its status and whether it has started."""

    def __init__(self, call: Call, send: Send) -> None:
        self._call = call
        self._send = send
        self.begun = False
        self.status = _CLOSED

    async def __call__(self, message: Message) -> None:
        """Send an ASGI message; add the headers of every response to its start."""
        if message["type"] == "http.response.start":
            self.begun, self.status = True, message["status"]
            headers = message["headers"]
            headers.append((b"x-openstack-request-id", self._call.request_id.encode()))
            headers.extend(self._call.answer_headers)
            if _NO_SNIFFING not in headers:
                headers.append(_NO_SNIFFING)
            if self._call.scope["scheme"] == "https":
                headers.append(_ONLY_TLS)
        else:
            self._call.metrics.sent.inc(len(message.get("body", b"")))
        await self._send(message)


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
        self._tree = build_tree(routes, front.minor_versions)
        self._authenticator = authenticator
        self._log = log
        self._failures = FailureLog(log)
        self._lifespan = lifespan
        self._metrics = metrics
        self._front = front
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event of ASGI."""
        if scope["type"] == "lifespan":
            await _run_lifespan(self._lifespan(), self._idle, receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        call = Call(scope, receive)
        call.request_id = f"req-{uuid.uuid4()}"
        call.public_url, call.body_limit = self._front.public_url, self._front.body_limit
        call.metrics = self._metrics
        self._running += 1
        self._metrics.running.inc()
        self._idle.clear()
        answer = _ResponseSender(call, send)
        try:
            response = await self._respond(call)
            if response.status_code >= 500 and response.status_code != 501:  # that is the client's mistake
                self._log_failure(call, "request failed", response.status_code)
            await response(scope, receive, answer)
        except ClientDisconnect:
            pass
        except asyncio.CancelledError:
            self._log.error("response was cut", request_id=call.request_id, reason=_STOPPING)
            if not answer.begun:
                raise
        except TintypeError as error:  # in a body
            call.failure = error
            self._log_failure(call, "response was cut", answer.status)
            if not answer.begun:
                raise
        except Exception as error:
            call.failure = error
            self._log_failure(call, "request failed", answer.status if answer.begun else 500)
            if answer.begun:
                raise
            await self._fail(call, 500, "An unexpected error occurred; the log has the details.")(
                scope, receive, answer
            )
        finally:
            self._running -= 1
            self._metrics.running.dec()
            if self._running == 0:
                self._idle.set()
            self._count(call, answer.status, started)
            self._log_request(call, answer.status, started)

    async def _respond(self, call: Call) -> Response:
        try:
            return await self._handle(call)
        except TintypeError as error:
            call.failure = error
            status = error_responses.status_of(error)
            if status < 500 and getattr(error, "__notes__", None):  # details that the client does not get
                self._log.info("request refused", request_id=call.request_id, cause=cause_of(error))
            headers = error_responses.headers_of(error)
            if status == 401:
                headers["WWW-Authenticate"] = (
                    f'Keystone uri="{self._front.identity_url or f"{call.base_url_text}/identity"}"'
                )
            return self._fail(call, status, error.message, headers)
        except asyncio.CancelledError:  # the service is stopping, and the time to finish requests is over
            return self._fail(call, 503, _STOPPING, {"Retry-After": "5"})

    async def _handle(self, call: Call) -> Response:
        headers = call.scope["headers"]
        if sum(len(name) + len(value) for name, value in headers) > _HEADER_BYTES:
            return self._fail(call, 431, f"The headers of a request may have at most {_HEADER_BYTES} bytes.")
        _check_head(call)
        route, call.route_path, call.params = self._find(call)
        call.answer_headers = route.headers
        if call.method == "OPTIONS":
            return Response(status_code=200, headers={"Allow": route.allow, **route.options})
        endpoint = route.methods.get(call.method)
        if endpoint is None:
            message = f"The method {call.method} is not allowed for this resource. Allowed: {route.allow}."
            return self._fail(call, 405, message, {"Allow": route.allow})
        call.counted_method = call.method
        if not route.open:
            call.admit(await self._authenticate(call))
            if self._front.throttle is not None:
                self._front.throttle.acquire(call.caller.project_id or call.caller.user_id)
        return await endpoint(call)

    async def _authenticate(self, call: Call) -> Caller:
        token, service_token = call.token("X-Auth-Token"), call.token("X-Service-Token")
        if not token:
            raise Unauthenticated("The request you have made requires authentication.")
        return await self._authenticator.authenticate(token, service_token, address=call.address)

    def _find(self, call: Call) -> tuple[Route, str, dict[str, str]]:
        raw = call.raw_path
        if len(raw) > _PATH_BYTES:
            raise Invalid(f"The path of the URL has {len(raw)} bytes; at most {_PATH_BYTES} are allowed.")
        node, params, place = self._tree, {}, 0
        segments = [_decode(part) for part in raw.removeprefix(b"/").split(b"/")]
        while place < len(segments):
            segment = segments[place]
            place += 1
            if not segment:
                if segments[place - 2] or place == len(segments):  # once for each run of slashes
                    node = node.ending(segments[place - 1 :], call.method) or node
                continue
            child = node.children.get(segment) or node.wild
            if child is None:
                raise NotFound(NOT_FOUND)
            node = child
            if node.spans:
                more = node.more(segments[place:])
                segment = "/".join(segments[place - 1 : place + more])
                place += more
            if node.name:
                params[node.name] = segment.lower() if node.name in _IDS else segment
        if node.route is None:
            raise NotFound(NOT_FOUND)
        return node.route, node.path, params

    def _fail(
        self, call: Call, status: int, message: str, extra: Mapping[str, str] | None = None
    ) -> Response:
        return error_responses.response(status, message, call.request_id, call.headers, extra)

    def _log_failure(self, call: Call, event: str, status: int) -> None:
        """Log the cause of a failed request; the response does not have it."""
        about = {"method": call.method, "path": _shown(call), "request_id": call.request_id}
        self._failures.record(event, call.failure, status=status, **about)

    def _count(self, call: Call, status: int, started: float) -> None:
        self._metrics.requests.labels(call.counted_method, call.route_path, status).inc()
        self._metrics.seconds.labels(call.counted_method, call.route_path).observe(
            time.perf_counter() - started
        )

    def _log_request(self, call: Call, status: int, started: float) -> None:
        caller = getattr(call, "caller", None)
        global_id = call.headers.get("x-openstack-request-id", "")
        with contextlib.suppress(OSError):  # standard error may be redirected to a full disk
            self._log.info(
                "request",
                method=call.method,
                path=_shown(call),
                route=call.route_path,
                status=status,
                ms=round((time.perf_counter() - started) * 1000, 2),
                request_id=call.request_id,
                global_request_id=global_id if _GLOBAL_ID.fullmatch(global_id) else None,
                project_id=caller.project_id if caller else None,
                user_id=caller.user_id if caller else None,
                client=call.scope["client"][0] if call.scope.get("client") else None,
            )


async def _run_lifespan(
    lifespan: AbstractAsyncContextManager[None], idle: asyncio.Event, receive: Receive, send: Send
) -> None:
    """Enter the lifespan, and leave it when the server stops and `idle` is set.

    Cancelled requests are rolled back before that, because the rollback needs the database.
    """
    await receive()
    try:
        async with lifespan:
            await send({"type": "lifespan.startup.complete"})
            await receive()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_SECONDS):
                    await idle.wait()
    except TintypeError as error:
        await send({"type": "lifespan.startup.failed", "message": error.message})
        return
    await send({"type": "lifespan.shutdown.complete"})


def _shown(call: Call) -> str:
    """Return the path as it was sent, for the log."""
    return call.raw_path.decode(errors="backslashreplace")


def _check_head(call: Call) -> None:
    """Refuse an ambiguous Host, a Transfer-Encoding that is not decoded, and a partial PUT."""
    hosts = call.headers.getlist("host")
    if len(hosts) > 1 or (not hosts and call.scope["http_version"] != "1.0"):
        raise Invalid("A request must have exactly one Host header (RFC 9112, section 3.2).")
    codings = ", ".join(call.headers.getlist("transfer-encoding"))
    if codings and codings.strip().lower() != "chunked":
        raise Unimplemented(f"Transfer-Encoding '{codings}' is not supported. Use chunked, or none.")
    if call.method == "PUT" and "content-range" in call.headers:
        raise Invalid("A PUT with Content-Range is not supported: send the whole content without it.")


def _decode(part: bytes) -> str:
    try:
        text = (unquote_to_bytes(part) if b"%" in part else part).decode()
    except UnicodeDecodeError:
        raise Invalid("The URL is not valid UTF-8.") from None
    if "\0" in text:
        raise Invalid("The URL must not contain a NUL character.")
    return text

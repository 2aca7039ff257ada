"""uvicorn's HTTP/1.1 protocol, hardened for hostile networks.

Everything but the body (a request's head, chunk sizes, trailers) is limited in size, a head is limited
in time, and a body may not be silent for long: otherwise a client could fill memory with an endless
header, or hold connections and images for ever. Image data may be silent for longest, because its sender
has a token; the application switches to that limit when it begins to read. Trailers are dropped: they are
not checked like headers. Malformed HTTP gets the same error document as any other error, with an id.
"""

import asyncio
import contextlib
import fcntl
import functools
import socket
import sys
import termios
import uuid
from collections import deque
from collections.abc import Collection
from http import HTTPStatus
from typing import Any, Final

import httptools
import uvicorn
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from tintype.api import errors
from tintype.api.direct import DirectBody
from tintype.api.extensions import DIRECT, SILENCE, STOPPING, TAKEN
from tintype.api.readers import Reader

WAITING_REQUESTS: Final = 100
"""Most pipelined requests of a connection that wait behind the current one."""
OVERHEAD_BYTES: Final = 128 << 10
"""Most bytes in a row that are not part of a body."""
_HEADERS: Final = 256
_CHUNKS: Final = 4096
_CHUNK_BYTES: Final = 16
"""Smallest average size of a body's chunks, once there are many: parsing each takes time."""
HEAD_SECONDS: Final = 30
BODY_SECONDS: Final = 60
"""Longest silence within a body that is not image data; such bodies need no token."""
_GRACE_SECONDS: Final = 15
"""Time to roll back an upload that fell silent, and for the client to take the response."""
_UNSENT_BYTES: Final = 512 << 10
"""Unsent bytes in the system's buffer for a client that has not read anything; for others, up to 4 MiB."""
_DIRECT_BYTES: Final = 64 << 10
"""Smallest rest of a body, in bytes, that is received without copies."""
_BODY_HEADERS: Final = frozenset({b"content-length", b"transfer-encoding"})


class BoundedConfig(uvicorn.Config):
    """uvicorn's settings, and how long a client may be silent in image data, or not read its response."""

    def __init__(
        self, app: Any, *, silent_seconds: int, unread_seconds: int, min_read_rate: int = 0, **more: Any
    ) -> None:
        super().__init__(app, http=BoundedHttpProtocol, **more)
        self.silent_seconds = silent_seconds
        self.server_state: ServerState | None = None
        """Connections and requests of this process; None before the first connection."""
        self.unread_seconds = unread_seconds
        self.min_read_rate = min_read_rate
        self.body_seconds = min(BODY_SECONDS, silent_seconds)


class _Flow(FlowControl):
    """Reads nothing while requests wait: one read can contain thousands more."""

    def __init__(self, transport: asyncio.Transport, waiting: Collection[object]) -> None:
        super().__init__(transport)
        self._waiting = waiting

    def resume_reading(self) -> None:
        """Resume reading, unless requests wait."""
        if not self._waiting:
            super().resume_reading()


class BoundedHttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol with limits on bytes and seconds."""

    config: BoundedConfig
    _overhead = 0
    _in_head = False
    _in_body = False
    _patience = 0
    """Longest silence within the body, in seconds."""
    _silence: str | None = None
    """Why the server stopped waiting for the body."""
    _direct: DirectBody | None = None
    _discarding = False
    _refusal: str | None = None
    """What is wrong with the last message, while earlier requests are still being answered."""
    _deadline: asyncio.TimerHandle | None = None
    _reading: asyncio.TimerHandle | None = None
    _heard = 0.0
    _chunks = 0
    _received = 0
    _complaint: str | None = None
    """What is wrong with the request, if this class found it and not the parser."""
    _is_limited = False
    _left = 0
    """Remaining bytes of the body, if its length was declared."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timeout for the first request's head."""
        super().connection_made(transport)
        self.config.server_state = self.server_state
        self.flow = _Flow(transport, self.pipeline)
        self._limit_unsent(_UNSENT_BYTES)
        self._stopping = asyncio.Event()
        self._cycles: deque[RequestResponseCycle] = deque()
        """Requests without a complete response, the current one first."""
        self._expect_within(HEAD_SECONDS)

    @functools.cached_property
    def _reader(self) -> Reader:
        """The client's rate of reading: few connections ever wait for their client."""
        return Reader(self.config.unread_seconds, self.config.min_read_rate)

    def shutdown(self) -> None:
        """Finish the current request; end a response that would be endless."""
        super().shutdown()
        self._stopping.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timers, and disconnect every request; uvicorn disconnects only the newest."""
        self._expect_within(None)
        self._expect_reading(None)
        super().connection_lost(exc)
        while self._cycles:
            self._disconnect_newest()

    def data_received(self, data: bytes) -> None:
        """Parse bytes, within the limit on overhead."""
        if self._discarding:
            return
        if self._overhead > OVERHEAD_BYTES:
            self.send_400_response(
                f"A request can have at most {OVERHEAD_BYTES} bytes in addition to its body."
            )
            return
        self._overhead += len(data)
        super().data_received(data)
        if self._discarding or self.transport.is_closing():
            return
        if self._in_body:
            self.record_activity()
            if self._deadline is None:
                self._expect_within(self._patience)
        elif self._deadline is None and (self.cycle is None or self.cycle.response_complete):
            self._expect_within(HEAD_SECONDS)  # these bytes cancelled the keep-alive timer

    def on_message_begin(self) -> None:
        """Reset the counters; refuse a request if too many others wait before it."""
        if len(self._cycles) > WAITING_REQUESTS:
            self._complaint = (
                f"At most {WAITING_REQUESTS} requests may wait on a connection. Read the answers first."
            )
            raise ValueError(self._complaint)
        super().on_message_begin()
        self._overhead = self._chunks = self._received = 0
        self._in_head = True
        if not self._cycles:  # the current response has no time limit
            self._expect_within(HEAD_SECONDS)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header; drop trailers."""
        if self._in_body:
            return
        if len(self.headers) >= _HEADERS:
            self._complaint = f"A request may have at most {_HEADERS} headers."
            raise ValueError(self._complaint)  # stops the parser
        super().on_header(name, value)

    def on_chunk_header(self) -> None:
        """Refuse a body of many tiny chunks."""
        self._chunks += 1
        if self._chunks > _CHUNKS and self._received < self._chunks * _CHUNK_BYTES:
            self._complaint = f"The chunks of a body must have {_CHUNK_BYTES} bytes on average."
            raise ValueError(self._complaint)

    def on_headers_complete(self) -> None:
        """Begin the body: set its limits and the ASGI extensions."""
        self._patience = self.config.body_seconds
        self._expect_within(None)
        declared = [value for name, value in self.headers if name == b"content-length"]
        self._left = int(declared[0]) if declared else 0
        super().on_headers_complete()  # raises for an invalid URL
        self._in_head, self._in_body = False, True
        self._cycles.append(self.cycle)
        take_over = functools.partial(self._take_over, self.cycle)
        self.scope["extensions"] = {
            DIRECT: take_over,  # type: ignore[dict-item]
            SILENCE: lambda: self._silence,  # type: ignore[dict-item]
            STOPPING: self._stopping,  # type: ignore[dict-item]
            TAKEN: self._wait_until_taken,  # type: ignore[dict-item]
        }

    def on_body(self, body: bytes) -> None:
        """Count bytes of the body, and reset the overhead."""
        self._overhead = 0
        self._received += len(body)
        self._left -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End the request; keep-alive has its own timer."""
        self._in_body = False
        self._overhead = 0
        self._expect_within(None)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Continue with the next request; shorten the timeout of a body that is no longer read."""
        super().on_response_complete()
        self.flow.resume_reading()  # no request may be waiting any more
        while self._cycles and self._cycles[0].response_complete:
            self._cycles.popleft()
        if self._refusal is not None and not self._cycles:
            self._refuse(HTTPStatus.BAD_REQUEST, self._refusal)
            return
        self._patience = self.config.body_seconds
        if self._in_body and self._deadline is not None:
            self._expect_within(self._patience)
        elif self._in_head and not self._cycles:
            self._expect_within(HEAD_SECONDS)

    def record_activity(self) -> None:
        """Record the time of the last bytes: a timer for each chunk would cost more."""
        self._heard = self.loop.time()

    def record_body_activity(self) -> None:
        """Record that the client is sending a body; cancel the keep-alive timer."""
        self.record_activity()
        self._unset_keepalive_if_required()

    def resume_http(self) -> None:
        """Return to HTTP after a body that bypassed the parser, with a new parser."""
        self.transport.pause_reading()
        self.transport.set_protocol(self)
        self.transport.resume_reading()
        self.flow.read_paused = False
        self._direct = None
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn has it
        self.on_message_complete()
        if self.cycle.response_complete:
            self._expect_within(HEAD_SECONDS)

    def _take_over(self, cycle: RequestResponseCycle) -> DirectBody | None:
        """Apply the timeout for image data; return a source without copies if the body is large."""
        if cycle is not self.cycle or self.transport.is_closing():
            return None
        self._patience = self.config.silent_seconds
        if self._left < _DIRECT_BYTES:
            return None
        if cycle.waiting_for_100_continue:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            cycle.waiting_for_100_continue = False
        early, cycle.body = bytes(cycle.body), bytearray()
        self._direct = DirectBody(self, early, self._left)
        self.flow.pause_reading()
        self.transport.set_protocol(self._direct)
        return self._direct

    def send_400_response(self, msg: str) -> None:
        """Respond to malformed HTTP after the earlier requests' responses, and close the connection."""
        if self._in_body and self._cycles and self._cycles[-1] is self.cycle:
            if self.cycle.response_started:
                self.transport.abort()
                return
            self._disconnect_newest()
        reason = self._complaint or msg
        if self._cycles:
            self._discarding, self._refusal = True, reason
            self._expect_within(None)
        else:
            self._refuse(HTTPStatus.BAD_REQUEST, reason)

    def _disconnect_newest(self) -> None:
        """Disconnect the newest request without a complete response."""
        cycle = self._cycles.pop()
        cycle.disconnected = True
        cycle.message_event.set()
        if self.pipeline and self.pipeline[0][0] is cycle:
            self.pipeline.popleft()

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        """Respond in place of the application, and close the connection."""
        if self.transport.is_closing():
            return
        request_id = f"req-{uuid.uuid4()}"
        body = errors.document(status.value, message, request_id)
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\n"
            "content-type: application/json\r\nx-content-type-options: nosniff\r\nconnection: close\r\n"
            f"content-length: {len(body)}\r\nx-openstack-request-id: {request_id}\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()

    def pause_writing(self) -> None:
        """Start the timeout of a client that does not read: it holds a file and memory."""
        super().pause_writing()
        self._reader.begin(self.loop.time(), self._pending())
        self._expect_reading(self._reader.interval)

    def resume_writing(self) -> None:
        """Stop the timeout: the client reads."""
        if self._reading is not None:
            self._reader.end(self.loop.time(), self._pending())
        if self._is_limited:
            self._limit_unsent(0)
        self._expect_reading(None)
        super().resume_writing()

    def _unsupported_upgrade_warning(self) -> None:
        """Ignore the upgrade; refuse a request with a body, because the parser has dropped the body."""
        self._discarding = True
        self.cycle.keep_alive = False
        lengths = {name: value for name, value in self.headers if name in _BODY_HEADERS}
        if lengths and lengths != {b"content-length": b"0"}:
            self._disconnect_newest()  # the body must not be treated as empty
            self.send_400_response("A request with a body cannot ask for another protocol.")

    def _expect_within(self, seconds: float | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self._too_slow)

    def _expect_reading(self, seconds: float | None) -> None:
        if self._reading is not None:
            self._reading.cancel()
        self._reading = None if seconds is None else self.loop.call_later(seconds, self._check_reading)

    def _check_reading(self) -> None:
        if self._reader.is_lost(self.loop.time(), self._pending()):
            self.transport.abort()
        else:
            self._expect_reading(self._reader.interval)

    async def _wait_until_taken(self) -> bool:
        """Wait until the client has taken what was sent; return whether it is still connected."""
        await self.flow.drain()
        return not self.transport.is_closing()

    def _limit_unsent(self, most: int) -> None:
        """Limit the unsent bytes in the system's buffer; 0 means no limit."""
        self._is_limited = bool(most)
        with contextlib.suppress(OSError):  # Unix sockets do not have this option
            connection = self.transport.get_extra_info("socket")
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, most)

    def _pending(self) -> int:
        """Return the number of bytes that the client has not acknowledged: ours, and the kernel's."""
        queued = bytearray(4)
        with contextlib.suppress(OSError):
            fcntl.ioctl(self.transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, queued)
        return self.transport.get_write_buffer_size() + int.from_bytes(queued, sys.byteorder)

    def _too_slow(self) -> None:
        self._deadline = None
        if self.flow.read_paused:  # the server is not reading
            self._expect_within(self._patience)
        elif self._in_body and (left := self._heard + self._patience - self.loop.time()) > 0:
            self._expect_within(left)
        elif self._in_body and not (self.cycle.response_started or self.pipeline):
            self._end_silence()
        elif self._in_head and (self.cycle is None or self.cycle.response_complete):
            message = f"The head of the request was not complete within {HEAD_SECONDS} s."
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, message)
            self._abort_soon()
        else:
            self.transport.abort()  # close() would wait for a peer that may not be reading

    def _end_silence(self) -> None:
        """Make the application roll back and answer the request; close the connection after that."""
        is_data = self._patience == self.config.silent_seconds
        limit = "server.silent_seconds" if is_data else "requests without image data"
        self._silence = (
            f"The body of the request was silent for {self._patience} s, the limit of {limit}. Send it again."
        )
        self.cycle.keep_alive = False
        self.cycle.message_event.set()
        if self._direct is not None:
            self._direct.abort(self._silence)
        self._abort_soon()

    def _abort_soon(self) -> None:
        self._deadline = self.loop.call_later(_GRACE_SECONDS, self.transport.abort)

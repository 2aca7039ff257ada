"""HTTP/1.1 as uvicorn speaks it, with what a hostile network asks for besides.

What is no body (a request's head, chunk sizes, trailers) has a size, a head has a time, and a body
may not fall silent for long: without these a client could fill memory with one endless header, or
hold connections and images for ever. Image data may be silent for longest, because who sends it has
shown a token; the application says so when it begins to read it. Trailers are dropped: nobody checked
them as headers. What is no HTTP is answered like any other mistake, with an id.
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
"""Of a connection, behind the one at work."""
OVERHEAD_BYTES: Final = 128 << 10
"""Bytes that may come in a row without any of them being body."""
_HEADERS: Final = 256
_CHUNKS: Final = 4096
_CHUNK_BYTES: Final = 16
"""What the chunks of a body must have on average, once there are many: reading each takes time."""
HEAD_SECONDS: Final = 30
BODY_SECONDS: Final = 60
"""For which a body may be silent that is no image data: of anybody, without a token."""
_GRACE_SECONDS: Final = 15
"""For undoing an upload that fell silent, and for the client to take the answer."""
_UNSENT_BYTES: Final = 512 << 10
"""Kept by the system for a client that has not yet shown that it reads; for others, up to 4 MiB."""
_WORTH: Final = 64 << 10
"""Bytes of a body from which on they are received without copies."""
_BODY_HEADERS: Final = frozenset({b"content-length", b"transfer-encoding"})


class BoundedConfig(uvicorn.Config):
    """uvicorn's settings, and how long a client may be silent in image data, or not read its answer."""

    def __init__(
        self, app: Any, *, silent_seconds: int, unread_seconds: int, min_read_rate: int = 0, **more: Any
    ) -> None:
        super().__init__(app, http=BoundedHttpProtocol, **more)
        self.silent_seconds = silent_seconds
        self.server_state: ServerState | None = None
        """Connections and requests of this process, once there was one."""
        self.unread_seconds = unread_seconds
        self.min_read_rate = min_read_rate
        self.body_seconds = min(BODY_SECONDS, silent_seconds)


class _Flow(FlowControl):
    """Reads nothing while requests wait: one read can bring thousands more."""

    def __init__(self, transport: asyncio.Transport, waiting: Collection[object]) -> None:
        super().__init__(transport)
        self._waiting = waiting

    def resume_reading(self) -> None:
        """Read on, unless requests wait."""
        if not self._waiting:
            super().resume_reading()


class BoundedHttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which counts bytes and seconds."""

    config: BoundedConfig
    _overhead = 0
    _in_head = False
    _in_body = False
    _patience = 0
    """Seconds for which the body may be silent."""
    _silence: str | None = None
    """Why the body is not waited for any more."""
    _direct: DirectBody | None = None
    _deaf = False
    _refusal: str | None = None
    """What is wrong with the last message, while those before it are being answered."""
    _deadline: asyncio.TimerHandle | None = None
    _reading: asyncio.TimerHandle | None = None
    _heard = 0.0
    _chunks = 0
    _received = 0
    _complaint: str | None = None
    """What is wrong with the request, if we found it and not the parser."""
    _is_limited = False
    _left = 0
    """Bytes of the body that are still to come, where their number was declared."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Give a new connection its time to say something."""
        super().connection_made(transport)
        self.config.server_state = self.server_state
        self.flow = _Flow(transport, self.pipeline)
        self._limit_unsent(_UNSENT_BYTES)
        self._stopping = asyncio.Event()
        self._reader = Reader(self.config.unread_seconds, self.config.min_read_rate)
        self._cycles: deque[RequestResponseCycle] = deque()
        """Requests that are not answered yet, the one at work first."""
        self._expect_within(HEAD_SECONDS)

    def shutdown(self) -> None:
        """Let the request in flight end, also one that would go on for ever."""
        super().shutdown()
        self._stopping.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the time, and tell every request; uvicorn tells the newest one only."""
        self._expect_within(None)
        self._expect_reading(None)
        super().connection_lost(exc)
        while self._cycles:
            self._withdraw()

    def data_received(self, data: bytes) -> None:
        """Parse bytes, as long as something comes of them."""
        if self._deaf:
            return
        if self._overhead > OVERHEAD_BYTES:
            self.send_400_response(f"A request may have at most {OVERHEAD_BYTES} bytes beside its body.")
            return
        self._overhead += len(data)
        super().data_received(data)
        if self._deaf or self.transport.is_closing():
            return
        if self._in_body:
            self.heard()
            if self._deadline is None:
                self._expect_within(self._patience)
        elif self._deadline is None and (self.cycle is None or self.cycle.response_complete):
            self._expect_within(HEAD_SECONDS)  # bytes that ended the rest between two requests

    def on_message_begin(self) -> None:
        """Begin to count; refuse a request that too many others wait in front of."""
        if len(self._cycles) > WAITING_REQUESTS:
            self._complaint = (
                f"At most {WAITING_REQUESTS} requests may wait on a connection. Read the answers first."
            )
            raise ValueError(self._complaint)
        super().on_message_begin()
        self._overhead = self._chunks = self._received = 0
        self._in_head = True
        if not self._cycles:  # an answer under way takes as long as it takes
            self._expect_within(HEAD_SECONDS)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take headers, not trailers."""
        if self._in_body:
            return
        if len(self.headers) >= _HEADERS:
            self._complaint = f"A request may have at most {_HEADERS} headers."
            raise ValueError(self._complaint)  # ends the parser's work
        super().on_header(name, value)

    def on_chunk_header(self) -> None:
        """Refuse a body in crumbs."""
        self._chunks += 1
        if self._chunks > _CHUNKS and self._received < self._chunks * _CHUNK_BYTES:
            self._complaint = f"The chunks of a body must have {_CHUNK_BYTES} bytes on average."
            raise ValueError(self._complaint)

    def on_headers_complete(self) -> None:
        """Go on to the body."""
        self._patience = self.config.body_seconds
        self._expect_within(None)
        declared = [value for name, value in self.headers if name == b"content-length"]
        self._left = int(declared[0]) if declared else 0
        super().on_headers_complete()  # raises for a wrong URL
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
        """See that something came of what was received."""
        self._overhead = 0
        self._received += len(body)
        self._left -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Let the connection rest: keep-alive has its own time."""
        self._in_body = False
        self._overhead = 0
        self._expect_within(None)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on to the next request; have little patience for a body that nobody wants any more."""
        super().on_response_complete()
        self.flow.resume_reading()  # the request that was taken up last may have left nobody waiting
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

    def heard(self) -> None:
        """Note the time: a timer for each piece of each body would cost more."""
        self._heard = self.loop.time()

    def heard_of_body(self) -> None:
        """Note that a client still sends; also where it has its answer, and the connection would rest."""
        self.heard()
        self._unset_keepalive_if_required()

    def take_back(self) -> None:
        """Go on as HTTP behind a body that was received past the parser, with a new one."""
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
        """Be patient with image data; return what receives it without copies, if that is worth it."""
        if cycle is not self.cycle or self.transport.is_closing():
            return None
        self._patience = self.config.silent_seconds
        if self._left < _WORTH:
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
        """Answer what is no HTTP behind the answers to the requests before it, and end the connection."""
        if self._in_body and self._cycles and self._cycles[-1] is self.cycle:
            if self.cycle.response_started:
                self.transport.abort()
                return
            self._withdraw()
        reason = self._complaint or msg
        if self._cycles:
            self._deaf, self._refusal = True, reason
            self._expect_within(None)
        else:
            self._refuse(HTTPStatus.BAD_REQUEST, reason)

    def _withdraw(self) -> None:
        """Give up the newest request that is not answered."""
        cycle = self._cycles.pop()
        cycle.disconnected = True
        cycle.message_event.set()
        if self.pipeline and self.pipeline[0][0] is cycle:
            self.pipeline.popleft()

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        """Answer in place of the application, and end the connection."""
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
        """Give a client that does not read its time: it holds a file and memory here."""
        super().pause_writing()
        self._reader.begin(self.loop.time(), self._pending())
        self._expect_reading(self._reader.interval)

    def resume_writing(self) -> None:
        """See that it reads."""
        if self._reading is not None:
            self._reader.end(self.loop.time(), self._pending())
        if self._is_limited:
            self._limit_unsent(0)
        self._expect_reading(None)
        super().resume_writing()

    def _unsupported_upgrade_warning(self) -> None:
        """Answer in HTTP/1.1; the parser has dropped the body, so a request that has one is refused."""
        self._deaf = True
        self.cycle.keep_alive = False
        lengths = {name: value for name, value in self.headers if name in _BODY_HEADERS}
        if lengths and lengths != {b"content-length": b"0"}:
            self._withdraw()  # nobody must take the body for an empty one
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
        """Wait until the client has taken what was sent; return whether it is still there."""
        await self.flow.drain()
        return not self.transport.is_closing()

    def _limit_unsent(self, most: int) -> None:
        """Limit what the system keeps of an answer beyond what is on its way; 0 is no limit."""
        self._is_limited = bool(most)
        with contextlib.suppress(OSError):  # a Unix socket has no such option
            connection = self.transport.get_extra_info("socket")
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, most)

    def _pending(self) -> int:
        """Give the bytes that the client has not acknowledged: ours, and the kernel's."""
        queued = bytearray(4)
        with contextlib.suppress(OSError):
            fcntl.ioctl(self.transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, queued)
        return self.transport.get_write_buffer_size() + int.from_bytes(queued, sys.byteorder)

    def _too_slow(self) -> None:
        self._deadline = None
        if self.flow.read_paused:  # it is we who do not read
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
        """Have the application undo the request and answer it; end the connection behind the answer."""
        is_data = self._patience == self.config.silent_seconds
        limit = "server.silent_seconds" if is_data else "requests without image data"
        self._silence = (
            f"The body of the request was silent for {self._patience} s, the limit of {limit}. Send it again."
        )
        self.cycle.keep_alive = False
        self.cycle.message_event.set()
        if self._direct is not None:
            self._direct.give_up(self._silence)
        self._abort_soon()

    def _abort_soon(self) -> None:
        self._deadline = self.loop.call_later(_GRACE_SECONDS, self.transport.abort)

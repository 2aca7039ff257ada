"""Large request bodies, received straight into the reader's buffer.

As chunks they would be copied five times: by the event loop, the parser and twice by the server, each
time into new memory, then into the buffer that is hashed and written.
"""

import asyncio
import time
from typing import Final, Protocol

from uvicorn.protocols.http.flow_control import FlowControl

from tintype.blobs.stream import Buffer
from tintype.errors import Disconnected, TooSlow

BROKEN_OFF: Final = "The connection broke off before the request was whole."
_RECEIVE: Final = 512 << 10
"""Most bytes received at once, because other connections wait meanwhile."""


class Connection(Protocol):
    """What `DirectBody` uses of the HTTP connection."""

    transport: asyncio.Transport
    loop: asyncio.AbstractEventLoop
    flow: FlowControl

    def record_body_activity(self) -> None:
        """Record that the client is sending."""

    def resume_http(self) -> None:
        """Make the HTTP protocol receive from the connection again."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Handle the loss of the connection."""

    def pause_writing(self) -> None:
        """Stop writing until the transport's buffer has been sent."""

    def resume_writing(self) -> None:
        """Resume writing."""


class DirectBody(asyncio.BufferedProtocol):
    """The protocol of a connection while it receives the remaining `left` bytes of a request's body.

    After the last byte the connection returns to HTTP. If the response was sent before that, the rest
    of the body is discarded.
    """

    def __init__(self, http: Connection, early: bytes, left: int) -> None:
        """Continue after `early`: bytes that were received but not yet read."""
        self._http = http
        self._early = memoryview(early)
        self._left = left
        self._buffer: Buffer | None = None
        self._waiting: asyncio.Future[None] | None = None
        self._lost = False
        self._dropped = memoryview(bytearray(0))

    async def fill(self, buffer: Buffer) -> bool:
        """Fill a buffer; raises Disconnected if the connection breaks, TooSlow if the client is silent."""
        self._early = self._early[buffer.add(self._early) :]
        if self._left and not buffer.ready:
            if self._lost or self._http.transport.is_closing():
                raise Disconnected(BROKEN_OFF)
            self._buffer, self._waiting = buffer, self._http.loop.create_future()
            timer = self._http.loop.call_later(max(0.0, buffer.until - time.monotonic()), self._on_timeout)
            self._http.flow.resume_reading()
            try:
                await self._waiting
            finally:  # no reader is waiting any more
                timer.cancel()
                self._buffer = None
                if self._left and not self._http.transport.is_closing():
                    self._http.flow.pause_reading()
        return bool(self._left or self._early)

    def get_buffer(self, _hint: int) -> memoryview:
        """Return the memory for the next bytes, never for more than the rest of the body."""
        most = min(_RECEIVE, self._left)
        if self._buffer is not None:
            return self._buffer.memory[self._buffer.used : self._buffer.used + most]
        if not self._dropped:
            self._dropped = memoryview(bytearray(_RECEIVE // 8))
        return self._dropped[:most]

    def buffer_updated(self, count: int) -> None:
        """Record that `count` bytes have been received."""
        self._http.record_body_activity()
        self._left -= count
        if self._buffer is not None:
            self._buffer.used += count
        if not self._left:
            self._http.resume_http()
        if self._buffer is not None and (self._buffer.ready or not self._left):
            self._wake_reader()

    def _on_timeout(self) -> None:
        """Wake the reader if bytes have arrived in the buffer's time; else wait for the next bytes."""
        if self._buffer is not None and self._buffer.used:
            self._wake_reader()

    def _wake_reader(self) -> None:
        self._buffer = None
        if self._left:
            self._http.flow.pause_reading()
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def abort(self, reason: str) -> None:
        """Make the reader raise TooSlow: the client has fallen silent."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(TooSlow(reason))

    def connection_lost(self, exc: Exception | None) -> None:
        """Make the reader raise Disconnected, and notify the HTTP protocol."""
        self._lost = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(Disconnected(BROKEN_OFF))
        self._http.connection_lost(exc)

    def eof_received(self) -> None:
        """Return None, so that the transport closes."""

    def pause_writing(self) -> None:
        """Forward to the HTTP protocol, which writes the response."""
        self._http.pause_writing()

    def resume_writing(self) -> None:
        """Forward to the HTTP protocol, which writes the response."""
        self._http.resume_writing()

"""The bytes of a large body, received straight into the memory of whoever reads them.

As chunks they would be copied five times on their way: by the event loop, the parser and twice by the
server, each time into fresh memory, then into the buffer that is hashed and written.
"""

import asyncio
import time
from typing import Final, Protocol

from uvicorn.protocols.http.flow_control import FlowControl

from tintype.blobs.stream import Buffer
from tintype.errors import Disconnected, TooSlow

BROKEN_OFF: Final = "The connection broke off before the request was whole."
_RECEIVE: Final = 512 << 10
"""Bytes taken at once: other connections wait that long."""


class Connection(Protocol):
    """What a body needs of the HTTP connection that it comes through."""

    transport: asyncio.Transport
    loop: asyncio.AbstractEventLoop
    flow: FlowControl

    def heard_of_body(self) -> None:
        """Note that the client is not silent."""

    def take_back(self) -> None:
        """Read from the connection as HTTP again."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the connection is lost."""

    def pause_writing(self) -> None:
        """Stop writing until the transport has sent what it holds."""

    def resume_writing(self) -> None:
        """Write again."""


class DirectBody(asyncio.BufferedProtocol):
    """A connection while its request's body, of which `left` bytes are to come, is read.

    It is given back to HTTP with the last of them, also where the answer was given before that and
    the rest is only dropped.
    """

    def __init__(self, http: Connection, early: bytes, left: int) -> None:
        """Go on behind what came `early`, which was received but not read."""
        self._http = http
        self._early = memoryview(early)
        self._left = left
        self._buffer: Buffer | None = None
        self._waiting: asyncio.Future[None] | None = None
        self._lost = False
        self._dropped = memoryview(bytearray(0))

    async def fill(self, buffer: Buffer) -> bool:
        """Fill a buffer; raises Disconnected where the body breaks off, TooSlow where it is silent."""
        self._early = self._early[buffer.add(self._early) :]
        if self._left and not buffer.ready:
            if self._lost or self._http.transport.is_closing():
                raise Disconnected(BROKEN_OFF)
            self._buffer, self._waiting = buffer, self._http.loop.create_future()
            timer = self._http.loop.call_later(max(0.0, buffer.until - time.monotonic()), self._enough)
            self._http.flow.resume_reading()
            try:
                await self._waiting
            finally:  # nobody is there to take more
                timer.cancel()
                self._buffer = None
                if self._left and not self._http.transport.is_closing():
                    self._http.flow.pause_reading()
        return bool(self._left or self._early)

    def get_buffer(self, _hint: int) -> memoryview:
        """Give the memory for what is received next: no byte behind the body."""
        most = min(_RECEIVE, self._left)
        if self._buffer is not None:
            return self._buffer.memory[self._buffer.used : self._buffer.used + most]
        if not self._dropped:
            self._dropped = memoryview(bytearray(_RECEIVE // 8))
        return self._dropped[:most]

    def buffer_updated(self, count: int) -> None:
        """Count what was received."""
        self._http.heard_of_body()
        self._left -= count
        if self._buffer is not None:
            self._buffer.used += count
        if not self._left:
            self._http.take_back()
        if self._buffer is not None and (self._buffer.ready or not self._left):
            self._give()

    def _enough(self) -> None:
        """Give what has come, where no more does; where nothing has, the next bytes are given at once."""
        if self._buffer is not None and self._buffer.used:
            self._give()

    def _give(self) -> None:
        self._buffer = None
        if self._left:
            self._http.flow.pause_reading()
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def give_up(self, reason: str) -> None:
        """Wait no longer for a client that has fallen silent."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(TooSlow(reason))

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell both who reads and HTTP."""
        self._lost = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(Disconnected(BROKEN_OFF))
        self._http.connection_lost(exc)

    def eof_received(self) -> None:
        """Let the connection end."""

    def pause_writing(self) -> None:
        """Leave the answer to HTTP."""
        self._http.pause_writing()

    def resume_writing(self) -> None:
        """Leave the answer to HTTP."""
        self._http.resume_writing()

"""Bytes on their way out of a store, read ahead only for clients that keep reading."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Final

from tintype.blobs.cancellation import wait_settled
from tintype.errors import TintypeError, Unavailable

LARGEST: Final = 1 << 20
"""Bytes of a piece for a client that has shown that it reads."""
_SMALLEST: Final = 64 << 10
_FIRST_BLOCK: Final = 128 << 10
"""Bytes read at once, from any store, until a client has shown that it reads."""
_SHOWN: Final = 1 << 20
"""Bytes that a client must take without a stall to get large pieces: more than systems buffer for it."""
_STALL_SECONDS: Final = 1.0
"""After a client has taken no piece for this long, only the piece it is being sent is kept."""

Read = Callable[[int, int], Awaitable[bytes | memoryview]]
"""Returns so many bytes from an offset on; fewer only where the bytes end."""


async def read_ahead(
    read: Read, start: int, stop: int, *, block: int | None = None, ahead: int = 1
) -> AsyncGenerator[bytes, None]:
    """Return the bytes from `start` to before `stop` in pieces of at most `LARGEST`.

    Up to `ahead` blocks of `block` bytes are read before they are asked for, once the client has shown that
    it reads. Raises Unavailable where the bytes end early.
    """
    supply = _Supply(read, start, stop, block, ahead)
    loop = asyncio.get_running_loop()
    try:
        while supply.position < stop:
            piece = await supply.next_piece()
            asked = time.monotonic()
            timer = loop.call_later(_STALL_SECONDS, supply.let_go)
            try:
                yield piece
            finally:
                timer.cancel()
            supply.note(len(piece), time.monotonic() - asked)
    finally:
        await supply.close()


class _Supply:
    """Blocks that are being read or were, and how much of them a piece may be."""

    def __init__(self, read: Read, start: int, stop: int, block: int | None, ahead: int) -> None:
        self.position = start
        """Of the next piece."""
        self._read = read
        self._stop = stop
        self._block = block
        self._ahead = ahead
        self._asked = start
        """Where the next block begins."""
        self._blocks: deque[asyncio.Future[bytes | memoryview]] = deque()
        self._dropped: set[asyncio.Future[bytes | memoryview]] = set()
        self._rest = memoryview(b"")
        self._size = _SMALLEST
        self._taken = 0
        self._is_slow = False

    async def next_piece(self) -> bytes:
        """Return the next bytes; those behind them are read meanwhile."""
        if not self._rest:
            self._fill(1)
            block = await self._blocks[0]
            self._blocks.popleft()
            if isinstance(block, bytes) and len(block) <= self._size:
                self._fill(self._ahead_now())
                self.position += len(block)
                return block
            self._rest = memoryview(block)
        self._fill(self._ahead_now())
        piece = bytes(self._rest[: self._size])
        self._rest = self._rest[self._size :]
        self.position += len(piece)
        return piece

    def note(self, count: int, seconds: float) -> None:
        """Note how long the client took for a piece: one that does not stall gets larger pieces."""
        if seconds >= _STALL_SECONDS:
            self._size, self._taken, self._is_slow = _SMALLEST, 0, True
            return
        self._taken += count
        if self._taken >= _SHOWN:
            self._size, self._is_slow = LARGEST, False

    def let_go(self) -> None:
        """Drop what was read ahead; it is read again once it is asked for."""
        for block in self._blocks:
            block.cancel()
            self._dropped.add(block)
            block.add_done_callback(self._forget)
        self._blocks.clear()
        self._rest = memoryview(b"")
        self._asked = self.position

    async def close(self) -> None:
        """Wait for what cannot be interrupted: it may use a file that is closed next."""
        self.let_go()
        for block in list(self._dropped):
            await wait_settled(block)

    def _fill(self, count: int) -> None:
        """Read blocks until there are so many, or no more."""
        while len(self._blocks) < count and self._asked < self._stop:
            block = self._block_now()
            size = min(block - self._asked % block, self._stop - self._asked)
            self._blocks.append(asyncio.ensure_future(self._whole(self._asked, size)))
            self._asked += size

    def _ahead_now(self) -> int:
        return self._ahead if self._size == LARGEST else 0

    def _block_now(self) -> int:
        """Return how many bytes to read at once."""
        if self._is_slow:  # the rest of a larger block would be dropped and read again
            return _SMALLEST
        return (self._block or LARGEST) if self._size == LARGEST else _FIRST_BLOCK

    async def _whole(self, at: int, size: int) -> bytes | memoryview:
        block = await self._read(at, size)
        if len(block) < size:
            raise Unavailable(
                f"The stored data ends after {at + len(block)} bytes; {self._stop} were expected."
            )
        return block

    def _forget(self, block: asyncio.Future[bytes | memoryview]) -> None:
        """Forget a dropped block, and retrieve its outcome so that asyncio does not log it."""
        self._dropped.discard(block)
        if not block.cancelled():
            block.exception()


@contextlib.asynccontextmanager
async def closing(chunks: AsyncIterator[bytes]) -> AsyncIterator[AsyncIterator[bytes]]:
    """Yield chunks, and let go of where they come from as soon as nobody wants more of them.

    Where that fails behind something else, this is told: who is cancelled must not read on elsewhere.
    """
    try:
        yield chunks
    except BaseException:
        with contextlib.suppress(TintypeError):
            await _close(chunks)
        raise
    await _close(chunks)


async def _close(chunks: AsyncIterator[bytes]) -> None:
    if isinstance(chunks, AsyncGenerator):
        await chunks.aclose()

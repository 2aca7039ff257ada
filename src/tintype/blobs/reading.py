"""Reading from a store, with read-ahead only for clients that keep reading."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Final

from tintype.blobs.cancellation import wait_settled
from tintype.errors import TintypeError, Unavailable

LARGEST: Final = 1 << 20
"""Largest chunk, in bytes: for a client that is known to keep reading."""
_SMALLEST: Final = 64 << 10
_FIRST_BLOCK: Final = 128 << 10
"""Bytes per read, from any store, until a client is known to keep reading."""
_SHOWN: Final = 1 << 20
"""Bytes that a client must read without a stall to get large chunks: more than systems buffer for it."""
_STALL_SECONDS: Final = 1.0
"""After a client has not asked for a chunk for this long, all but the one being sent is dropped."""

Read = Callable[[int, int], Awaitable[bytes | memoryview]]
"""Returns so many bytes from an offset on; fewer only at the end of the data."""


async def read_ahead(
    read: Read, start: int, stop: int, *, block: int | None = None, ahead: int = 1
) -> AsyncGenerator[bytes, None]:
    """Yield the bytes from `start` to before `stop` in chunks of at most `LARGEST`.

    Up to `ahead` blocks of `block` bytes are read before they are asked for, once the client is known
    to keep reading. Raises Unavailable if the bytes end early.
    """
    supply = _BlockReader(read, start, stop, block, ahead)
    loop = asyncio.get_running_loop()
    try:
        while supply.position < stop:
            piece = await supply.next_piece()
            asked = time.monotonic()
            timer = loop.call_later(_STALL_SECONDS, supply.release)
            try:
                yield piece
            finally:
                timer.cancel()
            supply.record(len(piece), time.monotonic() - asked)
    finally:
        await supply.close()


class _BlockReader:
    """Reads blocks ahead, and cuts them into chunks of a size that suits the client."""

    def __init__(self, read: Read, start: int, stop: int, block: int | None, ahead: int) -> None:
        self.position = start
        """Offset of the next chunk."""
        self._read = read
        self._stop = stop
        self._block = block
        self._ahead = ahead
        self._asked = start
        """Offset of the next block."""
        self._blocks: deque[asyncio.Future[bytes | memoryview]] = deque()
        self._dropped: set[asyncio.Future[bytes | memoryview]] = set()
        self._rest = memoryview(b"")
        self._size = _SMALLEST
        self._taken = 0
        self._is_slow = False

    async def next_piece(self) -> bytes:
        """Return the next chunk, while those after it are being read."""
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

    def record(self, count: int, seconds: float) -> None:
        """Record how long the client took for a chunk: one that does not stall gets larger chunks."""
        if seconds >= _STALL_SECONDS:
            self._size, self._taken, self._is_slow = _SMALLEST, 0, True
            return
        self._taken += count
        if self._taken >= _SHOWN:
            self._size, self._is_slow = LARGEST, False

    def release(self) -> None:
        """Drop the blocks read ahead; they are read again on demand."""
        for block in self._blocks:
            block.cancel()
            self._dropped.add(block)
            block.add_done_callback(self._discard)
        self._blocks.clear()
        self._rest = memoryview(b"")
        self._asked = self.position

    async def close(self) -> None:
        """Wait for reads that cannot be interrupted: they may use a file that is closed next."""
        self.release()
        for block in list(self._dropped):
            await wait_settled(block)

    def _fill(self, count: int) -> None:
        """Start reading blocks until there are `count` of them, or no more."""
        while len(self._blocks) < count and self._asked < self._stop:
            block = self._block_now()
            size = min(block - self._asked % block, self._stop - self._asked)
            self._blocks.append(asyncio.ensure_future(self._whole(self._asked, size)))
            self._asked += size

    def _ahead_now(self) -> int:
        return self._ahead if self._size == LARGEST else 0

    def _block_now(self) -> int:
        """Return the size of the next block, in bytes."""
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

    def _discard(self, block: asyncio.Future[bytes | memoryview]) -> None:
        """Drop a block, and retrieve its exception so that asyncio does not log it."""
        self._dropped.discard(block)
        if not block.cancelled():
            block.exception()


@contextlib.asynccontextmanager
async def closing(chunks: AsyncIterator[bytes]) -> AsyncIterator[AsyncIterator[bytes]]:
    """Yield chunks, and close their source at the end of the block.

    After an error of the block, that of closing is suppressed: a cancelled caller must not continue.
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

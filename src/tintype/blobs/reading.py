"""Bytes on their way out of a store."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

from tintype.blobs.ends import settled
from tintype.errors import TintypeError, Unavailable


async def read_ahead(
    read: Callable[[int, int], Awaitable[bytes]], start: int, stop: int, most: int
) -> AsyncGenerator[bytes, None]:
    """Give the bytes from `start` to before `stop` in chunks of at most `most`, one read ahead of the reader.

    `read` gives so many bytes from an offset on. Raises Unavailable where they end early.
    """

    def next_one() -> asyncio.Future[bytes] | None:
        return asyncio.ensure_future(read(start, min(most, stop - start))) if start < stop else None

    ahead = next_one()
    try:
        while ahead is not None:
            chunk = await ahead
            if not chunk:
                raise Unavailable(f"The stored data ends after {start} bytes; {stop} were expected.")
            start += len(chunk)
            ahead = next_one()
            yield chunk
    finally:
        if ahead is not None:
            ahead.cancel()
            await settled(ahead)
            if not ahead.cancelled():
                ahead.exception()  # nobody wants what was read ahead, nor how that failed


@contextlib.asynccontextmanager
async def closing(chunks: AsyncIterator[bytes]) -> AsyncIterator[AsyncIterator[bytes]]:
    """Give chunks, and let go of where they come from as soon as nobody wants more of them.

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

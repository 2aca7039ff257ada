"""One pass over an upload: hash, inspect and write, over two buffers that are used again and again.

While one buffer is filled from the network, threads work on the other: md5, sha512, the format
inspector and the store each release the interpreter. Memory is two buffers a stream, whatever
the size of the image.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, ParamSpec, TypeVar

import msgspec

from tintype.blobs.base import Writer
from tintype.errors import Invalid, OverLimit
from tintype.formats import Inspector

P = ParamSpec("P")
T = TypeVar("T")

BUFFER: Final = 4 << 20
_SMALLEST: Final = 64 << 10


async def in_thread(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a blocking call beside the event loop.

    A thread cannot be cancelled: whoever is cancelled while waiting here goes on only when the
    thread has ended, so that what it works on (a buffer, a file descriptor) may be let go of.
    """
    work = asyncio.ensure_future(asyncio.to_thread(call, *args, **kwargs))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        raise


class Digests(msgspec.Struct, frozen=True):
    """What one pass found out. `virtual_size` is None where the format does not tell."""

    size: int
    checksum: str
    os_hash_algo: str
    os_hash_value: str
    virtual_size: int | None


class Pass:
    """The one pass. Raises whatever source, inspector or writer raise; the caller aborts the writer."""

    def __init__(
        self, writer: Writer, inspector: Inspector | None, *, algorithm: str, expected: int | None, limit: int
    ) -> None:
        self._writer = writer
        self._inspector = inspector
        self._algorithm = algorithm
        self._expected = expected
        self._limit = limit
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._hash = hashlib.new(algorithm)
        self._size = 0

    async def run(self, source: AsyncIterator[bytes]) -> Digests:
        """Take every byte of the source.

        Raises OverLimit past the limit, Invalid where the size is not the declared one, and
        UnsupportedMedia where the bytes are refused.
        """
        length = BUFFER if self._expected is None else max(_SMALLEST, min(BUFFER, self._expected))
        filling, working = memoryview(bytearray(length)), memoryview(bytearray(length))
        used = 0
        task: asyncio.Task[None] | None = None
        try:
            async for chunk in source:
                self._count(len(chunk))
                rest = memoryview(chunk)
                while rest:
                    part = rest[: length - used]
                    filling[used : used + len(part)] = part
                    used += len(part)
                    rest = rest[len(part) :]
                    if used == length:
                        if task is not None:
                            await task
                        task = asyncio.create_task(self._take(filling[:used]))
                        filling, working = working, filling
                        used = 0
            if task is not None:
                await task
            if used:
                task = asyncio.create_task(self._take(filling[:used]))
                await task
        finally:
            if task is not None and not task.done():
                await asyncio.wait([task])  # threads still look at the buffer
        return await self._finish()

    def _count(self, more: int) -> None:
        self._size += more
        if self._size > self._limit:
            raise OverLimit(f"The incoming image is too large: at most {self._limit} bytes are allowed.")
        if self._expected is not None and self._size > self._expected:
            raise Invalid(f"The image has more bytes than the {self._expected} that were declared.")

    async def _take(self, data: memoryview) -> None:
        steps: list[Awaitable[None]] = [
            in_thread(self._md5.update, data),
            in_thread(self._hash.update, data),
            self._writer.write(data),
        ]
        if self._inspector is not None:
            steps.append(in_thread(self._inspector.feed, data))
        results = await asyncio.gather(*steps, return_exceptions=True)
        for result in results:
            if result is not None:
                raise result

    async def _finish(self) -> Digests:
        if self._expected is not None and self._size != self._expected:
            raise Invalid(f"The image has {self._size} bytes, but {self._expected} were declared.")
        virtual_size = self._inspector.finish() if self._inspector is not None else None
        return Digests(
            size=self._size,
            checksum=self._md5.hexdigest(),
            os_hash_algo=self._algorithm,
            os_hash_value=self._hash.hexdigest(),
            virtual_size=virtual_size,
        )

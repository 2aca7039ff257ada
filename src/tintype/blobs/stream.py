"""One pass over bytes: hash, inspect and write, over a few buffers that are used again and again.

While one buffer is filled from the network, threads work on the others: each digest, the format
inspector and the store release the interpreter, and each goes on to the next buffer without waiting
for the slowest. Memory is three buffers a stream, whatever the size of the image.
"""

import asyncio
import contextlib
import functools
import hashlib
import mmap
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, ParamSpec, TypeVar

import msgspec

from tintype.errors import Invalid, OverLimit
from tintype.formats import Inspector

P = ParamSpec("P")
T = TypeVar("T")
Take = Callable[[memoryview], Awaitable[None]]

BUFFER: Final = 4 << 20
_BUFFERS: Final = 3
"""Of each upload: one fills, while the slowest step is still at the one before the one before."""
_SMALLEST: Final = 64 << 10


async def settled(work: asyncio.Future[Any]) -> None:
    """Wait until something has ended, however often whoever waits is cancelled; how it ended is kept in it.

    A thread cannot be cancelled: what it works on (a buffer, a file descriptor) may be let go of
    only then.
    """
    while not work.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([work])


async def in_thread(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a blocking call beside the event loop; who is cancelled goes on when the call has ended."""
    return await finished(asyncio.ensure_future(asyncio.to_thread(call, *args, **kwargs)))


async def finished(work: asyncio.Future[T]) -> T:
    """Give what a thread's work comes to; who is cancelled goes on when it has ended."""
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await settled(work)
        if not work.cancelled():
            work.exception()  # whoever is cancelled does not want to know
        raise


class Digests(msgspec.Struct, frozen=True):
    """What one pass found out. `virtual_size` is None where the format does not tell."""

    size: int
    checksum: str
    os_hash_algo: str
    os_hash_value: str
    virtual_size: int | None


class Pass:
    """What is found out about bytes as they pass, in one run or in several that follow each other."""

    def __init__(
        self,
        inspector: Inspector | None,
        *,
        formats: tuple[str | None, str | None] = (None, None),
        algorithm: str,
        expected: dict[str, str] | None = None,
    ) -> None:
        """Begin. `expected` are digests in hex by algorithm, as hashlib names them, to be met at the end.

        `formats` are the ones that the inspector was made for.
        """
        self.size = 0
        self.formats = formats
        self._inspector = inspector
        self._algorithm = algorithm
        self._expected = expected or {}
        names = dict.fromkeys(("md5", algorithm, *self._expected))
        self._hashes = {name: hashlib.new(name, usedforsecurity=False) for name in names}

    async def run(
        self,
        source: AsyncIterator[bytes],
        write: Take | None,
        size: int | None,
        patience: float | None = None,
    ) -> None:
        """Take every byte of the source, about `size`, and write it; raises what source and `write` raise.

        With `patience` no byte waits for more seconds than that to be written while others come.
        """
        steps: list[Take] = [functools.partial(_threaded, step) for step in self._steps()]
        if write is not None:
            steps.append(write)
        self.size += await pump(source, steps, size, patience)

    def finish(self) -> Digests:
        """Give what was found.

        Raises UnsupportedMedia where the bytes are refused for their format, Invalid where their
        digest is not the expected one.
        """
        for name, digest in self._expected.items():
            if self._hashes[name].hexdigest() != digest:
                raise Invalid(f"The {name} digest of the bytes is not the one that was declared.")
        virtual_size = self._inspector.finish() if self._inspector is not None else None
        return Digests(
            size=self.size,
            checksum=self._hashes["md5"].hexdigest(),
            os_hash_algo=self._algorithm,
            os_hash_value=self._hashes[self._algorithm].hexdigest(),
            virtual_size=virtual_size,
        )

    def _steps(self) -> list[Callable[[memoryview], None]]:
        steps: list[Callable[[memoryview], None]] = [digest.update for digest in self._hashes.values()]
        if self._inspector is not None:
            steps.append(self._inspector.feed)
        return steps


async def pump(
    source: AsyncIterator[bytes], steps: Sequence[Take], size: int | None, patience: float | None = None
) -> int:
    """Collect the source in buffers, have each taken by every step while others fill; give the bytes taken.

    Each step sees the buffers in order, whatever the other steps are at. `size` says how large a
    buffer is worth having, no more. With `patience` a buffer that has been filling for so many
    seconds is taken as it is.
    """
    in_order = [_InOrder(step) for step in steps]

    def start(data: memoryview) -> asyncio.Future[None]:
        return asyncio.ensure_future(_all_of([step.take(data) for step in in_order]))

    length = BUFFER if size is None else max(_SMALLEST, min(BUFFER, size))
    busy: deque[tuple[asyncio.Future[None], memoryview]] = deque()
    filling = _buffer(length)
    used = taken = 0
    since = time.monotonic()
    try:
        async for chunk in source:
            rest = memoryview(chunk)
            while rest:
                part = rest[: length - used]
                filling[used : used + len(part)] = part
                used += len(part)
                rest = rest[len(part) :]
                if used == length or (patience is not None and time.monotonic() > since + patience):
                    busy.append((start(filling[:used]), filling))
                    taken, used, since = taken + used, 0, time.monotonic()
                    filling = await _next_buffer(busy, length)
        if used:
            busy.append((start(filling[:used]), filling))
        while busy:
            await busy[0][0]
            busy.popleft()
    finally:
        for task, _ in busy:
            await settled(task)  # threads still look at the buffers
            if not task.cancelled():
                task.exception()  # what came first is told, not this
    return taken + used


async def _next_buffer(busy: deque[tuple[asyncio.Future[None], memoryview]], length: int) -> memoryview:
    """Give the buffer that has been busy for longest, once it is free; a new one while there are few."""
    if len(busy) < _BUFFERS and not busy[0][0].done():
        return _buffer(length)
    task, buffer = busy[0]
    await task
    busy.popleft()
    return buffer


def _buffer(length: int) -> memoryview:
    """Give memory that takes room only as far as it is filled, and none when it is let go of.

    `bytearray` does neither: what malloc has once given back it clears, and so touches, whole.
    """
    return memoryview(mmap.mmap(-1, length))


async def exactly(source: AsyncIterator[bytes], size: int | None, limit: int) -> AsyncIterator[bytes]:
    """Give the source on; raises Invalid where it has not the declared size, OverLimit past the limit."""
    seen = 0
    async for chunk in source:
        seen += len(chunk)
        if seen > limit:
            raise OverLimit(f"The incoming image is too large: at most {limit} bytes are allowed.")
        if size is not None and seen > size:
            raise Invalid(f"The image has more bytes than the {size} that were declared.")
        yield chunk
    if size is not None and seen != size:
        raise Invalid(f"The image has {seen} bytes, but {size} were declared.")


async def _threaded(step: Callable[[memoryview], None], data: memoryview) -> None:
    await in_thread(step, data)


class _InOrder:
    """A step that sees one buffer after the other, and none behind one that it failed at."""

    def __init__(self, step: Take) -> None:
        self._step = step
        self._turn = asyncio.Lock()  # given in the order it is asked for
        self._failure: Exception | None = None

    async def take(self, data: memoryview) -> None:
        """Do the step when it has done the buffers before."""
        async with self._turn:
            if self._failure is not None:
                raise self._failure
            try:
                await self._step(data)
            except Exception as failure:
                self._failure = failure
                raise


async def _all_of(work: Sequence[Awaitable[None]]) -> None:
    for result in await asyncio.gather(*work, return_exceptions=True):
        if result is not None:
            raise result


async def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Do what must be done, however often whoever waits for it is cancelled."""
    task = asyncio.ensure_future(work)
    await settled(task)
    return task.result()

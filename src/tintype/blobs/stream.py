"""One pass over bytes: hash, inspect and write, over a few buffers that are used again and again.

While one buffer is filled from the network, threads work on the others: each digest, the format
inspector and the store release the interpreter, and each goes on to the next buffer without waiting
for the slowest, nor for the event loop. Memory is seven buffers a stream, whatever the size of the
image.
"""

import asyncio
import contextlib
import hashlib
import mmap
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any, Final, ParamSpec, Protocol, TypeVar

import msgspec

from tintype.errors import Invalid, OverLimit, Unavailable
from tintype.formats import Inspector

P = ParamSpec("P")
T = TypeVar("T")
Look = Callable[[memoryview], None]
"""What is done with a buffer in a thread."""
Write = Callable[[memoryview], Awaitable[None]]
"""What is done with a buffer in the event loop."""

BUFFER: Final = 2 << 20
_BUFFERS: Final = 7
"""Of each upload: one fills, and no step waits soon for one that has fallen behind."""
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


class Buffer:
    """Memory that a source fills, `used` bytes of it so far.

    It takes room only as far as it is filled, and none when it is let go of. `bytearray` does neither:
    what malloc has once given back it clears, and so touches, whole.
    """

    def __init__(self, length: int) -> None:
        self.memory = memoryview(mmap.mmap(-1, length))
        self.used = 0
        self._until = float("inf")

    def begin(self, patience: float | None) -> None:
        """Empty it; after so many seconds a part of it is enough."""
        self.used = 0
        self._until = float("inf") if patience is None else time.monotonic() + patience

    def add(self, data: memoryview) -> int:
        """Copy what there is room for; give how much that is."""
        part = data[: len(self.memory) - self.used]
        self.memory[self.used : self.used + len(part)] = part
        self.used += len(part)
        return len(part)

    @property
    def ready(self) -> bool:
        """Whether it is time to take it."""
        return self.used == len(self.memory) or (self.used > 0 and time.monotonic() > self._until)


class Source(Protocol):
    """Where bytes come from."""

    async def fill(self, buffer: Buffer) -> bool:
        """Fill a buffer until it is ready; False at the end of the bytes.

        However this ends, what has come is in the buffer.
        """
        ...


class Chunks:
    """A source of bytes that come as they please."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self.rest = memoryview(b"")
        """What has come and not been taken yet."""
        self._chunks = chunks

    async def fill(self, buffer: Buffer) -> bool:
        """Copy chunks."""
        while not buffer.ready:
            if not self.rest:
                chunk = await anext(self._chunks, None)
                if chunk is None:
                    return False
                self.rest = memoryview(chunk)
            self.rest = self.rest[buffer.add(self.rest) :]
        return True


class Exactly:
    """A source that must have the declared size, if there is one, and keep to the limit."""

    def __init__(self, source: Source, size: int | None, limit: int) -> None:
        self._source = source
        self._size = size
        self._limit = limit
        self._seen = 0

    async def fill(self, buffer: Buffer) -> bool:
        """Give it on; raises Invalid where the size is another one, OverLimit past the limit."""
        before = buffer.used
        more = await self._source.fill(buffer)
        self._seen += buffer.used - before
        if self._seen > self._limit:
            raise OverLimit(f"The incoming image is too large: at most {self._limit} bytes are allowed.")
        if self._size is not None and self._seen > self._size:
            raise Invalid(f"The image has more bytes than the {self._size} that were declared.")
        if not more and self._size is not None and self._seen != self._size:
            raise Invalid(f"The image has {self._seen} bytes, but {self._size} were declared.")
        return more


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
        source: Source,
        write: Write | None,
        size: int | None,
        patience: float | None = None,
        others: Sequence[Look] = (),
    ) -> None:
        """Take every byte of the source, about `size`, and write it; raises what source and `write` raise.

        With `patience` no byte waits for more seconds than that to be written while others come.
        `others` look at the bytes too.
        """
        self.size += await pump(source, write, [*self._looks(), *others], size, patience)

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

    def _looks(self) -> list[Look]:
        looks: list[Look] = [digest.update for digest in self._hashes.values()]
        if self._inspector is not None:
            looks.append(self._inspector.feed)
        return looks


async def pump(
    source: Source,
    write: Write | None,
    looks: Sequence[Look],
    size: int | None,
    patience: float | None = None,
) -> int:
    """Fill buffers, have each written and looked at while others fill; give the bytes taken.

    Each step sees the buffers in order, whatever the other steps are at. `size` says how large a
    buffer is worth having, no more. With `patience` a buffer that has been filling for so many
    seconds is taken as it is.
    """
    steps: list[_InThread | _InOrder] = [_InThread(look) for look in looks]
    if write is not None:
        steps.append(_InOrder(write))
    length = BUFFER if size is None else max(_SMALLEST, min(BUFFER, size))
    busy: deque[tuple[asyncio.Future[None], Buffer]] = deque()
    more, taken = True, 0
    try:
        while more:
            buffer = await _free_buffer(busy, length)
            buffer.begin(patience)
            more = await source.fill(buffer)
            if buffer.used:
                data = buffer.memory[: buffer.used]
                taken += buffer.used
                busy.append((asyncio.ensure_future(all_of([step.take(data) for step in steps])), buffer))
        while busy:
            await asyncio.shield(busy[0][0])
            busy.popleft()
    finally:
        for task, _ in busy:
            await settled(task)  # threads still look at the buffers
            if not task.cancelled():
                task.exception()  # what came first is told, not this
    return taken


async def _free_buffer(busy: deque[tuple[asyncio.Future[None], Buffer]], length: int) -> Buffer:
    """Give the buffer that has been busy for longest, once it is free; a new one while there are few."""
    if not busy or (len(busy) < _BUFFERS and not busy[0][0].done()):
        return Buffer(length)
    task, buffer = busy[0]
    await asyncio.shield(task)  # who is cancelled here does not end what works on the buffer
    busy.popleft()
    return buffer


class _InThread:
    """A step done in a thread, which goes on to the next buffer by itself, and to none behind a failure."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._waiting: deque[tuple[memoryview, asyncio.Future[None]]] = deque()
        self._working = False
        self._failure: Exception | None = None

    def take(self, data: memoryview) -> asyncio.Future[None]:
        """Do the step when it has done the buffers before."""
        done = self._loop.create_future()
        with self._lock:
            self._waiting.append((data, done))
            asleep, self._working = not self._working, True
        if asleep:
            self._loop.run_in_executor(None, self._work)
        return done

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._working = False
                    return
                data, done = self._waiting.popleft()
            try:
                if self._failure is None:
                    self._look(data)
            except Exception as failure:  # noqa: BLE001 (whoever waits is told)
                self._failure = failure
            self._loop.call_soon_threadsafe(self._tell, done, self._failure)

    @staticmethod
    def _tell(done: asyncio.Future[None], failure: Exception | None) -> None:
        if done.cancelled():
            return
        if failure is None:
            done.set_result(None)
        else:
            done.set_exception(failure)


class _InOrder:
    """A step done in the event loop, which takes one buffer after the other, and none behind a failure."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._turn = asyncio.Lock()  # given in the order it is asked for
        self._failure: BaseException | None = None

    async def take(self, data: memoryview) -> None:
        """Do the step when it has done the buffers before."""
        async with self._turn:
            if self._failure is not None:
                raise self._failure
            try:
                await self._write(data)
            except BaseException as failure:  # a write that was cancelled leaves a hole, too
                self._failure = failure
                raise


async def all_of(work: Iterable[Awaitable[None]]) -> None:
    """Wait for the end of all of them, then raise what the first that failed did."""
    for result in await asyncio.gather(*work, return_exceptions=True):
        if result is not None:
            raise result


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
                raise Unavailable(f"The stored bytes end at {start}, before {stop}.")
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
    """Give chunks, and let go of where they come from as soon as nobody wants more of them."""
    try:
        yield chunks
    finally:
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()


async def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Do what must be done, however often whoever waits for it is cancelled."""
    task = asyncio.ensure_future(work)
    await settled(task)
    return task.result()

"""The digest pipeline: bytes are hashed, inspected and written in one pass, over a few reused buffers.

While one buffer is filled from the network, threads work on the others: each digest and the store goes
on to the next buffer without waiting for the slowest stage, or for the event loop, which is called once all
are done with a buffer. A stream takes at most three buffers of memory, and none while its source is slow.
"""

import asyncio
import contextlib
import hashlib
import mmap
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Final, NamedTuple, ParamSpec, Protocol, TypeVar

import msgspec
from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes

from tintype.blobs.cancellation import wait_settled
from tintype.errors import Invalid, OverLimit
from tintype.formats import Inspector

P = ParamSpec("P")
T = TypeVar("T")
Stage = Callable[[memoryview], None]
"""Works on a buffer in a thread."""
Write = Callable[[memoryview], Awaitable[None]]
"""Works on a buffer in the event loop."""

BUFFER: Final = 4 << 20
"""Few large ones, not many small: what each costs to hand from thread to thread does not grow with it."""
_BUFFERS: Final = 3
"""Of each upload: one fills, the others are worked on."""
_PATIENCE: Final = 60.0
"""Seconds after which a buffer is worth having as it is: what trickles in takes little room."""


async def in_thread(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a blocking call in a thread; on cancellation, wait for the thread to finish, then re-raise."""
    return await finished(asyncio.ensure_future(asyncio.to_thread(call, *args, **kwargs)))


async def finished(work: asyncio.Future[T]) -> T:
    """Return the result of a thread's work; on cancellation, wait for it to finish, then re-raise."""
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await wait_settled(work)
        if not work.cancelled():
            work.exception()  # a cancelled caller ignores the outcome
        raise
    finally:
        del work  # a failure's traceback leads here


class Buffer:
    """Memory that a source fills, `used` bytes of it so far.

    It takes room only as far as it is filled, and none when it is let go of. `bytearray` does neither:
    what malloc has once given back it clears, and so touches, whole.
    """

    def __init__(self, length: int, *, whole: bool = False) -> None:
        """Make one; what will be filled `whole` may take large pages, which cost the kernel less."""
        memory = mmap.mmap(-1, length, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS if whole else mmap.MAP_SHARED)
        if whole:
            with contextlib.suppress(AttributeError, OSError):  # systems without, kernels built without
                memory.madvise(mmap.MADV_HUGEPAGE)
        self.memory = memoryview(memory)
        self.whole = whole
        self.begin(_PATIENCE)

    def begin(self, patience: float) -> None:
        """Empty it; after so many seconds a part of it is enough."""
        self.used = 0
        self.until = time.monotonic() + patience

    def add(self, data: memoryview) -> int:
        """Copy what there is room for; give how much that is."""
        part = data[: len(self.memory) - self.used]
        self.memory[self.used : self.used + len(part)] = part
        self.used += len(part)
        return len(part)

    @property
    def ready(self) -> bool:
        """Whether it is time to take it."""
        return self.used == len(self.memory) or (self.used > 0 and time.monotonic() > self.until)


class Source(Protocol):
    """Where bytes come from."""

    async def fill(self, buffer: Buffer) -> bool:
        """Fill a buffer until it is ready; False at the end of the bytes.

        However this ends, what has come is in the buffer.
        """


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


class SizeCheckedSource:
    """A source that must have the declared size, where there is one, and stay within the limit."""

    def __init__(self, source: Source, size: int | None, limit: int) -> None:
        self._source = source
        self._size = size
        self._limit = limit
        self._seen = 0

    async def fill(self, buffer: Buffer) -> bool:
        """Fill a buffer; raises Invalid where the size is not the declared one, OverLimit past the limit."""
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


class DigestPipeline:
    """Hashes and inspects the bytes that pass through, in one run or in several, one after the other."""

    def __init__(
        self,
        inspector: Inspector | None,
        *,
        formats: tuple[str | None, str | None] = (None, None),
        algorithm: str,
        expected: Mapping[str, str] | None = None,
    ) -> None:
        """Start one. `expected` are digests in hex by algorithm, as hashlib names them, checked at the end.

        `formats` are those that the inspector was made for.
        """
        self.size = 0
        self.formats = formats
        self._inspector = inspector
        self._algorithm = algorithm
        self._expected = expected or {}
        self._hashes = {name: _hash(name) for name in ("md5", algorithm, *self._expected)}

    async def run(
        self,
        source: Source,
        write: Write | None,
        size: int | None,
        patience: float = _PATIENCE,
        others: Sequence[Stage] = (),
    ) -> None:
        """Read the source to its end, and write every byte; raises what the source and `write` raise.

        There are about `size` bytes. None waits for more than `patience` seconds to be written while
        others arrive. They pass through the stages `others`, too.
        """
        self.size += await run_pipeline(source, write, [*self._stages(), *others], size, patience)

    def finish(self) -> Digests:
        """Return what was found.

        Raises UnsupportedMedia where the bytes are refused for their format, Invalid where their
        digest is not the expected one.
        """
        for name, digest in self._expected.items():
            if (found := self._hashes[name].hexdigest()) != digest:
                raise Invalid(f"The {name} digest of the data is {found}; {digest} was declared.")
        virtual_size = self._inspector.finish() if self._inspector is not None else None
        return Digests(
            size=self.size,
            checksum=self._hashes["md5"].hexdigest(),
            os_hash_algo=self._algorithm,
            os_hash_value=self._hashes[self._algorithm].hexdigest(),
            virtual_size=virtual_size,
        )

    def _stages(self) -> list[Stage]:
        first, *others = (each.update for each in self._hashes.values())
        if self._inspector is None:
            return [first, *others]
        feed = self._inspector.feed  # which soon only counts: less work than to wake a thread for it

        def both(data: memoryview) -> None:
            feed(data)
            first(data)

        return [both, *others]


class _Hash(NamedTuple):
    update: Stage
    hexdigest: Callable[[], str]


def _hash(name: str) -> _Hash:
    """Begin a digest; MD5 with the OpenSSL of `cryptography`, 5 % faster than 3.0, which many a Linux has."""
    if name == "md5":
        with contextlib.suppress(UnsupportedAlgorithm, InternalError):  # of an OpenSSL told to (FIPS)
            md5 = hashes.Hash(hashes.MD5())  # noqa: S303 (clients ask for it)
            return _Hash(md5.update, lambda: md5.copy().finalize().hex())
    other = hashlib.new(name, usedforsecurity=False)
    return _Hash(other.update, other.hexdigest)


async def run_pipeline(
    source: Source,
    write: Write | None,
    stages: Sequence[Stage],
    size: int | None,
    patience: float = _PATIENCE,
) -> int:
    """Fill buffers, and pass each through `write` and the stages while others fill; return the byte count.

    Each step sees the buffers in order, whatever the other steps are at. `size` says how large a
    buffer is worth having, no more. One that has been filling for `patience` seconds is taken as it is.
    """
    steps: list[_InThread | _InLoop] = [_InThread(stage) for stage in stages]
    if write is not None:
        steps.append(_InLoop(write))
    length = BUFFER if size is None else max(mmap.PAGESIZE, min(BUFFER, size))
    busy: deque[_Round] = deque()
    more, taken = True, 0
    try:
        while more:
            buffer = await _free_buffer(busy, length)
            buffer.begin(patience)
            more = await source.fill(buffer)
            if buffer.used:
                taken += buffer.used
                busy.append(_Round(buffer, len(steps) + 1))
                for step in steps:
                    step.submit(busy[-1])
                busy[-1].end(None)  # of what is done here
        while busy:
            await asyncio.shield(busy[0].done)
            busy.popleft()
    finally:
        await _release(busy, steps)
    return taken


async def _release(busy: "deque[_Round]", steps: "list[_InThread | _InLoop]") -> None:
    """Wait until nothing works on the buffers, and drop the references to them.

    A failure's traceback leads to what failed: it must not lead back, or memory waits for the collector.
    """
    while busy:
        done = busy.popleft().done
        await wait_settled(done)  # threads still read the buffer
        done.exception()  # what came first is told, not this
    for step in steps:
        step.failure = None


async def _free_buffer(busy: "deque[_Round]", length: int) -> Buffer:
    """Return the buffer that has been busy for longest, once it is free; a new one while there are few."""
    while busy and busy[-1].buffer.used < length:  # a slow or silent source holds no memory
        await asyncio.shield(busy[0].done)  # who is cancelled here does not end what works on the buffer
        busy.popleft()
    if not busy or (len(busy) < _BUFFERS and not busy[0].done.done()):
        return Buffer(length, whole=bool(busy))
    await asyncio.shield(busy[0].done)
    buffer = busy.popleft().buffer
    return buffer if buffer.whole else Buffer(length, whole=True)


class _Round:
    """A buffer on its way through the steps: `done`, or failed, when it has been through all of them."""

    def __init__(self, buffer: Buffer, steps: int) -> None:
        self.buffer = buffer
        self.data = buffer.memory[: buffer.used]
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lock = threading.Lock()
        self._ahead = steps
        self._failure: BaseException | None = None

    def end(self, failure: BaseException | None) -> None:
        """Note the end of a step, in whatever thread; only of the last one the event loop is told."""
        with self._lock:
            self._ahead -= 1
            self._failure = self._failure or failure
            last = not self._ahead
        if last:
            self.done.get_loop().call_soon_threadsafe(self._notify)

    def _notify(self) -> None:
        if self._failure is None:
            self.done.set_result(None)
        elif isinstance(self._failure, StopIteration):  # no future takes it
            self.done.set_exception(RuntimeError("a step raised StopIteration"))
        else:
            self.done.set_exception(self._failure)


class _InThread:
    """A step done in a thread, which goes on to the next buffer by itself, and to none behind a failure."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._waiting: deque[_Round] = deque()
        self._working = False
        self.failure: BaseException | None = None

    def submit(self, one: _Round) -> None:
        """Do the step when it has done the buffers before."""
        with self._lock:
            self._waiting.append(one)
            asleep, self._working = not self._working, True
        if asleep:
            try:
                self._loop.run_in_executor(None, self._work)
            except RuntimeError as failure:  # no thread is to be had
                self.failure = failure
                self._work()

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._working = False
                    return
                one = self._waiting.popleft()
            try:
                if self.failure is None:
                    self._stage(one.data)
            except BaseException as failure:  # noqa: BLE001 (whoever waits is told)
                self.failure = failure
            one.end(self.failure)
            del one  # a failure's traceback leads here


class _InLoop:
    """A step done in the event loop, which takes one buffer after the other, and none behind a failure."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._waiting: deque[_Round] = deque()
        self._task: asyncio.Task[None] | None = None
        self.failure: BaseException | None = None

    def submit(self, one: _Round) -> None:
        """Do the step when it has done the buffers before."""
        self._waiting.append(one)
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._work())
            self._task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        while task.cancelled() and self._waiting:  # before it began
            self.failure = asyncio.CancelledError()
            self._waiting.popleft().end(self.failure)

    async def _work(self) -> None:
        while self._waiting:
            one = self._waiting.popleft()
            try:
                if self.failure is None:
                    await self._write(one.data)
            except BaseException as failure:  # noqa: BLE001 (a write that was cancelled leaves a hole, too)
                self.failure = failure
            one.end(self.failure)
            del one  # a failure's traceback leads here

"""The digest pipeline: bytes are hashed, inspected and written in one pass, over a few reused buffers.

While one buffer is filled from the network, threads work on the others: each digest and the store continues
with the next buffer without waiting for the slowest stage, or for the event loop, which is notified once all
stages are done with a buffer. A stream uses at most three buffers of memory, and none while its source is
slow.
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
"""Processes a buffer in a thread."""
Write = Callable[[memoryview], Awaitable[None]]
"""Processes a buffer in the event loop."""

BUFFER: Final = 4 << 20
"""A few large buffers: the cost of handing one from thread to thread does not depend on its size."""
_BUFFERS: Final = 3
"""Buffers of each upload: one is filled while the others are processed."""
_PATIENCE: Final = 60.0
"""Seconds after which a partly filled buffer is processed: a slow source needs little memory."""


async def in_thread(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a blocking call in a thread; on cancellation, wait for the thread to finish, then re-raise."""
    return await wait_finished(asyncio.ensure_future(asyncio.to_thread(call, *args, **kwargs)))


async def wait_finished(work: asyncio.Future[T]) -> T:
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

    It uses memory only as far as it is filled, and none once it is released. A `bytearray` would not do:
    it clears memory that malloc has reused, and so touches all of it.
    """

    def __init__(self, length: int, *, whole: bool = False) -> None:
        """Create it; one that will be filled `whole` may use huge pages, which are cheaper."""
        memory = mmap.mmap(-1, length, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS if whole else mmap.MAP_SHARED)
        if whole:
            with contextlib.suppress(AttributeError, OSError):  # systems or kernels without support
                memory.madvise(mmap.MADV_HUGEPAGE)
        self.memory = memoryview(memory)
        self.whole = whole
        self.begin(_PATIENCE)

    def begin(self, patience: float) -> None:
        """Empty it; after `patience` seconds it is ready even if it is not full."""
        self.used = 0
        self.until = time.monotonic() + patience

    def add(self, data: memoryview) -> int:
        """Copy as much as fits; return the number of bytes copied."""
        part = data[: len(self.memory) - self.used]
        self.memory[self.used : self.used + len(part)] = part
        self.used += len(part)
        return len(part)

    @property
    def ready(self) -> bool:
        """Whether it should be processed now."""
        return self.used == len(self.memory) or (self.used > 0 and time.monotonic() > self.until)


class Source(Protocol):
    """A source of bytes."""

    async def fill(self, buffer: Buffer) -> bool:
        """Fill a buffer until it is ready; return False at the end of the bytes.

        The buffer contains all bytes received so far, even after an exception.
        """


class Chunks:
    """A source of chunks of any size."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self.rest = memoryview(b"")
        """Received bytes that are not in a buffer yet."""
        self._chunks = chunks

    async def fill(self, buffer: Buffer) -> bool:
        """Copy chunks into the buffer."""
        while not buffer.ready:
            if not self.rest:
                chunk = await anext(self._chunks, None)
                if chunk is None:
                    return False
                self.rest = memoryview(chunk)
            self.rest = self.rest[buffer.add(self.rest) :]
        return True


class SizeCheckedSource:
    """A source that must have the declared size, if there is one, and stay within the limit."""

    def __init__(self, source: Source, size: int | None, limit: int) -> None:
        self._source = source
        self._size = size
        self._limit = limit
        self._seen = 0

    async def fill(self, buffer: Buffer) -> bool:
        """Fill a buffer; raises Invalid if the size is not the declared one, OverLimit past the limit."""
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
    """The results of a digest pipeline. `virtual_size` is None if the format does not contain it."""

    size: int
    checksum: str
    os_hash_algo: str
    os_hash_value: str
    virtual_size: int | None


class DigestPipeline:
    """Hashes and inspects the bytes that pass through, in one run or several successive ones."""

    def __init__(
        self,
        inspector: Inspector | None,
        *,
        formats: tuple[str | None, str | None] = (None, None),
        algorithm: str,
        expected: Mapping[str, str] | None = None,
    ) -> None:
        """Create it. `expected` maps algorithms, as hashlib names them, to hex digests, checked at the end.

        `formats` are the disk and container formats that the inspector was created for.
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

        `size` is the approximate number of bytes. No byte waits for more than `patience` seconds to be
        written. The bytes pass through the stages `others`, too.
        """
        self.size += await run_pipeline(source, write, [*self._stages(), *others], size, patience)

    def finish(self) -> Digests:
        """Return the results.

        Raises UnsupportedMedia if the format is rejected, Invalid if a digest is not the expected one.
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
        feed = self._inspector.feed  # it soon only counts bytes, which is cheaper than waking a thread

        def both(data: memoryview) -> None:
            feed(data)
            first(data)

        return [both, *others]


class _Hash(NamedTuple):
    update: Stage
    hexdigest: Callable[[], str]


def _hash(name: str) -> _Hash:
    """Start a digest. MD5 uses the OpenSSL of `cryptography`, 5 % faster than 3.0 of many Linux systems."""
    if name == "md5":
        with contextlib.suppress(UnsupportedAlgorithm, InternalError):  # an OpenSSL in FIPS mode
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

    Each step gets the buffers in order, independently of the other steps. `size` only limits the size of
    a buffer. A buffer that has been filling for `patience` seconds is processed as it is.
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
                busy[-1].end(None)  # the filling was a step, too
        while busy:
            await asyncio.shield(busy[0].done)
            busy.popleft()
    finally:
        await _release(busy, steps)
    return taken


async def _release(busy: "deque[_Round]", steps: "list[_InThread | _InLoop]") -> None:
    """Wait until no step uses the buffers, and drop the references to them.

    A failure's traceback refers to the step; without reference cycles the memory is freed at once.
    """
    while busy:
        done = busy.popleft().done
        await wait_settled(done)  # threads still read the buffer
        done.exception()  # the first failure is raised, not this one
    for step in steps:
        step.failure = None


async def _free_buffer(busy: "deque[_Round]", length: int) -> Buffer:
    """Return the longest busy buffer once it is free, or a new one while there are few."""
    while busy and busy[-1].buffer.used < length:  # a slow or silent source holds no memory
        await asyncio.shield(busy[0].done)  # cancellation here does not stop the steps
        busy.popleft()
    if not busy or (len(busy) < _BUFFERS and not busy[0].done.done()):
        return Buffer(length, whole=bool(busy))
    await asyncio.shield(busy[0].done)
    buffer = busy.popleft().buffer
    return buffer if buffer.whole else Buffer(length, whole=True)


class _Round:
    """A buffer on its way through the steps. `done` is set, to a result or a failure, after the last."""

    def __init__(self, buffer: Buffer, steps: int) -> None:
        self.buffer = buffer
        self.data = buffer.memory[: buffer.used]
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lock = threading.Lock()
        self._ahead = steps
        self._failure: BaseException | None = None

    def end(self, failure: BaseException | None) -> None:
        """Record the end of a step, in any thread; only the last one notifies the event loop."""
        with self._lock:
            self._ahead -= 1
            self._failure = self._failure or failure
            last = not self._ahead
        if last:
            self.done.get_loop().call_soon_threadsafe(self._notify)

    def _notify(self) -> None:
        if self._failure is None:
            self.done.set_result(None)
        elif isinstance(self._failure, StopIteration):  # a future does not accept it
            self.done.set_exception(RuntimeError("a step raised StopIteration"))
        else:
            self.done.set_exception(self._failure)


class _InThread:
    """A step run in a thread, which continues with the next buffer by itself, and stops after a failure."""

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
            except RuntimeError as failure:  # no thread can be started
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
            except BaseException as failure:  # noqa: BLE001 (the waiting task gets it)
                self.failure = failure
            one.end(self.failure)
            del one  # a failure's traceback leads here


class _InLoop:
    """A step run in the event loop, which processes one buffer after the other, and stops after a failure."""

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
        while task.cancelled() and self._waiting:  # before it started
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

"""Conformance tests for blob stores: every driver has to pass them (docs/howto/test-a-store.md).

    for check in checks_of(store):
        await check(store, put)

`put` stores bytes: `by_writing(store)`, or for a read-only store a function of the caller's. A check raises
AssertionError with a message. Each uses its own keys and leaves nothing behind.
"""

import os
import uuid
from collections.abc import Awaitable, Callable

from tintype.blobs.base import BlobStore, Resumable, ResumableWriter, Writer
from tintype.errors import Conflict, Gone, Invalid, NotFound, TintypeError, Unavailable

Put = Callable[[str, bytes], Awaitable[None]]
Check = Callable[[BlobStore, Put], Awaitable[None]]
_MIB = 1 << 20
LARGE = 21 * _MIB + 12_345
"""Size in bytes of large test data: several parts or objects in any driver."""


def checks_of(store: BlobStore, *, read_only: bool = False) -> list[Check]:
    """Return the checks that a store with its capabilities must pass."""
    checks: list[Check] = [says_that_it_works, reads_what_was_stored, reads_ranges, knows_what_is_missing]
    if read_only:
        return [*checks, refuses_to_write]
    checks += [
        shows_nothing_before_commit,
        takes_nothing,
        takes_pieces_of_any_size,
        is_given_up_without_a_trace,
        deletes,
        deletes_what_is_half_written,
        lists_every_key,
        commits_nothing_that_was_deleted,
    ]
    if isinstance(store, Resumable):
        checks += [goes_on_in_another_process, drops_what_stands_behind, goes_on_after_a_commit]
        checks += [goes_on_at_the_last_byte, takes_many_small_pieces]
        checks += [does_not_go_on_from_nothing, begins_anew]
    return checks


def by_writing(store: BlobStore) -> Put:
    """Return a `put` for a writable store."""

    async def put(key: str, data: bytes) -> None:
        await write(await store.create(key, len(data)), data)

    return put


async def write(writer: Writer, data: bytes, step: int = 4 * _MIB) -> None:
    """Write and commit."""
    for start in range(0, len(data), step):
        await writer.write(memoryview(bytearray(data[start : start + step])))
    await writer.commit()
    await writer.close()


async def read(store: BlobStore, key: str, start: int, stop: int) -> bytes:
    """Return the bytes of a range."""
    return b"".join([bytes(chunk) async for chunk in store.read(key, start, stop)])


async def keys(store: BlobStore) -> set[str]:
    """Return every key."""
    return {key async for key in store.keys()}


def new_key() -> str:
    """Return a new unique key."""
    return str(uuid.uuid4())


async def fails(kind: type[TintypeError], work: Awaitable[object], what: str) -> None:
    """Assert that an operation fails with one kind of error."""
    try:
        await work
    except kind:
        return
    message = f"{what} must raise {kind.__name__}"
    raise AssertionError(message)


async def says_that_it_works(store: BlobStore, _put: Put) -> None:
    """Assert that a working store passes its own check, which leaves nothing behind."""
    before = await keys(store)
    await store.check()
    assert await keys(store) == before, "check() changes nothing"


async def says_what_is_wrong(store: BlobStore) -> None:
    """Assert that a misconfigured store fails its check. For a driver's own tests of broken stores."""
    try:
        await store.check()
    except Unavailable as failure:
        named = store.id in failure.message
    else:
        named = False
    assert named, "check() of a store that cannot be used raises Unavailable, which names the store"


async def reads_what_was_stored(store: BlobStore, put: Put) -> None:
    """Assert that the stored bytes are read back, in several chunks if they are large."""
    for size in (1, 1000, 4 * _MIB, LARGE):
        key, data = new_key(), os.urandom(size)
        await put(key, data)
        assert await store.size(key) == size, "size() tells the number of bytes"
        assert await read(store, key, 0, size) == data, "read() gives the bytes that were written"
        largest = max([len(chunk) async for chunk in store.read(key, 0, size)])
        assert largest <= 8 * _MIB, "read() gives chunks of a bounded size"
        await store.delete(key)


async def reads_ranges(store: BlobStore, put: Put) -> None:
    """Assert that any range can be read exactly."""
    key, data = new_key(), os.urandom(9 * _MIB + 7)
    await put(key, data)
    size = len(data)
    edges = (0, 1, _MIB - 1, _MIB, 4 * _MIB + 1, 8 * _MIB, size - 1, size)
    for start in edges:
        for stop in edges:
            if start < stop:
                assert await read(store, key, start, stop) == data[start:stop], f"bytes {start} to {stop}"
    await store.delete(key)


async def knows_what_is_missing(store: BlobStore, _put: Put) -> None:
    """Assert that a key without bytes has no size, cannot be read, and can be deleted."""
    key = new_key()
    assert await store.size(key) is None, "size() of nothing is None"
    await fails(NotFound, read(store, key, 0, 1), "read() of nothing")
    await store.delete(key)


async def shows_nothing_before_commit(store: BlobStore, _put: Put) -> None:
    """Assert that bytes appear only at the commit, all at once."""
    key, data = new_key(), os.urandom(LARGE)
    writer = await store.create(key, len(data))
    assert key not in await keys(store), "create() alone leaves nothing"
    await writer.write(memoryview(data))
    assert await store.size(key) is None, "half-written bytes have no size"
    await fails(NotFound, read(store, key, 0, 1), "read() of half-written bytes")
    await writer.commit()
    assert await store.size(key) == len(data)
    await store.delete(key)


async def takes_nothing(store: BlobStore, _put: Put) -> None:
    """Assert that an empty blob can be stored."""
    key = new_key()
    for size in (0, None):
        await (await store.create(key, size)).commit()
        assert await store.size(key) == 0, "an empty blob has size 0"
        assert await read(store, key, 0, 0) == b""
        await store.delete(key)


async def takes_pieces_of_any_size(store: BlobStore, _put: Put) -> None:
    """Assert that a writer accepts chunks of any size and an unknown total, and does not keep the buffer."""
    key, data = new_key(), os.urandom(LARGE)
    writer = await store.create(key, None)
    done = 0
    for step in (1, 100, 65_536, _MIB + 1, 11 * _MIB, LARGE):
        buffer = bytearray(data[done : done + step])
        done += len(buffer)
        await writer.write(memoryview(buffer))
        buffer[:] = bytes(len(buffer))
    await writer.commit()
    assert await store.size(key) == len(data), "the size is that of what was written"
    assert await read(store, key, 0, len(data)) == data
    await store.delete(key)


async def is_given_up_without_a_trace(store: BlobStore, _put: Put) -> None:
    """Assert that a writer can be closed before the first byte, after some, and after the commit."""
    for size, committed in ((0, False), (1000, False), (LARGE, False), (LARGE, True)):
        key = new_key()
        writer = await store.create(key, size)
        if size:
            await writer.write(memoryview(os.urandom(size)))
        if committed:
            await writer.commit()
        await writer.close()
        await store.delete(key)
        assert await store.size(key) is None, "bytes that were given up are not there"
        assert key not in await keys(store), "bytes that were given up leave nothing behind"


async def deletes(store: BlobStore, put: Put) -> None:
    """Assert that deleted bytes are gone, and can be deleted again."""
    key = new_key()
    await put(key, os.urandom(LARGE))
    for _ in range(2):
        await store.delete(key)
        assert await store.size(key) is None, "deleted bytes are gone"
    assert key not in await keys(store), "deleted bytes leave nothing behind"


async def deletes_what_is_half_written(store: BlobStore, _put: Put) -> None:
    """Assert that half-written bytes of a dead process can be deleted by their key."""
    for size in (1000, LARGE):
        key = new_key()
        writer = await store.create(key, None)
        await writer.write(memoryview(os.urandom(size)))
        if isinstance(store, Resumable):
            flushed: ResumableWriter = writer  # type: ignore[assignment]
            await flushed.flush()
        await writer.close()
        await store.delete(key)
        assert key not in await keys(store), "half-written bytes can be deleted by their key"


async def lists_every_key(store: BlobStore, put: Put) -> None:
    """Assert that complete and half-written bytes are listed, so that unknown ones can be found."""
    whole, half = new_key(), new_key()
    await put(whole, b"abc")
    writer = await store.create(half, None)
    await writer.write(memoryview(os.urandom(LARGE)))
    found = await keys(store)
    assert whole in found, "keys() has complete bytes"
    assert half in found, "keys() has half-written bytes"
    await writer.close()
    await store.delete(half)
    await store.delete(whole)


async def commits_nothing_that_was_deleted(store: BlobStore, _put: Put) -> None:
    """Assert that a deletion wins over a late commit, which fails and leaves nothing."""
    key = new_key()
    writer = await store.create(key, None)
    await writer.write(memoryview(os.urandom(LARGE)))
    try:
        await store.delete(key)
    except Conflict:
        pass  # the store does not let others delete what is being written
    else:
        await fails(NotFound, writer.commit(), "commit() of bytes that were deleted")
    await writer.close()
    await store.delete(key)
    assert key not in await keys(store)


async def goes_on_in_another_process(store: BlobStore, _put: Put) -> None:
    """Assert that three writers can each continue where the previous one flushed."""
    assert isinstance(store, Resumable)
    key, data = new_key(), os.urandom(LARGE)
    for start, stop in ((0, 1000), (1000, 9 * _MIB), (9 * _MIB, LARGE)):
        writer = await store.resume(key, start, LARGE)
        for first in range(start, stop, 3 * _MIB):
            await writer.write(memoryview(data[first : min(first + 3 * _MIB, stop)]))
        await writer.flush()
        if stop == LARGE:
            await writer.commit()
        await writer.close()
    assert await store.size(key) == LARGE
    assert await read(store, key, 0, LARGE) == data, "a resumed blob is the pieces one after the other"
    await store.delete(key)
    assert key not in await keys(store), "nothing is left of a resumed blob"


async def drops_what_stands_behind(store: BlobStore, _put: Put) -> None:
    """Assert that bytes after the offset are dropped, flushed or not."""
    assert isinstance(store, Resumable)
    key, data = new_key(), os.urandom(LARGE)
    first = await store.resume(key, 0, LARGE)
    await first.write(memoryview(data[: 5 * _MIB]))
    await first.flush()
    await first.write(memoryview(os.urandom(12 * _MIB)))
    await first.flush()
    await first.close()
    second = await store.resume(key, 5 * _MIB, LARGE)
    await write(second, data[5 * _MIB :])
    await second.close()
    assert await read(store, key, 0, LARGE) == data
    await store.delete(key)


async def goes_on_after_a_commit(store: BlobStore, _put: Put) -> None:
    """Assert that an upload can be resumed after a commit that was not recorded."""
    assert isinstance(store, Resumable)
    key, data = new_key(), os.urandom(LARGE)
    await write(await store.resume(key, 0, LARGE), data)
    await write(await store.resume(key, LARGE - 1, LARGE), data[-1:])
    assert await read(store, key, 0, LARGE) == data
    await store.delete(key)
    assert key not in await keys(store)


async def goes_on_at_the_last_byte(store: BlobStore, _put: Put) -> None:
    """Assert that a completely flushed upload can be resumed, whatever the sizes of a driver's parts."""
    assert isinstance(store, Resumable)
    for size in (1000, 8 * _MIB, 16 * _MIB, 16 * _MIB + 1):
        key, data = new_key(), os.urandom(size)
        first = await store.resume(key, 0, size)
        await first.write(memoryview(data))
        await first.flush()
        await first.close()
        await write(await store.resume(key, size - 1, size), data[-1:])
        assert await read(store, key, 0, size) == data
        await store.delete(key)


async def takes_many_small_pieces(store: BlobStore, _put: Put) -> None:
    """Assert that many small pieces of different processes make one blob, and leave nothing else."""
    assert isinstance(store, Resumable)
    key, data = new_key(), os.urandom(LARGE)
    step = 2_700_001
    for start in range(0, LARGE, step):
        writer = await store.resume(key, start, LARGE)
        await writer.write(memoryview(data[start : start + step]))
        await writer.flush()
        await writer.close()
    await write(await store.resume(key, LARGE - 1, LARGE), data[-1:])
    assert await read(store, key, 0, LARGE) == data
    found = [each async for each in store.keys() if each == key]
    assert found == [key], "pieces leave nothing beside the blob"
    await store.delete(key)
    assert key not in await keys(store)


async def does_not_go_on_from_nothing(store: BlobStore, _put: Put) -> None:
    """Assert that missing bytes cannot be resumed."""
    assert isinstance(store, Resumable)
    await fails(Gone, store.resume(new_key(), 1000, LARGE), "resume() behind bytes that are not there")


async def begins_anew(store: BlobStore, _put: Put) -> None:
    """Assert that resuming at 0 starts anew, whatever was there."""
    assert isinstance(store, Resumable)
    key = new_key()
    first = await store.resume(key, 0, LARGE)
    await first.write(memoryview(os.urandom(10 * _MIB)))
    await first.flush()
    await first.close()
    second = await store.resume(key, 0, LARGE)
    await write(second, b"abc")
    await second.close()
    assert await read(store, key, 0, 3) == b"abc"
    assert await store.size(key) == 3
    await store.delete(key)
    assert key not in await keys(store)


async def refuses_to_write(store: BlobStore, _put: Put) -> None:
    """Assert that a read-only store raises Invalid."""
    await fails(Invalid, store.create(new_key(), 3), "create() in a read-only store")

"""How far ahead of a client a store is read."""

import asyncio
import contextlib

import pytest

from tintype.blobs import reading
from tintype.blobs.reading import LARGEST, read_ahead
from tintype.errors import Unavailable

MIB = 1 << 20
DATA = bytes(range(256)) * (40 * MIB // 256)


class Store:
    """Bytes, and what was read of them."""

    def __init__(self) -> None:
        self.reads: list[tuple[int, int]] = []

    async def read(self, at: int, length: int) -> bytes:
        self.reads.append((at, length))
        await asyncio.sleep(0)
        return DATA[at : at + length]

    @property
    def count(self) -> int:
        return sum(length for _, length in self.reads)


BLOCKS = [(None, 1), (4 * MIB, 2)]


@pytest.mark.parametrize(("block", "ahead"), BLOCKS)
@pytest.mark.parametrize(
    ("start", "stop"), [(0, 40 * MIB), (5, 9_000_001), (7, 8), (3, 3), (MIB - 1, MIB + 1)]
)
async def test_every_byte_once(block: int | None, ahead: int, start: int, stop: int) -> None:
    """A client that reads gets few large pieces, and each byte is read once."""
    store = Store()
    pieces = [piece async for piece in read_ahead(store.read, start, stop, block=block, ahead=ahead)]
    assert b"".join(pieces) == DATA[start:stop]
    assert store.count == stop - start
    assert max([len(piece) for piece in pieces], default=0) <= LARGEST
    assert len(pieces) <= 20 + (stop - start) // LARGEST


@pytest.mark.parametrize(("block", "ahead"), BLOCKS)
@pytest.mark.parametrize("taken", [1, 4, 15])
async def test_downloads_that_are_opened_together(block: int | None, ahead: int, taken: int) -> None:
    """Until a client has shown that it reads, at most 256 KiB are in memory for it, from any store."""
    held: list[int] = []

    async def begin(stack: contextlib.AsyncExitStack) -> None:
        store, came = Store(), 0
        pieces = read_ahead(store.read, 0, len(DATA), block=block, ahead=ahead)
        await stack.enter_async_context(contextlib.aclosing(pieces))
        for _ in range(taken):
            came += len(await anext(pieces))
        await asyncio.sleep(0)  # what was asked for ahead is read
        held.append(store.count - came)

    async with contextlib.AsyncExitStack() as stack:
        for _ in range(256):
            await begin(stack)
        print(f"{sum(held) / MIB:.0f} MiB for 256 downloads")
        assert max(held) <= 256 << 10


@pytest.mark.parametrize(("block", "ahead"), BLOCKS)
async def test_a_client_that_does_not_read(
    block: int | None, ahead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has one small piece, and what was read besides is dropped; the bytes go on where they were."""
    monkeypatch.setattr(reading, "_STALL_SECONDS", 0.02)
    store, found, sizes = Store(), b"", []
    async with contextlib.aclosing(read_ahead(store.read, 0, 8 * MIB, block=block, ahead=ahead)) as pieces:
        async for piece in pieces:
            found += piece
            sizes.append(len(piece))
            if len(sizes) in (1, 2, 3, 30):
                await asyncio.sleep(0)  # what was asked for ahead is read
                read = store.count
                await asyncio.sleep(0.06)
                assert store.count == read, "nothing is read for a client that waits"
    assert found == DATA[: 8 * MIB]
    assert max(sizes[:3]) <= 64 << 10
    assert store.count - 8 * MIB <= 4 * (block or MIB) * (1 + ahead)


async def test_a_slow_client_has_nothing_read_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that takes each piece slowly costs a store no more than its bytes and the first block."""
    monkeypatch.setattr(reading, "_STALL_SECONDS", 0.005)
    store, sizes = Store(), []
    async for piece in read_ahead(store.read, 0, 2 * MIB, block=4 * MIB, ahead=2):
        sizes.append(len(piece))
        await asyncio.sleep(0.01)
    assert sum(sizes) == 2 * MIB
    assert max(sizes) <= 64 << 10
    assert store.count <= 2 * MIB + 4 * MIB


@pytest.mark.parametrize("there", [0, 1000, MIB + 1])
async def test_bytes_that_end_early(there: int) -> None:
    """Nothing but what is stored is given, and the end is told."""

    async def read(at: int, length: int) -> bytes:
        return DATA[at : min(at + length, there)]

    with pytest.raises(Unavailable, match=f"ends after {there} bytes; {3 * MIB} were expected"):
        [piece async for piece in read_ahead(read, 0, 3 * MIB)]

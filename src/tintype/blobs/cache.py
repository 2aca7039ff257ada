"""Pieces of images on this node's disk, in front of slow stores: each a file, below its image and digest.

Images of one digest share nothing: what one owner's store gives must not be another one's image.

A piece is written beside its place, with a checksum behind it, and moved there: what is there is whole.
One that the disk has changed since is taken for absent. Processes of a node share the folder; a lock on
the unfinished file has each piece fetched by one of them.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import os
import shutil
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Final

import msgspec

from tintype.blobs.stream import in_thread

PIECE: Final = 4 << 20
"""Bytes of each piece but the last."""
_CHECK: Final = 4
_PAUSE_SECONDS: Final = 0.05
Fetch = Callable[[], Awaitable[bytes]]
Allowed = Callable[[], Awaitable[bool]]


class Kept(msgspec.Struct, frozen=True):
    """What pieces are of: an image's bytes with one digest, written as algorithm and value with a dash."""

    image_id: str
    digest: str


class PieceFiles:
    """The pieces in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._fetching: dict[Path, asyncio.Task[bytes]] = {}

    async def piece(self, of: Kept, number: int, fetch: Fetch, has_room: Allowed) -> bytes:
        """Return a piece, fetched by the first who asks while all others wait for it.

        It is kept if there is room for it, asked before and afterwards: what is dropped meanwhile stays so.
        Raises what `fetch` raises. A disk that is full or broken costs the cache, not the reader.
        """
        path = self._path(of, number)
        kept = await in_thread(_read, path)
        if kept is not None:
            return kept
        fetching = self._fetching.get(path)
        if fetching is None:
            fetching = self._fetching[path] = asyncio.create_task(self._fill(path, fetch, has_room))
            fetching.add_done_callback(lambda done: self._forget(path, done))
        return await asyncio.shield(fetching)

    async def part(self, of: Kept, number: int, first: int, length: int) -> bytes | None:
        """Return a part of a piece whose checksum the reader has had checked; None where it is not kept."""
        return await in_thread(_read_part, self._path(of, number), first, length)

    @contextlib.asynccontextmanager
    async def alone(self, image_id: str) -> AsyncIterator[bool]:
        """Yield whether no other process of this node fetches an image whole; none does until the end."""
        path = self._folder / "fetching" / image_id
        try:
            lock = await in_thread(_lock_part, path)
        except OSError:  # a disk that keeps nothing
            yield True
            return
        try:
            yield lock is not None
        finally:
            if lock is not None:
                await in_thread(_unlock, lock, path)

    async def has(self, of: Kept, size: int) -> bool:
        """Return whether every piece of so many bytes is there."""
        return await in_thread(self._has, of, size)

    async def is_whole(self, of: Kept, size: int) -> bool:
        """Return whether the pieces together have the digest that they are kept for."""
        algorithm, _, value = of.digest.partition("-")
        found = hashlib.new(algorithm, usedforsecurity=False)
        for number in range(pieces(size)):
            data = await in_thread(_read, self._path(of, number))
            if data is None:
                return False
            await in_thread(found.update, data)
        return found.hexdigest() == value

    async def drop(self, of: Kept) -> None:
        """Delete the pieces of an image."""
        await in_thread(shutil.rmtree, self._path(of, 0).parent, ignore_errors=True)

    async def all(self) -> list[Kept]:
        """Return everything that is kept, whole or not."""
        return await in_thread(self._all)

    def _forget(self, path: Path, done: asyncio.Task[bytes]) -> None:
        self._fetching.pop(path, None)
        if not done.cancelled():
            done.exception()  # who waits is told; perhaps nobody does any more

    async def _fill(self, path: Path, fetch: Fetch, has_room: Allowed) -> bytes:
        while True:
            try:
                lock = await in_thread(_lock_part, path)
            except OSError:
                return await fetch()
            kept = await in_thread(_read, path)
            if kept is not None:
                if lock is not None:
                    await in_thread(_unlock, lock, path)
                return kept
            if lock is not None:
                break
            await asyncio.sleep(_PAUSE_SECONDS)  # another process of this node is at it
        try:
            data = await fetch()
            with contextlib.suppress(OSError):
                if await has_room():
                    await in_thread(_write, lock, path, data)
                    if not await has_room():
                        await in_thread(path.unlink, missing_ok=True)
            return data
        finally:
            await in_thread(_unlock, lock, path)

    def _path(self, of: Kept, number: int) -> Path:
        return self._folder / of.image_id[:2] / of.image_id / of.digest / str(number)

    def _has(self, of: Kept, size: int) -> bool:
        return all(self._path(of, number).exists() for number in range(pieces(size)))

    def _all(self) -> list[Kept]:
        found = (path.relative_to(self._folder).parts for path in self._folder.glob("??/*/*"))
        return [Kept(parts[1], parts[2]) for parts in found]


def pieces(size: int) -> int:
    """Return into how many pieces so many bytes are cut."""
    return -(-size // PIECE)


def _read(path: Path) -> bytes | None:
    try:
        data = path.read_bytes()
    except OSError:
        return None
    body, check = data[:-_CHECK], data[-_CHECK:]
    if zlib.crc32(body).to_bytes(_CHECK) == check:
        return body
    with contextlib.suppress(OSError):
        path.unlink()
    return None


def _read_part(path: Path, first: int, length: int) -> bytes | None:
    try:
        with path.open("rb", buffering=0) as file:
            data = os.pread(file.fileno(), length, first)
            whole = os.fstat(file.fileno()).st_size >= first + length + _CHECK
    except OSError:
        return None
    return data if whole and len(data) == length else None


def _lock_part(path: Path) -> int | None:
    """Return the unfinished file of a piece, locked; None while another process has it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = Path(f"{path}.part")
    file = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(file).st_ino == part.stat().st_ino:  # who had it before may have taken it away
            return file
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(file)
        raise
    os.close(file)
    return None


def _unlock(file: int, path: Path) -> None:
    """Take an unfinished file away, which a piece that was kept is no more, and let go of it."""
    try:
        with contextlib.suppress(OSError):
            Path(f"{path}.part").unlink(missing_ok=True)
            path.parent.rmdir()  # unless other pieces are there
    finally:
        os.close(file)


def _write(file: int, path: Path, data: bytes) -> None:
    os.ftruncate(file, 0)
    os.pwritev(file, [data, zlib.crc32(data).to_bytes(_CHECK)], 0)
    Path(f"{path}.part").rename(path)

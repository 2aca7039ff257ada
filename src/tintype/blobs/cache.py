"""Chunks of images on this node's disk, in front of slow stores: one file each, by image and digest.

Images with the same digest share nothing: data from one owner's store must not become another's image.

A chunk is written to a temporary file, with a checksum at its end, and moved into place, so that it is always
complete. A chunk whose checksum is wrong counts as absent. The processes of a node share the folder; a lock
on the temporary file lets only one of them fetch a chunk.
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

CHUNK_BYTES: Final = 4 << 20
"""Size of each chunk but the last, in bytes."""
_CHECK: Final = 4
_PAUSE_SECONDS: Final = 0.05
Fetch = Callable[[], Awaitable[bytes]]
Allowed = Callable[[], Awaitable[bool]]


class CacheKey(msgspec.Struct, frozen=True):
    """Identifies cached data: an image, and its digest as algorithm and value joined by a dash."""

    image_id: str
    digest: str


class ChunkFiles:
    """The cached chunks in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._fetching: dict[Path, asyncio.Task[bytes]] = {}

    async def get_chunk(self, of: CacheKey, number: int, fetch: Fetch, has_room: Allowed) -> bytes:
        """Return a chunk. If it is not cached, the first caller fetches it while the others wait.

        It is stored if `has_room` allows it before and after writing, so that an image deleted meanwhile
        stays deleted. Raises what `fetch` raises. A full or broken disk disables the cache, not the download.
        """
        path = self._path(of, number)
        kept = await in_thread(_read, path)
        if kept is not None:
            return kept
        fetching = self._fetching.get(path)
        if fetching is None:
            fetching = self._fetching[path] = asyncio.create_task(self._fill(path, fetch, has_room))
            fetching.add_done_callback(lambda done: self._discard_fetch(path, done))
        return await asyncio.shield(fetching)

    async def get_part(self, of: CacheKey, number: int, first: int, length: int) -> bytes | None:
        """Return a part of a chunk whose checksum the caller has verified; None if it is not cached."""
        return await in_thread(_read_part, self._path(of, number), first, length)

    @contextlib.asynccontextmanager
    async def fetch_lock(self, image_id: str) -> AsyncIterator[bool]:
        """Yield whether this process may fetch the whole image: no other of this node does so meanwhile."""
        path = self._folder / "fetching" / image_id
        try:
            lock = await in_thread(_lock_part, path)
        except OSError:  # a disk that cannot be written
            yield True
            return
        try:
            yield lock is not None
        finally:
            if lock is not None:
                await in_thread(_unlock, lock, path)

    async def has(self, of: CacheKey, size: int) -> bool:
        """Return whether every chunk of an image of `size` bytes is there."""
        return await in_thread(
            lambda: all(self._path(of, number).exists() for number in range(chunk_count(size)))
        )

    async def is_whole(self, of: CacheKey, size: int) -> bool:
        """Return whether the chunks together have the expected digest."""
        algorithm, _, value = of.digest.partition("-")
        found = hashlib.new(algorithm, usedforsecurity=False)
        for number in range(chunk_count(size)):
            data = await in_thread(_read, self._path(of, number))
            if data is None:
                return False
            await in_thread(found.update, data)
        return found.hexdigest() == value

    async def delete(self, of: CacheKey) -> None:
        """Delete the chunks of an image."""
        await in_thread(shutil.rmtree, self._path(of, 0).parent, ignore_errors=True)

    async def list_all(self) -> list[CacheKey]:
        """Return the keys of everything that is cached, complete or not."""
        return await in_thread(self._all)

    def _discard_fetch(self, path: Path, done: asyncio.Task[bytes]) -> None:
        self._fetching.pop(path, None)
        if not done.cancelled():
            done.exception()  # waiting callers get it; nobody may be waiting any more

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
            await asyncio.sleep(_PAUSE_SECONDS)  # another process of this node is fetching it
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

    def _path(self, of: CacheKey, number: int) -> Path:
        return self._folder / of.image_id[:2] / of.image_id / of.digest / str(number)

    def _all(self) -> list[CacheKey]:
        found = (path.relative_to(self._folder).parts for path in self._folder.glob("??/*/*"))
        return [CacheKey(parts[1], parts[2]) for parts in found]


def chunk_count(size: int) -> int:
    """Return the number of chunks of an image of `size` bytes."""
    return -(-size // CHUNK_BYTES)


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
    """Return the locked temporary file of a chunk; None while another process holds it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = Path(f"{path}.part")
    file = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(file).st_ino == part.stat().st_ino:  # its previous holder may have deleted it
            return file
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(file)
        raise
    os.close(file)
    return None


def _unlock(file: int, path: Path) -> None:
    """Delete the temporary file of a chunk unless it has been moved into place, and release its lock."""
    try:
        with contextlib.suppress(OSError):
            Path(f"{path}.part").unlink(missing_ok=True)
            path.parent.rmdir()  # fails if other chunks are there
    finally:
        os.close(file)


def _write(file: int, path: Path, data: bytes) -> None:
    os.ftruncate(file, 0)
    os.pwritev(file, [data, zlib.crc32(data).to_bytes(_CHECK)], 0)
    Path(f"{path}.part").rename(path)

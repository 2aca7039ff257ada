"""Blobs as files: written beside their place, synced, then moved there."""

import asyncio
import contextlib
import errno
import os
from collections.abc import AsyncIterator, Callable
from io import FileIO
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from tintype.blobs.base import Writer
from tintype.blobs.stream import in_thread
from tintype.errors import NotFound, OverLimit, Unavailable

_CHUNK: Final = 1 << 20
_PARTIAL: Final = "partial"
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

P = ParamSpec("P")
T = TypeVar("T")


class FilesystemStore:
    """Files under one folder, spread over 256 others by the first two letters of their key."""

    type = "file"

    def __init__(self, store_id: str, folder: Path) -> None:
        self.id = store_id
        self._folder = folder

    async def create(self, key: str) -> Writer:
        """Begin to write. Nothing is opened yet, so there is nothing to lose hold of."""
        return _FileWriter(self._folder / _PARTIAL / key, self._path(key))

    async def read(self, key: str, start: int, stop: int) -> AsyncIterator[bytes]:
        """Give the bytes a chunk at a time, one read ahead of the reader."""
        file = await _opened(self._path(key))
        ahead = _read_ahead(file, start, stop)
        try:
            while start < stop:
                chunk = await ahead
                if not chunk:
                    raise Unavailable(f"The stored bytes end at {start}, before {stop}.")
                start += len(chunk)
                ahead = _read_ahead(file, start, stop)
                yield chunk
        finally:
            await _ended(ahead)
            file.close()

    async def size(self, key: str) -> int | None:
        """Give the number of bytes, or None where there are none."""
        try:
            return (await _in_thread(os.stat, self._path(key))).st_size
        except NotFound:
            return None

    async def delete(self, key: str) -> None:
        """Delete the bytes, half-written ones too; well if there are none."""
        for path in (self._folder / _PARTIAL / key, self._path(key)):
            with contextlib.suppress(NotFound):
                await _in_thread(os.unlink, path)

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / key


class _FileWriter:
    def __init__(self, partial: Path, final: Path) -> None:
        self._partial, self._final = partial, final
        self._file = -1

    async def write(self, data: memoryview) -> None:
        """Append bytes."""
        await _in_thread(self._write, data)

    async def commit(self) -> None:
        """Sync and move; a crash in between leaves a file that `delete` finds."""
        await _in_thread(self._commit)

    async def abort(self) -> None:
        """Leave nothing behind."""
        await _in_thread(self._abort)

    def _open(self) -> int:
        if self._file < 0:
            self._partial.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self._partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        return self._file

    def _write(self, data: memoryview) -> None:
        _write_all(self._open(), data)

    def _commit(self) -> None:
        os.fsync(self._open())
        self._close()
        self._final.parent.mkdir(exist_ok=True)
        self._partial.rename(self._final)
        for folder in (self._final.parent, self._final.parent.parent):
            _sync_folder(folder)

    def _abort(self) -> None:
        self._close()
        self._partial.unlink(missing_ok=True)
        self._final.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


async def _opened(path: Path) -> FileIO:
    """Open a file; who is cancelled meanwhile leaves it closed."""
    opening = asyncio.create_task(_in_thread(FileIO, path))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        await asyncio.wait([opening])
        if opening.exception() is None:
            opening.result().close()
        raise


def _read_ahead(file: FileIO, start: int, stop: int) -> asyncio.Task[bytes]:
    return asyncio.create_task(_in_thread(os.pread, file.fileno(), min(_CHUNK, stop - start), start))


async def _ended(task: asyncio.Task[bytes]) -> None:
    """Wait until a read has let go of its file, whatever else happens to whoever waits."""
    task.cancel()
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([task])
    if not task.cancelled():
        task.exception()  # nobody wants what was read ahead, nor how that failed


def _write_all(file: int, data: memoryview) -> None:
    while data:
        data = data[os.write(file, data) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


async def _in_thread(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a blocking call beside the event loop; what the file system says comes back as meaning."""
    try:
        return await in_thread(call, *args, **kwargs)
    except FileNotFoundError as error:
        raise NotFound("The stored bytes are missing.") from error
    except OSError as error:
        if error.errno in _FULL:
            raise OverLimit(f"Image storage media is full: {error.strerror}.") from error
        raise Unavailable(f"The image store does not answer: {error.strerror}.", Retry_After="5") from error

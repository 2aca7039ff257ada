"""Blobs as files: written beside their place, synced, then moved there."""

import asyncio
import contextlib
import errno
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from tintype.blobs.base import Writer
from tintype.blobs.stream import in_thread
from tintype.errors import NotFound, OverLimit, TintypeError, Unavailable

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
        """Begin to write."""
        partial = self._folder / _PARTIAL / key
        return await _in_thread(_FileWriter, partial, self._path(key))

    async def read(self, key: str, start: int, stop: int) -> AsyncIterator[bytes]:
        """Give the bytes a chunk at a time, one read ahead of the reader."""
        file = await _in_thread(os.open, self._path(key), os.O_RDONLY | os.O_CLOEXEC)
        ahead: asyncio.Future[bytes] | None = None
        try:
            ahead = asyncio.ensure_future(_in_thread(os.pread, file, min(_CHUNK, stop - start), start))
            while start < stop:
                chunk = await ahead
                if not chunk:
                    raise Unavailable(f"The stored bytes end at {start}, before {stop}.")
                start += len(chunk)
                ahead = asyncio.ensure_future(_in_thread(os.pread, file, min(_CHUNK, stop - start), start))
                yield chunk
        finally:
            if ahead is not None:
                with contextlib.suppress(TintypeError):
                    await asyncio.shield(ahead)  # the descriptor must outlive the read
            os.close(file)

    async def size(self, key: str) -> int | None:
        """Give the number of bytes, or None where there are none."""
        try:
            return (await _in_thread(os.stat, self._path(key))).st_size
        except NotFound:
            return None

    async def delete(self, key: str) -> None:
        """Delete the bytes, half-written ones too; well if there are none."""
        for path in (self._path(key), self._folder / _PARTIAL / key):
            with contextlib.suppress(NotFound):
                await _in_thread(os.unlink, path)

    def keys(self) -> Iterator[str]:
        """Give every key, in no order."""
        for folder in self._folder.iterdir():
            if len(folder.name) == 2:
                yield from (file.name for file in folder.iterdir())

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / key


class _FileWriter:
    def __init__(self, partial: Path, final: Path) -> None:
        self._partial, self._final = partial, final
        partial.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    async def write(self, data: memoryview) -> None:
        """Append bytes."""
        await _in_thread(_write_all, self._file, data)

    async def commit(self) -> None:
        """Sync and move; a crash in between leaves a partial file that `delete` finds."""
        await _in_thread(self._commit)

    async def abort(self) -> None:
        """Leave nothing behind."""
        await _in_thread(self._abort)

    def _commit(self) -> None:
        os.fsync(self._file)
        os.close(self._file)
        self._file = -1
        self._final.parent.mkdir(exist_ok=True)
        self._partial.rename(self._final)
        for folder in (self._final.parent, self._final.parent.parent):
            _sync_folder(folder)

    def _abort(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        self._partial.unlink(missing_ok=True)
        self._final.unlink(missing_ok=True)


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

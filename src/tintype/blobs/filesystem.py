"""Blobs as files: written to a temporary file, synced, then moved into place."""

import asyncio
import contextlib
import errno
import fcntl
import os
from collections.abc import AsyncIterator, Callable
from io import FileIO
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

from tintype.blobs.base import Writer
from tintype.blobs.cancellation import wait_settled
from tintype.blobs.marks import MARK, folder_mark
from tintype.blobs.reading import LARGEST, read_ahead
from tintype.blobs.stream import in_thread
from tintype.domain.blobs import FOREIGN
from tintype.errors import Gone, NotFound, OverLimit, Unavailable

_PARTIAL: Final = "partial"
_PROBE: Final = ".tintype-probe"
"""The file that a check writes; always the same one, so that killed processes leave no others behind."""
_PAGE: Final = 4096
_DIRECT: Final = getattr(os, "O_DIRECT", 0)
"""Flag of Linux for direct writes that bypass the page cache; 0 elsewhere."""
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

P = ParamSpec("P")
T = TypeVar("T")


class FilesystemStore:
    """Files in 256 subfolders of one folder, named by the first two letters of their keys."""

    type = "file"

    def __init__(
        self, store_id: str, folder: Path, *, reserve: int = 0, accel_redirect: str | None = None
    ) -> None:
        """Create a store that leaves `reserve` bytes of the disk free.

        `accel_redirect` is the path under which a reverse proxy serves the folder.
        """
        self.id = store_id
        self._folder = folder
        self._reserve = reserve
        self._accel_redirect = accel_redirect
        self.modes = (0o600, 0o700) if accel_redirect is None else (0o640, 0o750)
        """Modes of files and of folders: a reverse proxy in the group may read them."""

    async def create(self, key: str, size: int | None) -> Writer:
        """Start writing; raises OverLimit if the disk has no room for that many bytes."""
        await self._require_space(size or 0)
        return _FileWriter(self, key, 0)

    async def resume(self, key: str, offset: int, size: int) -> "_FileWriter":
        """Continue writing at an offset, also after a commit that was not recorded."""
        await self._require_space(size - offset)
        writer = _FileWriter(self, key, offset)
        if offset:
            try:
                await self.run(writer.reopen)
            except NotFound:
                raise Gone("The data received so far no longer exists.") from None
        return writer

    async def read(self, key: str, start: int, stop: int) -> AsyncIterator[bytes]:
        """Yield the bytes in chunks, one of them read ahead."""
        file = await self._open_file(self.path(key))

        async def read(offset: int, length: int) -> bytes:
            return await self.run(os.pread, file.fileno(), length, offset)

        try:
            async with contextlib.aclosing(read_ahead(read, start, stop)) as chunks:
                async for chunk in chunks:
                    yield chunk
        finally:
            file.close()

    async def size(self, key: str) -> int | None:
        """Return the number of bytes, or None if there are none."""
        try:
            return (await self.run(os.stat, self.path(key))).st_size
        except NotFound:
            await self.run(self.check_mark)  # an unmounted folder has no files, but that proves nothing
            return None

    async def delete(self, key: str) -> None:
        """Delete the bytes, half-written ones too; succeed if there are none."""
        found = False
        for path in (self.partial(key), self.path(key)):
            with contextlib.suppress(NotFound):
                await self.run(_unlink, path)
                found = True
        if not found:
            await self.run(self.check_mark)

    async def keys(self) -> AsyncIterator[str]:
        """Yield the name of every file, one folder at a time."""
        for folder in await self.run(_names, self._folder):
            for name in await self.run(_names, self._folder / folder):
                if name != _PROBE:
                    yield name

    async def check(self) -> None:
        """Raise Unavailable if the folder is missing or cannot be written to."""
        await self.run(self._check_folder)

    async def close(self) -> None:
        """Do nothing: files are open only while they are used."""

    def internal_path(self, key: str) -> str | None:
        """Return the path for `X-Accel-Redirect`."""
        if self._accel_redirect is None:
            return None
        return f"{self._accel_redirect.rstrip('/')}/{_relative_path(key)}"

    async def properties(self) -> dict[str, Any]:
        """Return the folder, the size of one read, and that zeros are written, not left as holes."""
        return {"data_dir": str(self._folder.absolute()), "chunk_size": LARGEST, "thin_provisioning": False}

    async def url(self, key: str) -> str:
        """Return the URL of a file."""
        return f"file://{self.path(key).absolute()}"

    async def place(self, url: str) -> str | None:
        """Return None: no user may name a path on this host."""
        return None

    def path(self, key: str) -> Path:
        """Return the path of complete bytes."""
        return self._folder / _relative_path(key)

    def partial(self, key: str) -> Path:
        """Return the path of half-written bytes."""
        return self._folder / _PARTIAL / key

    def check_space(self, file: int, size: int) -> None:
        """Raise OverLimit if so many bytes would leave less than the reserve."""
        disk = os.fstatvfs(file)
        if size > disk.f_bavail * disk.f_frsize - self._reserve:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def check_mark(self) -> None:
        """Raise Unavailable if the folder has no mark, as when a disk or share is not mounted."""
        if folder_mark(self._folder) is None:
            raise self._absent()

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a blocking call in a thread; map errors of the file system to the service's errors."""
        try:
            return await in_thread(call, *args, **kwargs)
        except FileNotFoundError as error:
            raise NotFound("The stored bytes are missing.") from error
        except OSError as error:
            if error.errno in _FULL:
                raise OverLimit(f"Image storage media is full: {error.strerror}.") from error
            raise self._unavailable(f"cannot use its folder: {error.strerror}") from error

    def _unavailable(self, what: str) -> Unavailable:
        failure = Unavailable(f"The store '{self.id}' {what}.", retry_after=5)
        failure.add_note(f"folder {self._folder}")
        return failure

    def _absent(self) -> Unavailable:
        failure = Unavailable(
            f"The folder of the store '{self.id}' is missing or not mounted.", retry_after=5
        )
        failure.add_note(f"{self._folder} has no {MARK}: is it mounted?")
        return failure

    def _check_folder(self) -> None:
        """Raise Unavailable if the folder is another store's, or cannot be written to.

        A file is written and deleted: modes and mount options do not tell for sure.
        """
        self.check_mark()
        for folder in (self._folder, self._folder / _PARTIAL):
            there = folder.exists()
            if there and not (folder.is_dir() and os.access(folder, os.R_OK | os.W_OK | os.X_OK)):
                failure = self._unavailable("cannot write to its folder")
                failure.add_note(f"the service runs as user id {os.geteuid()}")
                raise failure
            if there:
                _write_probe(folder / _PROBE)

    async def _open_file(self, path: Path) -> FileIO:
        """Open a file; close it again on cancellation."""
        opening = asyncio.create_task(self.run(_open_to_read, path))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            await wait_settled(opening)
            if not opening.cancelled() and opening.exception() is None:
                opening.result().close()
            raise

    async def _require_space(self, size: int) -> None:
        try:
            await self.run(self._check_space, size)
        except NotFound as error:
            raise self._absent() from error

    def _check_space(self, size: int) -> None:
        """Raise OverLimit if there is no room; fail if the folder has no mark, as when it is not mounted."""
        (self._folder / MARK).stat()
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self.check_space(folder, size)
        finally:
            os.close(folder)


class _FileWriter:
    def __init__(self, store: FilesystemStore, key: str, offset: int) -> None:
        self._store = store
        self._partial, self._final = store.partial(key), store.path(key)
        self._offset = offset
        self._file = -1
        self._direct = True

    async def write(self, data: memoryview) -> None:
        """Append bytes."""
        await self._store.run(self._write, data)

    async def flush(self) -> None:
        """Sync the bytes written so far."""
        if self._file >= 0:
            await self._store.run(os.fdatasync, self._file)

    async def commit(self) -> None:
        """Sync the file and move it into place; after a crash in between, `delete` and `resume` find it."""
        try:
            await self._store.run(self._commit)
        except NotFound:
            await self._store.run(self._store.check_mark)
            raise

    async def close(self) -> None:
        """Close the file."""
        await self._store.run(self._close)

    def reopen(self) -> None:
        """Open the bytes written before, and drop those after the offset."""
        try:
            self._file = _open_locked(self._partial)
        except FileNotFoundError:
            self._final.rename(self._partial)
            self._file = _open_locked(self._partial)
        if os.fstat(self._file).st_size < self._offset:
            self._close()
            raise FileNotFoundError(errno.ENOENT, "too short", str(self._partial))
        os.ftruncate(self._file, self._offset)
        os.lseek(self._file, self._offset, os.SEEK_SET)

    def _open(self) -> int:
        if self._file < 0:
            self._partial.parent.mkdir(exist_ok=True)
            self._file = _open_locked(self._partial, os.O_CREAT)
            os.ftruncate(self._file, 0)
            os.fchmod(self._file, self._store.modes[0])  # regardless of the umask
        return self._file

    def _write(self, data: memoryview) -> None:
        file = self._open()
        self._store.check_space(file, len(data))
        while data:
            written = self._write_some(file, data)
            self._offset += written
            data = data[written:]

    def _write_some(self, file: int, data: memoryview) -> int:
        """Write whole pages directly to the disk, if possible, and the rest through the page cache.

        An upload is not read back: the page cache would cost a copy and a long sync at the end, and would
        evict what others read.
        """
        whole = 0 if self._offset % _PAGE else len(data) // _PAGE * _PAGE
        if whole and self._direct:
            try:
                fcntl.fcntl(file, fcntl.F_SETFL, _DIRECT)
                return os.write(file, data[:whole])
            except OSError as error:
                if error.errno != errno.EINVAL:  # errors of file systems without support
                    raise
                self._direct = False
        fcntl.fcntl(file, fcntl.F_SETFL, 0)
        return os.write(file, data)

    def _commit(self) -> None:
        os.fsync(self._open())
        self._close()
        if not self._final.parent.exists():
            self._final.parent.mkdir(exist_ok=True)
            self._final.parent.chmod(self._store.modes[1])
        self._partial.rename(self._final)
        for folder in (self._final.parent, self._final.parent.parent):
            _sync_folder(folder)

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _write_probe(path: Path) -> None:
    """Write a file and delete it; another process may do the same, or another user's may have left one."""
    path.unlink(missing_ok=True)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(file, b"\n")
    finally:
        os.close(file)
        path.unlink(missing_ok=True)


def _open_to_read(path: Path) -> FileIO:
    """Open a file for sequential reading, for which the system reads further ahead."""
    file = FileIO(path)
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
    return file


def _open_locked(path: Path, flags: int = 0) -> int:
    """Open a file exclusively; raises BlockingIOError while another writer has it open.

    The lock ends with its process. A stalled request that has lost its upload without knowing it must not
    write between the bytes of its successor.
    """
    file = os.open(path, os.O_WRONLY | os.O_CLOEXEC | flags, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(file)
        raise
    return file


def _relative_path(key: str) -> str:
    """Return the path of complete bytes relative to the folder; external files are directly in it."""
    return key.removeprefix(FOREIGN) if key.startswith(FOREIGN) else f"{key[:2]}/{key}"


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()] if folder.is_dir() else []


def _unlink(path: Path) -> None:
    """Delete a file durably: after a power failure it must not reappear without its row."""
    path.unlink()
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

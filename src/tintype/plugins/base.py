"""Import plugins, which process bytes between their source and the stores.

A third-party plugin is an entry point of the group `tintype.import_plugins`, named as in
`imports.plugins`: a callable without arguments that returns a `Plugin`.
"""

import contextlib
import fcntl
import os
import shutil
import uuid
from collections.abc import AsyncIterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final, Protocol

import msgspec

from tintype.blobs.reading import closing
from tintype.blobs.stream import in_thread
from tintype.errors import OverLimit, StartError

GROUP: Final = "tintype.import_plugins"
_CHUNK: Final = 1 << 20
_RESERVE: Final = 256 << 20
"""Bytes of the disk that are left free."""


class Subject(msgspec.Struct):
    """The imported image, as a plugin may read and change it."""

    image_id: str
    disk_format: str
    container_format: str
    properties: dict[str, str]
    roles: frozenset[str]
    """The roles of the caller who requested the import."""


class Stream(msgspec.Struct, frozen=True):
    """A stream of bytes, and its size if it is known."""

    chunks: AsyncIterator[bytes]
    size: int | None


class Plugin(Protocol):
    """A step of an import."""

    async def apply(self, subject: Subject, stream: Stream, scratch: Path) -> Stream:
        """Return the processed stream. `scratch` is a folder of this import, deleted afterwards.

        Raises UnsupportedMedia or Invalid for rejected bytes, OverLimit for too many.
        """


def load_plugin(name: str) -> Plugin:
    """Return a third-party plugin by its name; raises StartError if it is not installed."""
    found = entry_points(group=GROUP, name=name)
    if not found:
        there = sorted({"inject", "decompress", "convert", *entry_points(group=GROUP).names})
        raise StartError(f"There is no import plugin '{name}'. There are: {', '.join(there)}.")
    try:
        plugin: Plugin = next(iter(found)).load()()
    except Exception as error:
        said = next(iter(str(error).splitlines()), "")
        raise StartError(
            f"The import plugin '{name}' does not load: {type(error).__name__}: {said}."
        ) from error
    return plugin


@contextlib.asynccontextmanager
async def create_scratch(folder: Path) -> AsyncIterator[Path]:
    """Yield a new folder for temporary files, and delete it afterwards; delete those of dead processes."""
    mine, lock = await in_thread(_make_scratch, folder)
    try:
        yield mine
    finally:
        await in_thread(_delete_scratch, mine, lock)


def _make_scratch(folder: Path) -> tuple[Path, int]:
    """Create a folder with a locked file beside it: the lock shows that the process is alive."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for lock_file in folder.glob("*.lock"):
        _delete_abandoned(lock_file)
    while True:
        mine = folder / str(uuid.uuid4())
        lock_file = mine.with_suffix(".lock")
        lock = os.open(lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if lock_file.exists():  # no other process took it for abandoned meanwhile
            mine.mkdir(mode=0o700)
            return mine, lock
        os.close(lock)


def _delete_scratch(mine: Path, lock: int) -> None:
    shutil.rmtree(mine, ignore_errors=True)
    mine.with_suffix(".lock").unlink(missing_ok=True)
    os.close(lock)


def _delete_abandoned(lock_file: Path) -> None:
    with contextlib.suppress(OSError):  # another process deletes it or holds it
        lock = os.open(lock_file, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock_file.with_suffix(""), ignore_errors=True)
            lock_file.unlink(missing_ok=True)
        finally:
            os.close(lock)


async def read_file(path: Path) -> AsyncIterator[bytes]:
    """Yield the bytes of a local file."""
    file = await in_thread(path.open, "rb", buffering=0)
    try:
        while chunk := await in_thread(file.read, _CHUNK):
            yield chunk
    finally:
        file.close()


async def write_file(stream: Stream, path: Path) -> int:
    """Write a stream to a local file; return its size in bytes. Raises OverLimit if there is no room."""
    size = 0
    file = await in_thread(path.open, "wb", buffering=0)
    try:
        async with closing(stream.chunks) as chunks:
            async for chunk in chunks:
                await in_thread(write_scratch, file.fileno(), memoryview(chunk))
                size += len(chunk)
    finally:
        file.close()
    return size


def available_scratch(folder: Path) -> int:
    """Return the number of bytes that temporary files may use."""
    return max(0, shutil.disk_usage(folder).free - _RESERVE)


def write_scratch(file: int, data: memoryview) -> None:
    """Write all data; raises OverLimit if less than the reserve would be left on the disk."""
    disk = os.fstatvfs(file)
    if disk.f_bavail * disk.f_frsize < len(data) + _RESERVE:
        raise OverLimit(
            "There is no space to process the image: the disk of imports.scratch would have less than "
            f"{_RESERVE >> 20} MiB free."
        )
    try:
        while data:
            data = data[os.write(file, data) :]
    except OSError as error:
        raise OverLimit(f"Writing to the folder imports.scratch failed: {error.strerror}.") from error

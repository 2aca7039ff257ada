"""What may happen to bytes between their source and the stores: plugins of imports, ours and others'.

A plugin of others is an entry point of the group `tintype.import_plugins`, named as in
`imports.plugins`: a callable that takes no arguments and gives a `Plugin`.
"""

import contextlib
import fcntl
import os
import shutil
import uuid
from collections.abc import AsyncIterator, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final, Protocol

import msgspec

from tintype.blobs.stream import closing, in_thread
from tintype.errors import StartError

GROUP: Final = "tintype.import_plugins"
_LOCK: Final = "lock"
_CHUNK: Final = 1 << 20


class Subject(msgspec.Struct):
    """The image that is imported, as a plugin may see and change it."""

    image_id: str
    disk_format: str
    container_format: str
    properties: dict[str, str]
    roles: frozenset[str]
    """Of who asked for the import."""


class Stream(msgspec.Struct, frozen=True):
    """Bytes on their way, and how many there are where that is known."""

    chunks: AsyncIterator[bytes]
    size: int | None


class Plugin(Protocol):
    """A step of an import."""

    async def apply(self, subject: Subject, stream: Stream, scratch: Path) -> Stream:
        """Give the bytes that go on. `scratch` is a folder of the import's own, empty afterwards.

        Raises UnsupportedMedia or Invalid for bytes that are not taken, OverLimit for too many.
        """


def others(name: str) -> Plugin:
    """Give a plugin of others by its name; raises StartError where none is installed."""
    found = entry_points(group=GROUP, name=name)
    if not found:
        raise StartError(f"There is no import plugin '{name}'.")
    plugin: Plugin = next(iter(found)).load()()
    return plugin


@contextlib.contextmanager
def scratch_in(folder: Path) -> Iterator[Path]:
    """Give a folder for files in between, gone afterwards; what a dead process has left goes, too."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for other in folder.iterdir():
        _delete_abandoned(other)
    mine = folder / str(uuid.uuid4())
    mine.mkdir(mode=0o700)
    lock = os.open(mine / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield mine
    finally:
        shutil.rmtree(mine, ignore_errors=True)
        os.close(lock)


def _delete_abandoned(folder: Path) -> None:
    """Delete a folder whose process has ended, and its lock with it."""
    with contextlib.suppress(OSError):
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)


async def of_file(path: Path) -> AsyncIterator[bytes]:
    """Give the bytes of a local file."""
    file = await in_thread(path.open, "rb", buffering=0)
    try:
        while chunk := await in_thread(file.read, _CHUNK):
            yield chunk
    finally:
        file.close()


async def to_file(stream: Stream, path: Path) -> int:
    """Write bytes to a local file; give how many there were."""
    size = 0
    file = await in_thread(path.open, "wb", buffering=0)
    try:
        async with closing(stream.chunks) as chunks:
            async for chunk in chunks:
                await in_thread(_write, file.fileno(), chunk)
                size += len(chunk)
    finally:
        file.close()
    return size


def _write(file: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]

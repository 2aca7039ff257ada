"""Spools files of forms whose fields come after the file, in the scratch folder, within limits."""

import contextlib
import os
import shutil
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO, Final

from tintype.blobs.pace import Pace, paced
from tintype.blobs.stream import in_thread
from tintype.errors import OverLimit, TintypeError, TooSlow, Unavailable
from tintype.plugins.base import create_scratch

_CHUNK: Final = 1 << 20
_MIN_RATE: Final = 64 << 10
"""Bytes per second over a minute: a slower file could occupy the spool for days."""
_ALONE: Final = "Send the fields of the form before the file, or the file by itself."


class Spool:
    """The spooled files of this process."""

    def __init__(self, folder: Path, *, most: int, reserve: int) -> None:
        """Store at most `most` bytes, half of them for one project; keep `reserve` bytes of the disk free."""
        self._folder = folder
        self._most = most
        self._reserve = reserve
        self._used: Counter[str] = Counter()

    @contextlib.asynccontextmanager
    async def store(
        self, chunks: AsyncIterator[bytes], owner: str, room: int
    ) -> AsyncIterator[tuple[AsyncIterator[bytes], int]]:
        """Store all the bytes; yield an iterator over them and their count.

        `room` is what is left of the project's quota. Raises OverLimit if the bytes exceed it or the limits
        of the spool, Unavailable if other forms fill the spool, TooSlow if the bytes arrive too slowly.
        """
        size = 0
        try:
            async with create_scratch(self._folder) as scratch:
                with (scratch / "file").open("w+b", buffering=0) as file:
                    async for piece in _gathered(paced(chunks, Pace(_MIN_RATE, _refuse))):
                        size += len(piece)
                        self._reserve_room(owner, len(piece), room)
                        await in_thread(self._write, file, piece)
                    yield _pieces(file), size
        finally:
            self._used[owner] -= size
            if self._used[owner] <= 0:
                del self._used[owner]

    def _reserve_room(self, owner: str, count: int, room: int) -> None:
        """Reserve room for bytes before they are written; raises OverLimit, Unavailable."""
        self._used[owner] += count
        if self._used[owner] > room:
            raise OverLimit("The project's quota is used up: image_size_total has no room for the file.")
        if self._used[owner] > self._most // 2:
            raise OverLimit(
                f"Files of a project that wait for their forms may have {self._most // 2} bytes, half of "
                f"server.form_spool_limit. {_ALONE}"
            )
        if self._used.total() > self._most:
            raise Unavailable(f"Too many forms are being read. {_ALONE}", retry_after=30)

    def _write(self, file: BinaryIO, piece: bytes) -> None:
        if len(piece) > shutil.disk_usage(self._folder).free - self._reserve:
            raise OverLimit(f"There is no space for a form of this size. {_ALONE}")
        rest = memoryview(piece)
        try:
            while rest:
                rest = rest[os.write(file.fileno(), rest) :]
        except OSError:
            raise OverLimit(f"There is no space for a form of this size. {_ALONE}") from None


def _refuse(measured: str) -> TintypeError:
    return TooSlow(f"The form is too slow: it brought {measured}. {_ALONE}", closes=True)


async def _gathered(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the same bytes in chunks large enough to write in a thread."""
    piece = bytearray()
    async for chunk in chunks:
        piece += chunk
        if len(piece) >= _CHUNK:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)


async def _pieces(file: BinaryIO) -> AsyncIterator[bytes]:
    offset = 0
    while piece := await in_thread(os.pread, file.fileno(), _CHUNK, offset):
        offset += len(piece)
        yield piece

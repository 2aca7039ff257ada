"""A spool for files of forms whose fields come after the file: in the scratch folder, within bounds."""

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

_PIECE: Final = 1 << 20
_MIN_RATE: Final = 64 << 10
"""Bytes per second over a minute: a file that comes more slowly would hold room in the spool for days."""
_ALONE: Final = "Send the fields of the form before the file, or the file by itself."


class Spool:
    """The spooled files of this process."""

    def __init__(self, folder: Path, *, most: int, reserve: int) -> None:
        """Hold at most `most` bytes, half of them for one project; keep `reserve` bytes of the disk free."""
        self._folder = folder
        self._most = most
        self._reserve = reserve
        self._held: Counter[str] = Counter()

    @contextlib.asynccontextmanager
    async def keep(
        self, chunks: AsyncIterator[bytes], owner: str, room: int
    ) -> AsyncIterator[tuple[AsyncIterator[bytes], int]]:
        """Store all the bytes; yield an iterator over them and their count.

        `room` is what the quota of the project has left. Raises OverLimit where they are too many for it or
        for the bounds of the spool, Unavailable where others fill it, TooSlow where they come too slowly.
        """
        size = 0
        try:
            async with create_scratch(self._folder) as scratch:
                with (scratch / "file").open("w+b", buffering=0) as file:
                    async for piece in _gathered(paced(chunks, Pace(_MIN_RATE, _refuse))):
                        size += len(piece)
                        self._take(owner, len(piece), room)
                        await in_thread(self._write, file, piece)
                    yield _pieces(file), size
        finally:
            self._held[owner] -= size
            if self._held[owner] <= 0:
                del self._held[owner]

    def _take(self, owner: str, count: int, room: int) -> None:
        """Count bytes before they are written."""
        self._held[owner] += count
        if self._held[owner] > room:
            raise OverLimit("The project's quota is used up: image_size_total has no room for the file.")
        if self._held[owner] > self._most // 2:
            raise OverLimit(
                f"Files of a project that wait for their forms may have {self._most // 2} bytes, half of "
                f"server.form_spool_limit. {_ALONE}"
            )
        if self._held.total() > self._most:
            raise Unavailable(f"Too many forms are being read. {_ALONE}", retry_after=30)

    def _write(self, file: BinaryIO, piece: bytes) -> None:
        if len(piece) > shutil.disk_usage(self._folder).free - self._reserve:
            raise OverLimit(f"There is no room for a form of this size. {_ALONE}")
        rest = memoryview(piece)
        try:
            while rest:
                rest = rest[os.write(file.fileno(), rest) :]
        except OSError:
            raise OverLimit(f"There is no room for a form of this size. {_ALONE}") from None


def _refuse(measured: str) -> TintypeError:
    return TooSlow(f"The form is too slow: it brought {measured}. {_ALONE}", closes=True)


async def _gathered(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Return the same bytes in pieces large enough to be written in a thread."""
    piece = bytearray()
    async for chunk in chunks:
        piece += chunk
        if len(piece) >= _PIECE:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)


async def _pieces(file: BinaryIO) -> AsyncIterator[bytes]:
    offset = 0
    while piece := await in_thread(os.pread, file.fileno(), _PIECE, offset):
        offset += len(piece)
        yield piece

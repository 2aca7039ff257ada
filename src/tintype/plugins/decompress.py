"""Decompresses imports: gzip, xz, zstd, bzip2, and zip with one file in it.

The output is bounded at each step, and in total by the size limit of images and a ratio: a decompression bomb
is rejected on the way.
"""

import bz2
import io
import lzma
import sys
import zipfile
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol

from tintype.blobs.reading import closing
from tintype.blobs.stream import in_thread
from tintype.errors import Invalid, OverLimit
from tintype.plugins.base import Stream, Subject, write_file

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_STEP: Final = 1 << 20
_MEMORY: Final = 80 << 20
"""Memory in bytes that xz may use: `xz -9` needs 65 MiB."""
_WINDOW_LOG: Final = 27
"""For zstd: 128 MiB of memory, the default of its own command."""
_FREE: Final = 1 << 30
"""Output in bytes that is allowed regardless of the input's size."""
_ZIP: Final = b"PK\x03\x04"
_END: Final = b"PK\x05\x06"
_LOCATOR: Final = b"PK\x06\x07"
_TAIL: Final = (64 << 10) + 42
"""Bytes that contain an archive's end record, and the locator of the 64-bit record before it."""
_TABLE: Final = 64 << 10
"""Maximum size in bytes of the central directory of an archive with one file."""
_BROKEN: Final = (
    zlib.error,
    lzma.LZMAError,
    zstd.ZstdError,
    EOFError,
    OSError,
    zipfile.BadZipFile,
    ValueError,
)


class Unpacker(Protocol):
    """The interface of the standard library: bytes in, at most `max_length` bytes out."""

    eof: bool
    needs_input: bool
    unused_data: bytes

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Return the output of some input; call it with empty input until it needs more."""


class _Gzip:
    """zlib's decompressor with the interface of the others."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)
        self.eof = False
        self.needs_input = True
        self.unused_data = b""

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        out = self._inner.decompress(self._inner.unconsumed_tail + data, max_length)
        self.eof, self.unused_data = self._inner.eof, self._inner.unused_data
        self.needs_input = not self._inner.unconsumed_tail and len(out) < max_length
        return out


def _xz() -> Any:
    return lzma.LZMADecompressor(memlimit=_MEMORY)


def _zstd() -> Any:
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG})


KINDS: Final[Mapping[bytes, Callable[[], Any]]] = {
    b"\x1f\x8b\x08": _Gzip,
    b"\xfd7zXZ\x00": _xz,
    b"\x28\xb5\x2f\xfd": _zstd,
    b"BZh": bz2.BZ2Decompressor,
}
_NAMES: Final = {_Gzip: "gzip", _xz: "xz", _zstd: "zstd", bz2.BZ2Decompressor: "bzip2"}
_LONGEST: Final = max(map(len, (*KINDS, _ZIP)))


class Decompress:
    """Decompresses what the first bytes identify; anything else, and `compressed`, passes unchanged."""

    def __init__(self, limit: int, ratio: int) -> None:
        """Create it. The output is at most `limit` bytes, and after the first GiB `ratio` times the input."""
        self._limit = limit
        self._ratio = ratio

    async def apply(self, subject: Subject, stream: Stream, scratch: Path) -> Stream:
        """Return the decompressed stream, whose size is not known in advance."""
        if subject.container_format == "compressed":
            return stream
        head, chunks = await _peek(stream.chunks)
        if head.startswith(_ZIP):
            return Stream(self._unzipped(Stream(chunks, stream.size), scratch), None)
        kind = next((make for magic, make in KINDS.items() if head.startswith(magic)), None)
        if kind is None:
            return Stream(chunks, stream.size)
        return Stream(self._unpacked(chunks, kind), None)

    async def _unpacked(
        self, chunks: AsyncIterator[bytes], kind: Callable[[], Unpacker]
    ) -> AsyncIterator[bytes]:
        """Decompress concatenated streams, as the commands do."""
        taken = given = 0
        unpacker: Unpacker | None = None
        async with closing(chunks):
            async for chunk in chunks:
                taken += len(chunk)
                if unpacker is None and taken > len(chunk) and not chunk.strip(b"\0"):
                    continue  # padding is not another stream
                rest, more = chunk, True
                while more:
                    unpacker = unpacker or kind()
                    try:
                        out = await in_thread(unpacker.decompress, rest, _STEP)
                    except _BROKEN as error:
                        raise _broken(_NAMES[kind], error) from None
                    given += len(out)
                    self._check(taken, given)
                    if out:
                        yield out
                    more, rest = not unpacker.needs_input, b""
                    if unpacker.eof:
                        rest, unpacker = unpacker.unused_data, None
                        more = bool(rest.strip(b"\0"))
        if unpacker is not None:
            raise Invalid(f"The image cannot be unpacked: its {_NAMES[kind]} data ends after {taken} bytes.")

    async def _unzipped(self, stream: Stream, scratch: Path) -> AsyncIterator[bytes]:
        """Decompress the only member of an archive, whose central directory is at the end."""
        packed = scratch / "packed.zip"
        taken, given = await write_file(stream, packed), 0
        archive: zipfile.ZipFile | None = None
        try:
            opened, member = await in_thread(_only_member, packed)
            archive = opened
            with await in_thread(opened.open, member) as file:
                while out := await in_thread(file.read, _STEP):
                    given += len(out)
                    self._check(taken, given)
                    yield out
        except (*_BROKEN, RuntimeError) as error:  # also for passwords and unsupported methods
            raise _broken("zip", error) from None
        finally:
            if archive is not None:
                archive.close()
            await in_thread(packed.unlink, missing_ok=True)

    def _check(self, taken: int, given: int) -> None:
        if given > self._limit:
            raise OverLimit(f"The unpacked image exceeds the limit of {self._limit} bytes.")
        if given > max(_FREE, taken * self._ratio):
            raise OverLimit(
                f"The image unpacks to more than {self._ratio} times its size (imports.decompression_ratio)."
            )


def _broken(kind: str, error: Exception) -> Invalid:
    """Return why data cannot be decompressed, without paths and names from the library's text."""
    said = str(error).lower()
    if "memory" in said:
        most = _MEMORY if kind == "xz" else 1 << _WINDOW_LOG
        reason = (
            f"its {kind} data needs more than {most >> 20} MiB of memory to unpack; pack it in a lower level"
        )
    elif "encrypted" in said or "password" in said:
        reason = f"its {kind} data is encrypted"
    elif isinstance(error, OSError) and error.errno is not None:
        reason = f"reading it failed: {error.strerror}"
    elif isinstance(error, EOFError):
        reason = f"its {kind} data ends early"
    else:
        reason = f"its {kind} data is damaged"
    return Invalid(f"The image cannot be unpacked: {reason}.")


def _only_member(path: Path) -> tuple[zipfile.ZipFile, zipfile.ZipInfo]:
    """Open the only file of an archive, whose central directory must be small.

    Only methods that are decompressed in steps are accepted: with the others, the library decompresses all
    of what one read returns, however large that becomes.
    """
    with path.open("rb") as file:
        if _table_size(file) > _TABLE:
            raise Invalid("The image cannot be unpacked: a zip archive must contain one file, the image.")
    archive = zipfile.ZipFile(path)
    members = [each for each in archive.infolist() if not each.is_dir()]
    if len(members) != 1 or members[0].compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        archive.close()
        raise Invalid(
            "The image cannot be unpacked: a zip archive must contain one file, the image, "
            "stored or deflated."
        )
    return archive, members[0]


def _table_size(file: BinaryIO) -> int:
    """Return the size in bytes of an archive's central directory (APPNOTE 4.3.16, 4.3.14)."""
    length = file.seek(0, io.SEEK_END)
    file.seek(max(0, length - _TAIL))
    tail = file.read(_TAIL)
    at = tail.rfind(_END)
    if at < 0 or len(tail) < at + 22:
        raise zipfile.BadZipFile("its table is not there")
    size = int.from_bytes(tail[at + 12 : at + 16], "little")
    if size != 0xFFFFFFFF or tail[at - 20 : at - 16] != _LOCATOR:
        return size
    file.seek(int.from_bytes(tail[at - 12 : at - 4], "little"))
    return int.from_bytes(file.read(48)[40:], "little")


async def _peek(chunks: AsyncIterator[bytes]) -> tuple[bytes, AsyncIterator[bytes]]:
    """Return the first bytes, and an iterator over all of them."""
    first = b""
    while len(first) < _LONGEST:
        chunk = await anext(chunks, None)
        if chunk is None:
            break
        first += chunk

    async def whole() -> AsyncIterator[bytes]:
        async with closing(chunks):
            yield first
            async for chunk in chunks:
                yield chunk

    return first[:_LONGEST], whole()

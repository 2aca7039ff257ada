"""Detects the `disk_format` of a file for its owner. The server inspects the data more closely."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Final

from tintype.client.files import PIECE, Source

_MAGIC: Final = (
    (0, b"QFI\xfb", "qcow2"),
    (0, b"KDMV", "vmdk"),
    (0, b"# Disk DescriptorFile", "vmdk"),
    (0, b"COWD", "vmdk"),
    (0, b"vhdxfile", "vhdx"),
    (0, b"conectix", "vhd"),
    (0x40, b"\x7f\x10\xda\xbe", "vdi"),
    (0x8001, b"CD001", "iso"),
)
_ENDINGS: Final = {
    ".iso": "iso",
    ".qcow2": "qcow2",
    ".vmdk": "vmdk",
    ".vhd": "vhd",
    ".vhdx": "vhdx",
    ".vdi": "vdi",
}
_COMPRESSED: Final = frozenset({".gz", ".xz", ".bz2", ".zst", ".zip"})
HEAD: Final = 68 << 10
"""Bytes that identify the format; those of an ISO come last, after a reserved area of 32 KiB."""
_FOOTER: Final = 512


def disk_format(path: str | os.PathLike[str]) -> str:
    """Return the `disk_format` of a file, or raw.

    It is detected from the first bytes, or the footer of a fixed VHD; if they are zeros, from the extension.
    """
    path = Path(path)
    with path.open("rb") as file:
        head = file.read(HEAD)
        tail = b""
        if file.seekable():
            file.seek(-min(_FOOTER, file.seek(0, os.SEEK_END)), os.SEEK_END)
            tail = file.read(_FOOTER)
    found = format_of(head)
    if found == "raw" and tail.startswith(b"conectix"):  # a fixed VHD
        return "vhd"
    return _ENDINGS.get(path.suffix.lower(), "raw") if found == "raw" and not head.strip(b"\0") else found


def format_of(head: bytes) -> str:
    """Return the `disk_format` of data with this beginning; raw if it is unknown."""
    for start, magic, name in _MAGIC:
        if head[start : start + len(magic)] == magic:
            return name
    return "raw"


def format_of_name(name: str) -> str | None:
    """Return the `disk_format` for a name's extension, before any extension for compression."""
    path = PurePosixPath(name.lower())
    if path.suffix in _COMPRESSED:
        path = path.with_suffix("")
    return "raw" if path.suffix == ".raw" else _ENDINGS.get(path.suffix)


def read_head(stream: IO[bytes]) -> tuple[bytes, IO[bytes] | Iterable[bytes]]:
    """Read enough bytes to detect the format, however small the reads from a pipe are.

    Return these bytes, and a source of all bytes: the stream itself if it can be read again.
    """
    start = stream.tell() if stream.seekable() else None
    pieces, size = [], 0
    while size < HEAD and (piece := stream.read(HEAD - size)):
        pieces.append(piece)
        size += len(piece)
    head = b"".join(pieces)
    if start is not None:
        stream.seek(start)
        return head, stream
    return head, _joined(head, stream)


def _joined(head: bytes, stream: IO[bytes]) -> Iterator[bytes]:
    if head:
        yield head
    while piece := stream.read(PIECE):
        yield piece


def label(path: Path) -> str:
    """Return the label under which this file would be uploaded."""
    source = Source(path)
    try:
        return source.label
    finally:
        source.close()

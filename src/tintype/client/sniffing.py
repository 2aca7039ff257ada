"""What a file of a disk looks like: enough to say `disk_format` for its owner. The server looks closer."""

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
"""Bytes that tell the format: those of an ISO are the last, behind 32 KiB that belong to nobody."""
_FOOTER: Final = 512


def disk_format(path: str | os.PathLike[str]) -> str:
    """Return the `disk_format` of a file, or raw.

    Its first bytes tell, or the footer of a fixed VHD; where they are zeros, the ending of its name does.
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
    """Give the `disk_format` of what begins so; raw where nothing says more."""
    for start, magic, name in _MAGIC:
        if head[start : start + len(magic)] == magic:
            return name
    return "raw"


def format_of_name(name: str) -> str | None:
    """Return the `disk_format` that the ending of a name says, behind that of a compression if any."""
    path = PurePosixPath(name.lower())
    if path.suffix in _COMPRESSED:
        path = path.with_suffix("")
    return "raw" if path.suffix == ".raw" else _ENDINGS.get(path.suffix)


def read_head(stream: IO[bytes]) -> tuple[bytes, IO[bytes] | Iterable[bytes]]:
    """Read as far as the format needs, however small the pieces are in which a pipe gives its bytes.

    Return these bytes, and what all bytes can be sent from: the stream where it can be read again.
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
    """Give the label under which this file would be uploaded."""
    source = Source(path)
    try:
        return source.label
    finally:
        source.close()

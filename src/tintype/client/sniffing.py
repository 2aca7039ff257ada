"""What a file of a disk looks like: enough to say `disk_format` for its owner. The server looks closer."""

import os
from pathlib import Path
from typing import Final

from tintype.client.files import Source

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
_HEAD: Final = 0x8006
_FOOTER: Final = 512


def disk_format(path: str | os.PathLike[str]) -> str:
    """Return the `disk_format` of a file, or raw.

    Its first bytes tell, or the footer of a fixed VHD; where they are zeros, the ending of its name does.
    """
    path = Path(path)
    with path.open("rb") as file:
        head = file.read(_HEAD)
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


def label(path: Path) -> str:
    """Give the label under which this file would be uploaded."""
    source = Source(path)
    try:
        return source.label
    finally:
        source.close()

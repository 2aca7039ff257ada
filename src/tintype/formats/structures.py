"""Structures of qcow2, VHD, VHDX and VDI that refer to other files, or that readers interpret differently."""

import struct
import uuid
from typing import Final, NamedTuple

SECTOR: Final = 512
FIXED, DYNAMIC = 2, 3
"""Types of self-contained VHDs; any other type has a parent, or is reserved."""
_PARENT_LOCATOR: Final = uuid.UUID("a8d35f2d-b30b-454d-abf7-d3d84834ab0c").bytes_le
"""The metadata item of a VHDX that names its parent (MS-VHDX 2.6.2.6)."""
_METADATA: Final = uuid.UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e").bytes_le
"""The region of a VHDX that contains its metadata."""
_ITEM: Final = 32
"""Size in bytes of each metadata item of a VHDX, of the header before them, and of each region's entry."""
_REGIONS: Final = 16
"""The offset of the entries in a region table."""
HEADERS: Final = (64 << 10, 128 << 10)
"""The offsets of the two headers of a VHDX, of which the newest valid one counts."""
_HEADER: Final = 4096
_CASTAGNOLI: Final = 0x82F63B78
"""The polynomial of CRC-32C, reflected."""
_VDI_TYPES: Final = (1, 2)
"""Dynamic and static; others are differencing disks."""


class Footer(NamedTuple):
    """The footer of a VHD, or its copy at the start of one that is not fixed."""

    kind: int
    size: int
    sound: bool
    """Whether its checksum is correct."""


def vhd_footer(sector: bytes) -> Footer | None:
    """Return the footer in a sector, or None if there is none."""
    if len(sector) != SECTOR or not sector.startswith(b"conectix"):
        return None
    size, kind, checksum = struct.unpack(">48xQ4xII444x", sector)
    return Footer(kind, size, ~(sum(sector) - sum(sector[64:68])) & 0xFFFFFFFF == checksum)


def vhd_fault(head: bytes, tail: bytes) -> str | None:
    """Return why a VHD that begins with a footer has a parent.

    Some readers use the footer first, and some its copy at the start. The dynamic header after the copy has
    fields for the parent's name.
    """
    footers = [each for each in (vhd_footer(head[:SECTOR]), vhd_footer(tail)) if each is not None]
    if wrong := [each.kind for each in footers if each.kind != DYNAMIC]:
        return f"a VHD that begins with a footer is dynamic (3), not of type {wrong[0]}"
    if len({each.size for each in footers}) > 1:
        return "the footer and its copy at the start have different sizes"
    dynamic = head[SECTOR : 3 * SECTOR]
    if dynamic.startswith(b"cxsparse") and any(dynamic[64:768]):
        return "the header of the VHD names a parent"
    return None


def vhdx_fault(headers: bytes, regions: bytes, copy: bytes, metadata: bytes) -> str | None:
    """Return why a VHDX has a parent, or may have one for some readers.

    These are readers that use the other region table, or that replay the log first: it can change any byte.
    `headers` starts at the first header.
    """
    if _has_log([headers[at - HEADERS[0] :][:_HEADER] for at in HEADERS]):
        return "the VHDX has a log that was not replayed; 'qemu-img check -r all' replays it"
    if copy.startswith(b"regi") and copy != regions:
        return "the two region tables of the VHDX differ"
    entries = [regions[at : at + 16] for at in range(_REGIONS, len(regions), _ITEM)]
    if entries.count(_METADATA) > 1:
        return "the VHDX has its metadata in several regions"
    if any(metadata.startswith(_PARENT_LOCATOR, at) for at in range(_ITEM, len(metadata), _ITEM)):
        return "the VHDX has a parent"
    return None


def _has_log(headers: list[bytes]) -> bool:
    """Return whether the current header names a log, for readers with or without a check of its checksum."""
    there = [each for each in headers if len(each) == _HEADER and each.startswith(b"head")]
    for among in (there, [each for each in there if _is_sound(each)]):
        newest = max((_sequence(each) for each in among), default=None)
        if any(any(each[48:64]) for each in among if _sequence(each) == newest):
            return True
    return False


def _sequence(header: bytes) -> int:
    return int.from_bytes(header[8:16], "little")


def _is_sound(header: bytes) -> bool:
    """Return whether the checksum (CRC-32C) of a VHDX's header is correct."""
    found = 0xFFFFFFFF
    for byte in header[:4] + bytes(4) + header[8:]:
        found ^= byte
        for _ in range(8):
            found = found >> 1 ^ (_CASTAGNOLI if found & 1 else 0)
    return found ^ 0xFFFFFFFF == int.from_bytes(header[4:8], "little")


def vdi_fault(head: bytes) -> str | None:
    """Return why a VDI is a differencing disk: its type, or the identity of a parent."""
    (kind,) = struct.unpack_from("<I", head, 0x4C)
    if kind not in _VDI_TYPES:
        return f"a VDI is dynamic (1) or static (2), not of type {kind}"
    if any(head[0x1A8:0x1B8]):
        return "the VDI names the disk that it is the difference to"
    return None


def qcow2_fault(head: bytes) -> str | None:
    """Return why no reader can open a qcow2 of version 3: the length of its header."""
    version, cluster_bits = struct.unpack_from(">4xI12xI", head)
    if version != 3:
        return None
    (length,) = struct.unpack_from(">I", head, 100)
    if length < 104 or length % 8 or length > 1 << min(cluster_bits, 21):
        return f"the header says that it has {length} bytes; it has 104 or more, a multiple of 8"
    return None

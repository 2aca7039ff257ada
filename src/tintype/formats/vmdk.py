"""VMDK: whether a sparse disk is self-contained, as QEMU and VMware read it.

The text descriptor in such a disk names the files it consists of. Readers find a key by plain text search:
the first of several, even in a comment, and each in its own spelling. So the descriptor must have only one
possible meaning for all readers: each key once, and one extent, which is the disk itself.
"""

import re
import struct
from typing import Final

SIGNATURE: Final = b"KDMV"
_FIELDS: Final = struct.Struct("<4sIIQQQQI")
"""Signature, version, flags, capacity, grain size, descriptor's place and size, entries of a grain table."""
_SECTOR: Final = 512
_READ_FOR_PARENT: Final = 20 * _SECTOR
"""Bytes after the header in which QEMU looks for a parent, however long the descriptor is."""
HEAD: Final = _SECTOR + _READ_FOR_PARENT
_KIND: Final = re.compile(rb'createtype="(?:monolithicsparse|streamoptimized)"')
_NO_PARENT: Final = re.compile(rb"parentcid=ffffffff")
_EXTENT: Final = re.compile(rb'(?:rw|rdonly|noaccess) +[0-9]+ +sparse +"[^"/\\]+"')
_ACCESS: Final = (b"rw", b"rdonly", b"noaccess")
_OTHER_FILES: Final = (b"parentfilenamehint", b"changetrackpath")
_ONCE: Final = (b"createtype", b"parentcid")
_VERSION_LINE: Final = re.compile(rb"version=[123]\r?")


def fault(head: bytes, descriptor: bytes) -> str | None:
    """Return why a sparse disk may refer to other files; None if it does not.

    `head` is the first `HEAD` bytes of the file, `descriptor` the descriptor that its header points to.
    """
    if len(head) < _SECTOR:
        return "the header is cut short"
    if _FIELDS.unpack_from(head)[3] == 0:
        return "its capacity is 0, with which the descriptor names the files that it consists of"
    places = (head[_SECTOR:HEAD].lower(), descriptor.lower())
    named = [key.decode() for key in _OTHER_FILES if any(key in text for text in places)]
    return f"the descriptor names another file ({named[0]})" if named else _text_fault(places[1])


def _text_fault(text: bytes) -> str | None:
    """Return why a lower-case descriptor can have another meaning than one sparse file."""
    for key in _ONCE:
        if text.count(key) > 1:
            return f"the descriptor has several {key.decode()}, comments included"
    lines = [line.strip() for line in text.partition(b"\0")[0].split(b"\n")]
    if not any(_KIND.fullmatch(line) for line in lines):
        return "the descriptor's createType is not that of one sparse file"
    if b"parentcid" in text and not any(_NO_PARENT.fullmatch(line) for line in lines):
        return "the descriptor has a parentCID other than ffffffff, which means none"
    extents = [line for line in lines if line.startswith(_ACCESS)]
    if len(extents) != 1 or not _EXTENT.fullmatch(extents[0]):
        return "the descriptor does not have exactly one extent, of type SPARSE and in this file"
    return None


def footer_fault(head: bytes, footer: bytes) -> str | None:
    """Return why the footer of a disk, which replaces its header, contradicts the header."""
    header_fields, footer_fields = _FIELDS.unpack_from(head)[3:], _FIELDS.unpack_from(footer, _SECTOR)[3:]
    return None if header_fields == footer_fields else "the footer describes another disk than the header"


def is_descriptor_file(head: bytes) -> bool:
    """Return whether readers that guess the format see a VMDK that is only a descriptor.

    QEMU does so for comments and empty lines followed by a version. All data of such a disk is in other
    files.
    """
    for line in head[: 4 * _SECTOR].split(b"\n"):
        text = line.lstrip(b"\r")
        if not text.startswith(b"#") and text.strip(b" \r"):
            return _VERSION_LINE.fullmatch(text) is not None
    return False

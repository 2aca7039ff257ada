"""File names for downloads: an image's name made safe for any system, with the ending of its format."""

import re
import unicodedata
from typing import Final
from urllib.parse import quote

from tintype.domain.images import Image

_LONGEST: Final = 200
"""Bytes of a name in UTF-8, without its ending: file systems take 255, and browsers add numbers."""
_ENDINGS: Final = {
    "raw": ("raw", "img"),
    "qcow2": ("qcow2",),
    "vmdk": ("vmdk",),
    "vdi": ("vdi",),
    "vhd": ("vhd",),
    "vhdx": ("vhdx",),
    "iso": ("iso",),
    "ploop": ("hds",),
    "ami": ("ami", "img"),
    "aki": ("aki", "vmlinuz"),
    "ari": ("ari", "initrd"),
}
"""By disk format: the ending that a name gets, then others that it may have already."""
_PACKED: Final = {"ova": ("ova",), "docker": ("tar",), "compressed": ("gz",)}
"""The same by container format, where the file is the container; in others it is the disk."""
_UNSAFE: Final = re.compile(r'[<>:"/\\|?*]')
_DEVICE: Final = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
"""Names that Windows takes for devices, whatever their ending."""


def attachment(image: Image) -> str:
    """Return the Content-Disposition of an image's download (RFC 6266, RFC 8187).

    Old clients read the plain name, in ASCII; others the encoded one.
    """
    name = filename(image)
    plain = "".join(char if " " <= char <= "~" and char not in '"\\%' else "_" for char in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def filename(image: Image) -> str:
    """Return a name that every system accepts as a file in one folder, and that says what the file is."""
    name = _safe(image.name or "") or image.id
    endings = _endings(image)
    if not endings or name.lower().endswith(tuple(f".{ending}" for ending in endings)):
        return _cut(name, endings)
    return f"{_shortened(name, _LONGEST)}.{endings[0]}"


def _endings(image: Image) -> tuple[str, ...]:
    packed = _PACKED.get(image.container_format or "")
    return packed or _ENDINGS.get(image.disk_format or "", ())


def _safe(name: str) -> str:
    """Replace what separates folders or means something to a system, and drop what cannot be seen.

    Invisible characters include those that turn the direction of text: they can hide an ending.
    """
    seen = "".join(char for char in name if unicodedata.category(char)[0] != "C")
    name = _UNSAFE.sub("_", seen).strip(" .")
    return f"_{name}" if _DEVICE.match(name) else name


def _cut(name: str, endings: tuple[str, ...]) -> str:
    stem, dot, ending = name.rpartition(".")
    if not endings or not dot:
        return _shortened(name, _LONGEST)
    return f"{_shortened(stem, _LONGEST)}.{ending}"


def _shortened(text: str, most: int) -> str:
    """Cut text to some bytes of UTF-8, between characters."""
    return text.encode()[:most].decode(errors="ignore").rstrip(" .")

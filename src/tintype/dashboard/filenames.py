"""File names for downloads: the image's name, made valid on every system, with its format's extension."""

import re
import unicodedata
from typing import Final
from urllib.parse import quote

from tintype.domain.images import Image

_LONGEST: Final = 200
"""Most bytes of a name in UTF-8 without its extension: file systems allow 255, and browsers add numbers."""
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
"""By disk format: the extension to add, then others that a name may have already."""
_PACKED: Final = {"ova": ("ova",), "docker": ("tar",), "compressed": ("gz",)}
"""The same by container format, for formats whose file is the container; in others it is the disk."""
_UNSAFE: Final = re.compile(r'[<>:"/\\|?*]')
_DEVICE: Final = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
"""Names that Windows reserves for devices, with any extension."""


def attachment(image: Image) -> str:
    """Return the Content-Disposition of an image's download (RFC 6266, RFC 8187).

    Old clients read the plain name, in ASCII; others the encoded one.
    """
    name = filename(image)
    plain = "".join(char if " " <= char <= "~" and char not in '"\\%' else "_" for char in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def filename(image: Image) -> str:
    """Return a file name that every system accepts, with an extension for the image's format."""
    name = _safe(image.name or "") or image.id
    packed = _PACKED.get(image.container_format or "")
    endings = packed or _ENDINGS.get(image.disk_format or "", ())
    if not endings or name.lower().endswith(tuple(f".{ending}" for ending in endings)):
        return _cut(name, endings)
    return f"{_shortened(name, _LONGEST)}.{endings[0]}"


def _safe(name: str) -> str:
    """Replace path separators and reserved characters, and drop invisible characters.

    Invisible characters include those that change the direction of text: they can hide an extension.
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
    """Truncate text to a number of bytes in UTF-8, between characters."""
    return text.encode()[:most].decode(errors="ignore").rstrip(" .")

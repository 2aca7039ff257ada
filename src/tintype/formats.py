"""What are these bytes, and are they safe? A thin face of oslo.utils' format inspector.

The parser is the maintained, security-reviewed one of OpenStack; which findings refuse an image,
and what is allowed through, is Glance's behaviour.
"""

import io
import struct
from collections.abc import Callable
from typing import IO, Any, Final, cast

from oslo_utils.imageutils import format_inspector as oslo

from tintype.errors import UnsupportedMedia

_INSPECTABLE: Final = frozenset(oslo.ALL_FORMATS)
_SLICE: Final = 64 << 10
"""Bytes shown to the parser at once: in larger ones it misses structures that point to others (vhdx)."""
_LARGEST: Final = 2**63 - 1
_MAY_HOLD_A_BROKEN_MBR: Final = frozenset({"aki", "ari"})


class Inspector:
    """Looks at an image's bytes as they pass. Feed it everything, then ask for the verdict."""

    def __init__(self, disk_format: str, warn: Callable[[str], object] | None) -> None:
        """Make an inspector that refuses, or with `warn` only tells of what it finds."""
        self._disk_format = disk_format
        self._warn = warn
        self._window = _Window()
        self._wrapper = oslo.InspectWrapper(cast("IO[bytes]", self._window))

    def feed(self, data: bytes | memoryview) -> None:
        """Look at the next bytes."""
        for start in range(0, len(data), _SLICE):
            self._window.data = data[start : start + _SLICE]
            self._wrapper.read(_SLICE)

    def finish(self) -> int | None:
        """Give the size of the disk inside, in bytes; None where the format does not tell.

        Raises UnsupportedMedia where the bytes are not what they are declared to be, or fail a
        safety check; the message names it.
        """
        try:
            self._wrapper.close()
            return self._verdict()
        except UnsupportedMedia as error:
            if self._warn is None:
                raise
            self._warn(error.message)
            return None

    def _verdict(self) -> int | None:
        try:
            inspector = self._match()
            found = str(inspector)
            if found == self._disk_format:
                virtual_size: int | None = inspector.virtual_size
            elif found == "raw" and self._disk_format not in _INSPECTABLE:
                virtual_size = None  # such as ami: nothing can look inside
            elif self._disk_format == "raw":
                virtual_size = inspector.actual_size  # any bytes may be used as a raw disk
            else:
                raise UnsupportedMedia(
                    f"Image disk_format {self._disk_format} does not match stream data {found}."
                )
            inspector.safety_check()
        except oslo.ImageFormatError as error:
            raise UnsupportedMedia(f"{error}.") from error
        except (ArithmeticError, LookupError, ValueError, struct.error) as error:
            raise UnsupportedMedia(f"The {self._disk_format} header makes no sense: {error}.") from error
        except oslo.SafetyCheckFailed as error:
            failures = dict(error.failures)
            if self._disk_format in _MAY_HOLD_A_BROKEN_MBR:
                failures.pop("mbr", None)
            if failures:
                reasons = "; ".join(f"{check}: {reason}" for check, reason in failures.items())
                raise UnsupportedMedia(f"Image failed safety checks: {reasons}.") from error
        if virtual_size is not None and not 0 <= virtual_size <= _LARGEST:
            raise UnsupportedMedia(f"The {found} header says {virtual_size} bytes: no disk is that large.")
        return virtual_size or None

    def _match(self) -> Any:
        matches = {str(match): match for match in self._wrapper.formats or ()}
        if matches.keys() == {"iso", "gpt"}:
            return matches["iso"]  # a bootable ISO may carry a partition table in front
        return self._wrapper.format


class _Window(io.RawIOBase):
    """The one chunk that the wrapper is about to read."""

    data: bytes | memoryview = b""

    def read(self, _size: int = -1) -> bytes:
        return bytes(self.data)


def inspector_for(
    disk_format: str, container_format: str, warn: Callable[[str], object] | None
) -> Inspector | None:
    """Give an inspector where there is something to look at: bare disks, as in Glance."""
    return Inspector(disk_format, warn) if container_format == "bare" else None

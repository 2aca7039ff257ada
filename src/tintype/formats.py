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


OWN_CHECKS: Final = ("format", "header", "virtual_size")
"""Checks of ours: another format than declared, a header that makes no sense, a size no disk has."""


def every_check() -> frozenset[str]:
    """Give the name of each check that can refuse an image."""
    names = {name for kind in oslo.ALL_FORMATS.values() for name in kind()._safety_checks}  # noqa: SLF001
    return frozenset(names - {"null"}) | frozenset(OWN_CHECKS)


class Inspector:
    """Looks at an image's bytes as they pass. Feed it everything, then ask for the verdict."""

    def __init__(
        self, disk_format: str | None, tolerated: frozenset[str], warn: Callable[[str], object]
    ) -> None:
        """Make an inspector that refuses what fails a check, or only tells `warn` where that is tolerated."""
        self._disk_format = disk_format
        self._tolerated = tolerated
        self._warn = warn
        self._window = _Window()
        self._wrapper = oslo.InspectWrapper(cast("IO[bytes]", self._window))

    def feed(self, data: bytes | memoryview) -> None:
        """Look at the next bytes: closely while the parser waits for some, then only count them."""
        position = 0
        while position < len(data):
            length = _SLICE if self._wrapper.formats is None else len(data) - position
            self._window.data = data[position : position + length]
            if length == _SLICE:
                self._window.data = bytes(self._window.data)  # the parser keeps what it wants of it
            self._wrapper.read(length)
            position += length
        self._window.data = b""  # the buffer is somebody else's

    def finish(self) -> int | None:
        """Give the size of the disk inside, in bytes; None where the format does not tell.

        Raises UnsupportedMedia where the bytes are not what they are declared to be, or fail a
        safety check; the message names it.
        """
        failures: dict[str, str] = {}
        virtual_size = self._look(failures)
        refused = {name: reason for name, reason in failures.items() if name not in self._tolerated}
        if refused:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in refused.items())
            raise UnsupportedMedia(f"Image failed safety checks: {reasons}.")
        for name, reason in failures.items():
            self._warn(f"{name}: {reason}")
        return None if failures else virtual_size

    def _look(self, failures: dict[str, str]) -> int | None:
        """Give the virtual size; note in `failures` which checks fail, and why."""
        virtual_size: int | None = None
        try:
            self._wrapper.close()
            inspector = self._match()
            found = str(inspector)
            declared = self._disk_format or found
            if found == declared:
                virtual_size = inspector.virtual_size
            elif declared == "raw":
                virtual_size = inspector.actual_size  # any bytes may be used as a raw disk
            elif found != "raw" or declared in _INSPECTABLE:
                failures["format"] = f"disk_format {declared} does not match stream data {found}"
            inspector.safety_check()
        except oslo.SafetyCheckFailed as error:
            failures |= {name: str(reason) for name, reason in error.failures.items()}
            if self._disk_format in _MAY_HOLD_A_BROKEN_MBR:
                failures.pop("mbr", None)
        except oslo.ImageFormatError as error:
            failures["header"] = str(error)
        except (ArithmeticError, LookupError, ValueError, struct.error) as error:
            failures["header"] = f"the header makes no sense: {error}"
        if virtual_size is not None and not 0 <= virtual_size <= _LARGEST:
            failures["virtual_size"] = f"the header says {virtual_size} bytes: no disk is that large"
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
        return self.data  # type: ignore[return-value]


def inspector_for(
    disk_format: str | None,
    container_format: str | None,
    tolerated: frozenset[str],
    warn: Callable[[str], object],
) -> Inspector | None:
    """Give an inspector where there is something to look at: bare disks, as in Glance, or who knows."""
    return Inspector(disk_format, tolerated, warn) if container_format in {"bare", None} else None
